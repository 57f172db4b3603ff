"""One line of text to positioned glyphs.

Here: bidi, runs, HarfBuzz, rounding of advances, tab stops, order of runs.
Not here: where lines go and what fits (_layout.py), drawing (_raster.py).
Recipe and constants: PIXEL's PangoCairo renderer under Pango 1.50."""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers import _harfbuzz
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import SizedFont
from pixmodels.renderers._itemise import itemise

# HarfBuzz 15.0.0 applies calt to the spaces of Hangul runs (its change 6030),
# HarfBuzz 6 under PIXEL's Pango did not. tests/renderers/test_shape.py fails
# once this makes no difference.
_FEATURES = {"Hang": (_harfbuzz.Feature * 1)(_harfbuzz.Feature.off("calt"))}
_TAB_SPACES = 8
_script_tag = functools.cache(_harfbuzz.tag)


class LineRun(NamedTuple):
    """Glyphs of one font, drawn in one call; lengths in 1/1024 px.

    Attributes:
        font: SizedFont.
        x: int, from the line's left edge.
        glyphs: int32 (n, 3) from left to right: glyph id, x from the run's
            start, y upwards.
        clusters: int32 (n,), index in the line of the first character of
            each glyph's cluster; rising, falling where `level` is odd.
        advances: int32 (n,), whole pixels.
        start, end: int, the characters of the run.
        level: int, bidi embedding level.
    """

    font: SizedFont
    x: int
    glyphs: np.ndarray
    clusters: np.ndarray
    advances: np.ndarray
    start: int
    end: int
    level: int


class Line:
    """Glyphs of one line, from its left edge.

    Attributes:
        width: int, whole pixels.
        runs: list of LineRun from left to right.
        missing: list of (index, character) drawn as .notdef.
        mixed: bool, some run goes right to left.
    """

    __slots__ = ("missing", "mixed", "runs", "width")

    def character_advances(self, count):
        """Advance of every character of the line, in 1/1024 px.

        That of a cluster of several characters stands at its first.

        Args:
            count: int, characters of the line.

        Returns:
            int64 (count,).
        """
        result = np.zeros(count, np.int64)
        for run in self.runs:
            np.add.at(result, run.clusters, run.advances)
        return result


def to_pixels(infos, positions):
    """Rounds advances to whole pixels, as Pango does; offsets stay.

    Args:
        infos, positions: of `_harfbuzz.Buffer.shape`.

    Returns:
        `(glyphs, advances)` as in `LineRun`.
    """
    advances = positions[:, 0].copy()
    glyphs = np.empty((len(infos), 3), np.int32)
    glyphs[:, 0] = infos[:, 0]
    glyphs[:, 1:] = positions[:, 2:4]
    if advances.size and advances.min() < 0:
        glyphs[:, 1] -= np.minimum(advances, 0)
        np.abs(advances, out=advances)
    advances += UNITS // 2
    advances &= -UNITS
    glyphs[:, 1] += np.cumsum(advances) - advances
    return glyphs, advances


class Shaper:
    """Shapes lines with one stack, size and language. Not thread safe.

    Args:
        stack: FontStack.
        size: int, em in 1/1024 px.
        language: BCP 47 tag for HarfBuzz; "c" names none.
    """

    def __init__(self, stack, size, language):
        self._stack = stack
        self.size = size
        self._fonts = [None] * len(stack)
        self._buffer = _harfbuzz.Buffer(language)

    def font(self, index):
        """The stack's font `index` at this size, opened when first needed."""
        font = self._fonts[index]
        if font is None:
            font = SizedFont(*self._stack.entry(index), self.size)
            self._fonts[index] = font
        return font

    @staticmethod
    def features(script):
        """Features other than the defaults for an ISO script, or None."""
        return _FEATURES.get(script)

    def line(self, text, levels=None):
        """Shapes a whole line.

        Args:
            text: str, cleaned (_clean.py).
            levels: its embedding levels (_bidi.py), None for all 0.
        """
        runs = itemise(text, levels, self._stack)
        line = Line()
        line.missing = []
        line.mixed = False
        line.runs = []
        encoded = text.encode("utf-32-le")
        shaped = []
        pen = 0
        for run in runs:
            if text[run.start] == "\t":
                found = self._tab(run, pen)
            else:
                found = self._run(encoded, run)
                if not found.glyphs[:, 0].all():
                    line.missing += self._missing(text, run, found)
            shaped.append(found)
            pen += int(found.advances.sum())
        line.width = pen // UNITS
        if len(shaped) > 1 or levels is not None:
            shaped = self._place(line, shaped)
        line.runs = shaped
        return line

    def _place(self, line, runs):
        levels = [run.level for run in runs]
        line.mixed = any(level & 1 for level in levels)
        placed = []
        x = 0
        for index in _bidi.visual_order(levels):
            placed.append(runs[index]._replace(x=x))
            x += int(runs[index].advances.sum())
        return placed

    def _tab(self, run, pen):
        """A tab that begins at `pen`: draws nothing, up to the next stop."""
        stop = _TAB_SPACES * self.font(0).space
        width = stop - pen % stop if stop else 0
        return LineRun(
            self.font(0),
            0,
            np.empty((0, 3), np.int32),
            np.array([run.start], np.int32),
            np.array([width], np.int32),
            *run[:3],
        )

    def run(self, text, run):
        """Shapes the run of a text as `_itemise.Run` says: a LineRun."""
        return self._run(text.encode("utf-32-le"), run)

    def _run(self, encoded, run):
        font = self.font(run.font)
        infos, positions = self._buffer.shape(
            font.harfbuzz,
            encoded,
            run.start,
            run.end,
            run.level,
            _script_tag(run.script),
            self.features(run.script),
        )
        glyphs, advances = to_pixels(infos, positions)
        clusters = infos[:, 2].copy()
        return LineRun(font, 0, glyphs, clusters, advances, *run[:3])

    def _missing(self, text, run, found):
        """The characters behind .notdef glyphs, as (index, character)."""
        starts = np.append(np.unique(found.clusters), run.end).tolist()
        lost = set(found.clusters[found.glyphs[:, 0] == 0].tolist())
        characters = []
        for index, end in itertools.pairwise(starts):
            if index not in lost:
                continue
            lacking = [
                (place, text[place])
                for place in range(index, end)
                if not self._stack.covers(run.font, text[place])
            ]
            characters += lacking or [(index, text[index])]
        return characters
