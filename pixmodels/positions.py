"""Position tables, in numpy.

Fixed two-dimensional sin-cos tables. Learned tables are plain weights of the
backbones; rotary and relative positions live with their mechanisms.
"""

import numpy as np


def sincos_2d(hidden_dim, grid, prefix=1):
    """Fixed sine-cosine positions of a patch grid, as in MAE and PIXEL.

    Args:
        hidden_dim: width D, a multiple of 4.
        grid: (rows, columns).
        prefix: rows of zeros in front, for class tokens.

    Returns:
        (prefix + rows * columns, D) float32. The first half of a row encodes
        the column, the second the row of the grid; each half is
        `[sin(p w), cos(p w)]` with `w_i = 10000 ** (-i / (D / 4))`.
        Source: MAE `util/pos_embed.py`, which PIXEL uses on a square grid
        although its images have one row; here any grid is legal.

    Raises:
        ValueError: if `hidden_dim` is not a multiple of 4.
    """
    if hidden_dim % 4:
        raise ValueError(
            "Expected a width that is a multiple of 4 for two-dimensional "
            f"sin-cos positions. Received: hidden_dim={hidden_dim}."
        )
    rows, columns = grid
    quarter = hidden_dim // 4
    frequencies = 1.0 / 10000 ** (np.arange(quarter) / quarter)
    row, column = np.meshgrid(
        np.arange(rows), np.arange(columns), indexing="ij"
    )
    halves = []
    for place in (column.reshape(-1), row.reshape(-1)):
        angles = place[:, None] * frequencies  # (N, D / 4) float64
        halves += [np.sin(angles), np.cos(angles)]
    table = np.concatenate(halves, axis=1)
    zeros = np.zeros((prefix, hidden_dim))
    return np.concatenate([zeros, table]).astype("float32")
