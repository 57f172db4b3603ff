"""Position tables, in numpy: sin-cos, rotary, and tables for another grid.

Learned tables are plain weights of the backbones; relative positions live
with their mechanisms.
"""

import math

import numpy as np

RESAMPLING = ("bicubic", "bilinear", "zoom")
# The cubic coefficient of torch's bicubic interpolation.
_CUBIC = -0.75


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


def rotary_2d(head_dim, grid, base=100.0):
    """Angles of axial rotary positions on a patch grid.

    Args:
        head_dim: E, a multiple of 4.
        grid: (rows, columns).
        base: of the frequencies.

    Returns:
        (rows * columns, E / 2) float32, radians: one angle for each pair of
        neighbouring features. The first half turns by the column, the second
        by the row, at `w_i = base ** (-i / (E / 4))`.
        Source: Heo et al. 2024, "Rotary Position Embedding for Vision
        Transformer", eqs. 6 and 7 (naver-ai/rope-vit, axial form, base 100).

    Raises:
        ValueError: if `head_dim` is not a multiple of 4.
    """
    if head_dim % 4:
        raise ValueError(
            "Expected a head size that is a multiple of 4 for two-dimensional "
            f"rotary positions. Received: head_dim={head_dim}."
        )
    rows, columns = grid
    quarter = head_dim // 4
    frequencies = float(base) ** (-np.arange(quarter) / quarter)
    row, column = np.divmod(np.arange(rows * columns), columns)
    angles = [place[:, None] * frequencies for place in (column, row)]
    return np.concatenate(angles, axis=1).astype("float32")


def resample_positions(table, old_grid, new_grid, prefix=1, method="bicubic"):
    """A position table for another grid of patches.

    Args:
        table: (prefix + rows * columns, D) array of `old_grid`.
        old_grid, new_grid: (rows, columns).
        prefix: rows in front (class tokens), which are kept.
        method: as `resampling_matrix`.

    Returns:
        (prefix + new rows * new columns, D) array of the table's dtype.

    Raises:
        ValueError: if the table does not have the rows of `old_grid`, or for
            an unknown method.
    """
    table = np.asarray(table)
    rows, columns = old_grid
    if table.ndim != 2 or len(table) != prefix + rows * columns:
        raise ValueError(
            f"Expected a table of {prefix} + {rows} * {columns} rows for "
            f"prefix={prefix} and old_grid={tuple(old_grid)}. Received: "
            f"table.shape={table.shape}."
        )
    cells = table[prefix:].astype("float64").reshape(rows, columns, -1)
    down, across = (
        resampling_matrix(old, new, method)
        for old, new in zip(old_grid, new_grid, strict=True)
    )
    cells = np.einsum("yr,rcd,xc->yxd", down, cells, across)
    cells = cells.reshape(-1, table.shape[1]).astype(table.dtype)
    return np.concatenate([table[:prefix], cells])


def resampling_matrix(old, new, method="bicubic"):
    """Weights that resample one axis of a grid.

    Args:
        old, new: ints >= 1, places before and after.
        method: "bicubic" and "bilinear" as `torch.nn.functional.interpolate`
            with `align_corners=False` and without antialiasing (cubic
            coefficient -0.75, edges repeated): Hugging Face's ViT, MAE and
            PIXEL are resized by "bicubic". "zoom" as
            `scipy.ndimage.zoom(order=1)`, which maps corners to corners:
            Google's ViT.

    Returns:
        (new, old) float64, each row adds up to 1; the identity if `new` is
        `old`.

    Raises:
        ValueError: for an unknown method or a size below 1.
    """
    if method not in RESAMPLING:
        raise ValueError(
            f"Expected a method among {RESAMPLING}. Received: "
            f"method={method!r}."
        )
    if min(old, new) < 1:
        raise ValueError(
            f"Expected at least one place. Received: old={old}, new={new}."
        )
    place = np.arange(new)
    if method == "zoom":
        source = place * ((old - 1) / (new - 1) if new > 1 else 1.0)
    else:
        source = (place + 0.5) * (old / new) - 0.5
    if method == "bilinear":
        source = np.maximum(source, 0.0)
    first = np.floor(source).astype(int)
    matrix = np.zeros((new, old))
    for tap in range(-1, 3):
        distance = np.abs(source - (first + tap))
        weight = _kernel(distance, method)
        at = np.clip(first + tap, 0, old - 1)
        np.add.at(matrix, (place, at), weight)
    return matrix


def _kernel(distance, method):
    if method != "bicubic":
        return np.maximum(1 - distance, 0.0)
    a, x = _CUBIC, distance
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def grid_of_row(count, grid):
    """The grid from whose table a row of patches reads its positions.

    PIXEL's images are one row, its table is a square. A row reads the front
    of the table; one that is longer reads a larger table of the same shape.

    Args:
        count: patches in the row.
        grid: (rows, columns) of the table.

    Returns:
        (rows, columns): `grid` if it holds the row; else the smallest grid of
        the same proportions (a square for a square, a row for a row) that
        does.
    """
    rows, columns = grid
    if count <= rows * columns:
        return rows, columns
    if rows == 1:
        return 1, count
    more = math.ceil(math.sqrt(count * rows / columns))
    return more, math.ceil(more * columns / rows)
