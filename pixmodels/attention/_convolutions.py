"""Convolutions over the places of tokens, absent ones being 0.

Here: along a row and over a grid, for whole sequences and for subsets. Not
here: what is done with the results (context_pool)."""

from keras import ops

from pixmodels.attention import _blocks


def along(x, kernel, positions=None):
    """Cross-correlation with neighbours in position, as many as `x`.

    Args:
        x: (B, N, D) float32, 0 at padding.
        kernel: (k, D, F) float32, k odd.
        positions: (B, N) ints, ascending, or None for 0, 1, 2, ...

    Returns:
        (B, N, F) float32: the sum over j of `x_j kernel[p_j - p_i + k // 2]`.
    """
    taps = kernel.shape[0]
    half = taps // 2
    products = _products(x, kernel)  # (B, N, k, F)
    products = ops.pad(products, ((0, 0), (half, half), (0, 0), (0, 0)))
    if positions is not None:
        place = ops.cast(positions, "int32")
        places = ops.pad(place, ((0, 0), (half, half)))
    total = 0.0
    # Positions ascend: those within `half` are within `half` tokens.
    for shift in range(-half, half + 1):
        window = slice(half + shift, shift - half or None)
        moved = products[:, window]
        if positions is None:
            total = total + moved[:, :, half + shift]
            continue
        tap = places[:, window] - place + half
        chosen = tap[..., None] == ops.arange(taps, dtype="int32")
        chosen = ops.cast(chosen, x.dtype)[..., None]
        total = total + ops.sum(moved * chosen, axis=2)
    return total


def over_grid(x, kernel, positions, grid):
    """As `along`, with neighbours in both directions of a grid.

    Args:
        x: (B, N, D) float32, N static.
        kernel: (k, k, D, F) float32, k odd; rows first.
        positions: (B, N) ints, or None for the first N of the grid.
        grid: (R, C) ints.
    """
    taps, width = kernel.shape[0], kernel.shape[-1]
    half, (rows, columns) = taps // 2, grid
    length, count = _blocks.static_length(x), rows * columns
    products = _products(x, ops.reshape(kernel, (-1, *kernel.shape[2:])))
    products = ops.reshape(products, (-1, length, taps * taps * width))
    if positions is None:
        beyond = ((0, 0), (0, count - length), (0, 0))
        products = ops.pad(products, beyond)
    else:
        place = ops.cast(positions, "int32")
        products = _blocks.scattered(products, place, count)
    shape = (-1, rows, columns, taps, taps, width)
    products = ops.reshape(products, shape)
    sides = ((half, half),) * 2
    products = ops.pad(products, ((0, 0), *sides, *((0, 0),) * 3))
    total = 0.0
    for down in range(taps):
        for right in range(taps):
            moved = products[:, down : down + rows, right : right + columns]
            total = total + moved[:, :, :, down, right]
    total = ops.reshape(total, (-1, count, width))
    if positions is None:
        return total[:, :length]
    return ops.take_along_axis(total, place[..., None], axis=1)


def _products(x, kernel):
    """Every token with every tap: (B, N, k, F)."""
    taps, depth, width = kernel.shape
    flat = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (depth, taps * width))
    shape = (-1, ops.shape(x)[1], taps, width)
    return ops.reshape(ops.matmul(x, flat), shape)
