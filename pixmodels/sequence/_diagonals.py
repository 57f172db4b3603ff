"""Matrices that are constant along their diagonals."""

from keras import ops


def sheared(line, rows):
    """Matrices with the numbers of a line on their diagonals.

    Args:
        line: (..., rows + columns), numbers of the diagonals j - i =
            1 - rows, ..., columns - 1, and one that is not used.
        rows: int.

    Returns:
        (..., rows, columns); entry (i, j) is `line[rows - 1 + j - i]`. Made
        by strides, whose gradient is a sum where that of a gather would be a
        scatter.
    """
    front, total = line.shape[:-1], line.shape[-1]
    ones = (1,) * len(front)
    table = ops.tile(line, (*ones, rows))[..., : rows * (total - 1)]
    table = ops.reshape(table, (*front, rows, total - 1))
    return table[..., rows - 1 :]
