"""`RenderedBatch`: what a renderer returns.

Here: the pixels of a batch, its patch counts, the report of what was cut or
has no glyph; saving as a picture. Not here: how it is drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._libraries import load


class Cut(NamedTuple):
    """Characters that did not fit.

    Attributes:
        part: 0 for a str; 0 or 1 in a pair; index of the word in a list.
        start, end: span of characters in that part; `end` is its length.
        text: the characters cut, as received.
    """

    part: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, eq=False)
class RenderedBatch:
    """Texts as pixels, one row of patches each.

    The names are PIXEL's; patches are counted from 0 at the left. Unlike
    PIXEL's PangoCairo renderer, `sep_patches` counts patches, not pixels.

    Attributes:
        pixels: (B, P, N * P) uint8, 0 black, 255 white; in colour
            (B, P, N * P, 3).
        num_patches: (B,) int32, patches before the end patch, separator
            included (PIXEL's num_text_patches).
        sep_patches: per text, tuple of the black patches: (end,) or, for a
            pair, (separator, end).
        word_starts: per text None, or for a list of words a tuple of the
            patch where each drawn word starts, then the end patch.
        truncated: per text None, or a tuple of `Cut`, one per cut part.
        missing: per text, tuple of the characters for which no font has a
            glyph (drawn as .notdef) and of lone surrogates (drawn as U+FFFD),
            each once, in order.
        patch_width: width of a patch, pixels; None: `patch_size`.
    """

    pixels: np.ndarray
    num_patches: np.ndarray
    sep_patches: list[tuple[int, ...]]
    word_starts: list[tuple[int, ...] | None]
    truncated: list[tuple[Cut, ...] | None]
    missing: list[tuple[str, ...]]
    patch_width: int | None = None

    def __len__(self):
        return len(self.num_patches)

    @property
    def patch_size(self):
        """P: height of the pixels and of a patch, pixels."""
        return self.pixels.shape[1]

    @property
    def attention_mask(self):
        """(B, N) bool, True on the text, separators and the end patch."""
        width = self.pixels.shape[2] // (self.patch_width or self.patch_size)
        return np.arange(width)[None, :] <= self.num_patches[:, None]

    def to_image(self, index=0, scale=1):
        """One text as a `PIL.Image` (L or RGB), up to its end patch.

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
        side = self.patch_width or self.patch_size
        width = (int(self.num_patches[index]) + 1) * side
        pixels = self.pixels[index][:, :width]
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
        return load("PIL.Image").fromarray(pixels)

    def save_png(self, path, index=0, scale=1):
        """Writes `to_image(index, scale)` to a PNG file."""
        self.to_image(index, scale).save(path, format="PNG")
