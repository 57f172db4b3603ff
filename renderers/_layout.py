"""Where texts, pairs and words go on the row of patches, and what fits.

Here: PIXEL's layouts of one line (PIXEL.md 1) and exact truncation. Not here:
glyphs (_shape.py), pixels (_raster.py). x is in pixels, L the number of
patches, of which the last can hold the end patch only."""

from dataclasses import dataclass
from dataclasses import field

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._clean import clean
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._shape import Line
from pixmodels.renderers._unicode import grapheme_start
from pixmodels.renderers.rendered_batch import Cut

MARGIN = 2  # Pixels before the first text and after each.

# Characters a patch that are looked at: ten times what letters can fill, so
# that a million marks or controls without width take bounded time.
_DENSITY = 64


@dataclass
class Layout:
    """One row: lines with their x, black patches, report of losses.

    `strips` are drawn already: x and the pixels column by column.

    `num_patches` is the index of the end patch, the last of `sep_patches`.
    """

    lines: list[tuple[int, Line]] = field(default_factory=list)
    strips: tuple[tuple[int, bytes], ...] = ()
    sep_patches: tuple[int, ...] = ()
    num_patches: int = 0
    word_starts: tuple[int, ...] | None = None
    cuts: list[Cut] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Typesetter:
    """Lays out one text, pair or word list at a time.

    Args:
        shaper: Shaper.
        patch_size: P, pixels.
        max_patches: L.
    """

    def __init__(self, shaper, patch_size, max_patches):
        self._shaper = shaper
        self._patch = patch_size
        self._limit = (max_patches - 1) * patch_size
        self._most = _DENSITY * max_patches
        # Characters shaped at first, as a text may be far too long.
        self._window = _DENSITY + self._limit // 2

    def lay_out(self, item):
        """Layout of a str, a (str, str) tuple or a list of words."""
        if isinstance(item, str):
            layout = self._text(item)
        elif isinstance(item, tuple):
            layout = self._pair(item)
        else:
            layout = self._words(item)
        layout.num_patches = layout.sep_patches[-1]
        layout.missing = list(dict.fromkeys(layout.missing))
        return layout

    def _text(self, text):
        layout = Layout()
        end = self._add(layout, 0, text, MARGIN)
        layout.sep_patches = (self._next(end + MARGIN),)
        return layout

    def _pair(self, pair):
        layout = Layout()
        end = self._add(layout, 0, pair[0], MARGIN)
        first = self._next(end + MARGIN)
        end = (first + 1) * self._patch + MARGIN
        end = self._add(layout, 1, pair[1], end)
        layout.sep_patches = (first, self._next(end + MARGIN))
        return layout

    def _words(self, words):
        if not words:
            layout = self._text("")
            layout.word_starts = layout.sep_patches
            return layout
        layout = Layout()
        starts = [0]
        x = MARGIN
        last = len(words) - 1
        for index, word in enumerate(words):
            if x >= self._limit:
                layout.cuts += _all_cut(index, words[index:])
                break
            after, extra = (" ", 0) if index < last else ("", MARGIN)
            end = self._add(layout, index, word, x, after)
            starts.append(self._next(end + extra))
            x = starts[-1] * self._patch
        layout.word_starts = tuple(starts)
        layout.sep_patches = (starts[-1],)
        return layout

    def _next(self, x):
        """The first patch that starts at or after `x`, at most the last."""
        return min(-(-x // self._patch), self._limit // self._patch)

    def _add(self, layout, part, text, x, after=""):
        """Adds a text at `x`; returns the x of its end."""
        if x > self._limit:
            layout.cuts += _all_cut(part, [text])
            return x
        drawn, lost = clean(str(text))
        line, cut = self._fit(drawn + after, self._limit - x)
        layout.lines.append((x, line))
        end = len(text) if cut is None else cut
        if end < len(text):
            layout.cuts.append(Cut(part, end, len(text), text[end:]))
        if lost or line.missing:
            layout.missing += [
                character
                for index, character in sorted(lost + line.missing)
                if index < end
            ]
        return x + line.width

    def _fit(self, text, room):
        """`(line, cut)`: cut is the first character not fully inside `room`.

        Left to right, the line is drawn as it is and clipped, as in PIXEL.
        A line with right-to-left parts, of which PIXEL shows the wrong end,
        is set anew from what is kept.
        """
        known = text[: self._most]
        levels, base = _bidi.levels(known)
        line = self._shaper.line(known[: self._window], levels)
        if len(known) > self._window:
            if line.width <= room + 4 * self._patch:
                line = self._shaper.line(known, levels)
            else:
                known = known[: self._window]
        if line.width <= room:
            return line, None if len(known) == len(text) else len(known)
        mixed = line.mixed
        while line.width > room:
            cut = grapheme_start(known, _overflow(line, len(known), room))
            if not mixed:
                break
            known = known[:cut]
            line = self._shaper.line(known, _bidi.levels(known, base)[0])
        return line, cut


def _overflow(line, count, room):
    """Index of the first character whose advance passes `room` pixels."""
    pens = np.cumsum(line.character_advances(count))
    return int(np.searchsorted(pens, room * UNITS, side="right"))


def _all_cut(part, texts):
    return [
        Cut(part + index, 0, len(text), text)
        for index, text in enumerate(texts)
        if text
    ]
