"""One line of text to positioned glyphs.

Here: bidi, runs, HarfBuzz, rounding of advances, tab stops, order of runs.
Not here: where lines go and what fits (_layout.py), drawing (_raster.py).
Recipe and constants: PIXEL's PangoCairo renderer under Pango 1.50."""

import bisect

from pixmodels.renderers import _bidi
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import SizedFont
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import load

# HarfBuzz 15.0.0 applies calt to the spaces of Hangul runs (its change 6030),
# HarfBuzz 6 under PIXEL's Pango did not. tests/renderers/test_shape.py fails
# once this makes no difference.
_FEATURES = {"Hang": {"calt": False}}
_TAB_SPACES = 8


class Line:
    """Glyphs of one line, from its left edge; lengths in 1/1024 px.

    Attributes:
        width: int, whole pixels.
        runs: list of (SizedFont, x, glyphs) from left to right, glyphs a list
            of (glyph id, x from the run's start, y upwards).
        advances: list of (character index, advance), runs in logical order.
        missing: list of (index, character) drawn as .notdef.
        mixed: bool, some run goes right to left.
    """

    __slots__ = ("advances", "missing", "mixed", "runs", "width")


class Shaper:
    """Shapes lines with one stack, size and language. Not thread safe.

    Args:
        stack: FontStack.
        size: int, em in 1/1024 px.
        language: BCP 47 tag for HarfBuzz; "c" names none.
    """

    def __init__(self, stack, size, language):
        harfbuzz = load("uharfbuzz")
        self._stack = stack
        self._size = size
        self._language = language
        self._fonts = [None] * len(stack)
        self._shape = harfbuzz.shape
        self._buffer = harfbuzz.Buffer()
        level = harfbuzz.BufferClusterLevel.MONOTONE_CHARACTERS
        self._buffer.cluster_level = level
        flags = harfbuzz.BufferFlags
        self._buffer.flags = flags.BOT | flags.EOT

    def font(self, index):
        """The stack's font `index` at this size, opened when first needed."""
        font = self._fonts[index]
        if font is None:
            font = SizedFont(*self._stack.entry(index), self._size)
            self._fonts[index] = font
        return font

    def line(self, text, levels=None):
        """Shapes a whole line.

        Args:
            text: str, cleaned (_clean.py).
            levels: its embedding levels (_bidi.py), None for all 0.
        """
        runs = itemise(text, levels, self._stack)
        line = Line()
        line.advances = []
        line.missing = []
        shaped = []
        widths = []
        pen = 0
        for run in runs:
            if text[run.start] == "\t":
                glyphs, width = [], self._tab(pen)
                line.advances.append((run.start, width))
            else:
                glyphs, width = self._run(text, run, line)
            shaped.append(glyphs)
            widths.append(width)
            pen += width
        line.width = pen // UNITS
        self._place(line, runs, shaped, widths)
        return line

    def _place(self, line, runs, shaped, widths):
        levels = [run.level for run in runs]
        line.mixed = any(level & 1 for level in levels)
        line.runs = []
        x = 0
        for index in _bidi.visual_order(levels):
            font = self.font(runs[index].font)
            line.runs.append((font, x, shaped[index]))
            x += widths[index]

    def _tab(self, pen):
        """Width of a tab that begins at `pen`: up to the next stop."""
        stop = _TAB_SPACES * self.font(0).space
        return stop - pen % stop if stop else 0

    def _run(self, text, run, line):
        """Shapes one run: `(glyphs, width)`; adds to the line's lists."""
        buffer = self._buffer
        buffer.clear_contents()
        buffer.add_str(text, run.start, run.end - run.start)
        buffer.direction = "rtl" if run.level & 1 else "ltr"
        buffer.script = run.script
        buffer.language = self._language
        font = self.font(run.font)
        self._shape(font.shaping, buffer, _FEATURES.get(run.script))
        glyphs = []
        advances = []
        missing = []
        pen = 0
        for info, position in zip(buffer.glyph_infos, buffer.glyph_positions):
            x, y, advance, _ = position.position
            if advance < 0:
                advance = -advance
                x += advance
            advance = (advance + 512) >> 10 << 10
            glyph = info.codepoint
            glyphs.append((glyph, pen + x, y))
            advances.append((info.cluster, advance))
            if glyph == 0:
                missing.append(info.cluster)
            pen += advance
        line.advances += advances
        if missing:
            starts = sorted({index for index, _ in advances} | {run.end})
            line.missing += self._missing(text, run, missing, starts)
        return glyphs, pen

    def _missing(self, text, run, clusters, starts):
        """The characters behind .notdef glyphs, as (index, character)."""
        found = []
        for index in sorted(set(clusters)):
            end = starts[bisect.bisect_right(starts, index)]
            lacking = [
                (place, text[place])
                for place in range(index, end)
                if not self._stack.covers(run.font, text[place])
            ]
            found += lacking or [(index, text[index])]
        return found
