"""`RenderedBatch`: what a renderer returns.

Here: the pixels of a batch, its patch counts, the report of what was cut or
has no glyph; saving as a picture. Not here: how it is drawn, nor which
characters stand in which patch (offsets.py)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._libraries import load
from pixmodels.renderers.offsets import Offsets


class Cut(NamedTuple):
    """Characters that did not fit.

    Attributes:
        part: 0 for a str; 0 or 1 in a pair; index of the word in a list, of
            the text in a pack.
        start, end: span of characters in that part; `end` is its length.
        text: the characters cut, as received.
    """

    part: int
    start: int
    end: int
    text: str


class Measured(NamedTuple):
    """What a call of a renderer would report, without pixels.

    Attributes:
        widths: (B,) int32, patches of each text, end patch included.
        truncated, missing: as in `RenderedBatch`.
    """

    widths: np.ndarray
    truncated: list[tuple[Cut, ...] | None]
    missing: list[tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class RenderedBatch:
    """Texts as pixels, a grid of patches each: one row, or a page of rows.

    The names are PIXEL's; patches are counted from 0 at the left, row by row.
    Unlike PIXEL's PangoCairo renderer, `sep_patches` counts patches, not
    pixels.

    Attributes:
        pixels: (B, H, W) uint8, 0 black, 255 white, in colour (B, H, W, 3);
            H is R patches of height P, W is C patches of width P.
        num_patches: (B,) int32, patches before the end patch, separators
            included (PIXEL's num_text_patches).
        sep_patches: per text, tuple of the black patches: (end,) or, for a
            pair, (separator, end); the end patch is the last.
        word_starts: per text None, or for a list of words, and for every text
            in the layouts that cut it into words, a tuple of the patch where
            each drawn word starts, then the end patch.
        truncated: per text None, or a tuple of `Cut`, one per cut part.
        missing: per text, tuple of the characters for which no font has a
            glyph (drawn as .notdef) and of lone surrogates (drawn as U+FFFD),
            each once, in order.
        segments: per text, a tuple of (text, first patch, patch after the
            last): 0 for a str or list, 0 and 1 for a pair; in a pack the
            indices of the texts in the row.
        offsets: `Offsets`, or None where they were not asked for.
        window_of: (B,) int32, of windows the pair that each row is from;
            else None.
        patch_shape: (height, width) of a patch, pixels; None: square, as high
            as the pixels.
    """

    pixels: np.ndarray
    num_patches: np.ndarray
    sep_patches: list[tuple[int, ...]]
    word_starts: list[tuple[int, ...] | None]
    truncated: list[tuple[Cut, ...] | None]
    missing: list[tuple[str, ...]]
    segments: list[tuple[tuple[int, int, int], ...]] | None = None
    offsets: Offsets | None = None
    window_of: np.ndarray | None = None
    patch_shape: tuple[int, int] | None = None

    def __len__(self):
        return len(self.num_patches)

    @property
    def patch_size(self):
        """P: height and width of a patch in pixels; (height, width) if not
        the same.
        """
        height, width = self._patch
        return height if height == width else (height, width)

    @property
    def patch_height(self):
        """Height of a patch, pixels."""
        return self._patch[0]

    @property
    def patch_width(self):
        """Width of a patch, pixels."""
        return self._patch[1]

    @property
    def grid(self):
        """(R, C): rows and columns of patches."""
        height, width = self._patch
        return self.pixels.shape[1] // height, self.pixels.shape[2] // width

    @property
    def attention_mask(self):
        """(B, N) bool, True on the text, separators and the end patch."""
        rows, columns = self.grid
        places = np.arange(rows * columns)
        return places[None, :] <= self.num_patches[:, None]

    @property
    def _patch(self):
        return self.patch_shape or (self.pixels.shape[1],) * 2

    def locate(self, index, first_patch, last_patch):
        """The characters in patches `first_patch` to `last_patch`, inclusive.

        Returns:
            list of `Located` (part, start, end, text), as in
            `Offsets.locate`.

        Raises:
            IndexError: no such text.
            ValueError: the batch has no offsets, or the range is not in it.
        """
        return self._need_offsets().locate(index, first_patch, last_patch)

    def patches_of(self, index, part, start, end):
        """The ranges of patches that hold characters `start:end` of a part.

        Returns:
            list of (first patch, last patch), inclusive, as in
            `Offsets.patches_of`.

        Raises:
            IndexError: no such text or part.
            ValueError: the batch has no offsets, or no such characters.
        """
        return self._need_offsets().patches_of(index, part, start, end)

    def _need_offsets(self):
        if self.offsets is None:
            raise ValueError(
                "expected a batch drawn with return_offsets=True. "
                "Received: offsets=None"
            )
        return self.offsets

    def to_image(self, index=0, scale=1):
        """One text as a `PIL.Image` (L, RGB) up to its end patch; a page whole.

        Args:
            index: which text of the batch.
            scale: whole factor by which every pixel is enlarged.

        Raises:
            IndexError: no such text.
            ValueError: `scale` is not a positive whole number.
            ImportError: Pillow is missing.
        """
        if not isinstance(scale, int) or scale < 1:
            raise ValueError(
                f"expected a whole number >= 1. Received: scale={scale!r}"
            )
        pixels = self.pixels[index]
        if self.grid[0] == 1:
            width = (int(self.num_patches[index]) + 1) * self._patch[1]
            pixels = pixels[:, :width]
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
        return load("PIL.Image").fromarray(pixels)

    def save_png(self, path, index=0, scale=1):
        """Writes `to_image(index, scale)` to a PNG file."""
        self.to_image(index, scale).save(path, format="PNG")
