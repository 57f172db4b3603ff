"""What a reader is given, as ink on lines of patches.

Here: checks of arrays, colours back to ink, black patches, the lines between
them. Not here: characters (_read_lines.py)."""

from typing import NamedTuple

import numpy as np

from pixmodels.renderers.rendered_batch import RenderedBatch

_BLACK = 0.75  # Share of ink from which on a noisy patch is a separator.
_WHOLE = 1e-3  # Floats this near to whole levels are taken for them.


class Given(NamedTuple):
    """Checked pixels.

    Attributes:
        levels: float32 (B, H, W, C), 0 to 255.
        exact: uint8 of the same shape, or None where levels are not whole.
        ends: list of B int or None, the end patch where it is known.
    """

    levels: np.ndarray
    exact: np.ndarray | None
    ends: list


class Stretch(NamedTuple):
    """Patches between black ones: a line of text.

    Attributes:
        row: int, row of patches.
        first, last: int, patches of the row, `last` is not in it.
        is_closed: bool, whether a black patch stands after it.
    """

    row: int
    first: int
    last: int
    is_closed: bool


def check_pixels(pixels, num_patches, patch, channels):
    """`Given` of what a user hands in.

    Args:
        pixels: RenderedBatch, or array (H, W), (B, H, W) or (B, H, W, C).
        num_patches: None, an int or (B,), end patches.
        patch: (height, width) of a patch.
        channels: of the renderer, 1 or 3.

    Raises:
        TypeError, ValueError: says what was expected.
    """
    if isinstance(pixels, RenderedBatch):
        if num_patches is None:
            num_patches = pixels.num_patches
        pixels = pixels.pixels
        if channels == 1 and pixels.ndim == 3:
            pixels = pixels[..., None]
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    _check_shape(pixels, patch)
    levels, exact = _levels(pixels)
    if channels == 1 and levels.shape[3] == 3:
        levels, exact = _grey(levels, exact)
    if levels.shape[3] != channels:
        levels = np.repeat(levels, channels, axis=3)
        exact = None if exact is None else np.repeat(exact, channels, axis=3)
    return Given(levels, exact, _check_ends(num_patches, pixels, patch))


def _check_shape(pixels, patch):
    height, width = patch
    good = pixels.ndim == 4 and pixels.shape[3] in (1, 3)
    if good and pixels.shape[1] and pixels.shape[2]:
        if not (pixels.shape[1] % height or pixels.shape[2] % width):
            return
    raise ValueError(
        "expected pixels (H, W), (B, H, W) or (B, H, W, 1 or 3), H and W in "
        f"whole patches of {height} x {width}. "
        f"Received: pixels of shape {pixels.shape}"
    )


def _levels(pixels):
    """Levels 0 to 255 as floats, and as uint8 where they are whole."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32), pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(
            "expected uint8, or floats from 0 to 1. "
            f"Received: pixels of dtype {pixels.dtype}"
        )
    inside = (pixels >= 0) & (pixels <= 1)
    if not inside.all():  # NaN is not.
        raise ValueError(
            "expected floats from 0 to 1. Received: pixels with NaN, "
            "infinity or values outside (np.clip them)"
        )
    levels = pixels.astype(np.float32) * 255
    whole = np.rint(levels)
    if np.abs(levels - whole).max(initial=0) <= 255 * _WHOLE:
        return levels, whole.astype(np.uint8)
    return levels, None


def _grey(levels, exact):
    """Three channels as one: equal ones keep their levels."""
    if exact is not None and (exact == exact[..., :1]).all():
        return levels[..., :1], exact[..., :1]
    return levels.mean(axis=3, keepdims=True), None


def _check_ends(num_patches, pixels, patch):
    count = len(pixels)
    if num_patches is None:
        return [None] * count
    ends = np.atleast_1d(np.asarray(num_patches))
    most = pixels[0, ..., 0].size // (patch[0] * patch[1]) if count else 0
    good = ends.shape == (count,) and np.issubdtype(ends.dtype, np.integer)
    if not good or (count and (ends.min() < 0 or ends.max() > most)):
        raise ValueError(
            f"expected {count} whole numbers from 0 to {most}, the end patch "
            f"of each row. Received: num_patches={num_patches!r}"
        )
    return ends.tolist()


class Inks:
    """Pixels back to ink, by a renderer's palette.

    Args:
        palette: Palette.

    Raises:
        ValueError: ink and paper have the same colour.
    """

    def __init__(self, palette):
        cover = np.arange(256, dtype=np.uint8)
        table = palette.pixels(cover).reshape(256, -1).astype(np.int64)
        self._table = table
        self._paper = table[0].astype(np.float32)
        self._slope = (table[255] - table[0]).astype(np.float32)
        if not self._slope.any():
            raise ValueError(
                "expected ink and paper that differ. Received: a renderer "
                f"with ink {palette.ink.tolist()}, paper "
                f"{palette.paper.tolist()}"
            )
        self._channel = int(np.argmax(np.abs(self._slope)))
        self._back = np.zeros(256, np.uint8)
        self._back[table[:, self._channel]] = cover

    def noisy(self, levels):
        """Share of ink, float32 (..., H, W), 0 to 1 and what is beyond."""
        ink = (levels - self._paper) @ self._slope
        return ink / float(self._slope @ self._slope)

    def exact(self, pixels):
        """Coverage uint8 (H, W), or None where pixels are not in the table.

        Args:
            pixels: uint8 (H, W, C).
        """
        cover = self._back[pixels[..., self._channel]]
        if (self._table[cover] == pixels).all():
            return cover
        return None


def stretches(ink, patch, end):
    """The lines of a row or page, from its black patches.

    Args:
        ink: float (H, W).
        patch: (height, width).
        end: the end patch counted row by row, or None.

    Returns:
        list of Stretch.
    """
    height, width = patch
    rows, columns = ink.shape[0] // height, ink.shape[1] // width
    cells = ink.reshape(rows, height, columns, width)
    black = (cells.mean(axis=(1, 3)) > _BLACK).reshape(-1)
    if end is None:
        found = np.flatnonzero(black)
        end = int(found[-1]) if len(found) else rows * columns
    result = []
    for row in range(rows):
        start = row * columns
        last = min(end - start, columns)
        if last < 0 or (last == 0 and row):
            break
        edges = [p for p in range(last) if black[start + p] and rows == 1]
        first = 0
        for edge in [*edges, last]:
            closed = edge < columns
            result.append(Stretch(row, first, edge, closed))
            first = edge + 1
    return result
