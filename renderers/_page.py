"""Texts over the rows of a page.

Here: paragraphs, lines, flush sides, the end patch. Not here: where a line
may break (_line_breaks.py), masks and pixels. Each row of patches holds one
line of text, set as PIXEL sets its only one."""

import re

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._clean import clean
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._layout import DENSITY
from pixmodels.renderers._layout import MARGIN
from pixmodels.renderers._line_breaks import line_breaks
from pixmodels.renderers._placed import Layout
from pixmodels.renderers._placed import Span
from pixmodels.renderers._unicode import grapheme_start
from pixmodels.renderers._unicode import graphemes_of

_PARAGRAPH_END = re.compile("\r\n|[\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]")


class PageSetter:
    """Sets one text on one page at a time.

    Args:
        shaper: Shaper.
        patch_width: P, pixels.
        rows, columns: patches.
        base: bidi base level of every paragraph, None for each its own.
    """

    def __init__(self, shaper, patch_width, rows, columns, base):
        self._shaper = shaper
        self._patch = patch_width
        self._rows = rows
        self._columns = columns
        self._base = base

    def set_page(self, text):
        """Lays out a page.

        Returns:
            `(layouts, report)`: one Layout for each row; a Layout without
            lines that holds the end patch, counted by rows, and the losses.
        """
        page = [Layout(num_patches=self._columns) for _ in range(self._rows)]
        report = Layout()
        self._next_row = 0
        self._end = 1
        done = 0
        for start, end, after in _paragraphs(text):
            done = self._paragraph(page, report, text, start, end, after)
            if done < after:
                break
        report.note_cut(0, done, text)
        row, column = divmod(self._end, self._columns)
        page[row].sep_patches = (column,)
        report.sep_patches = (self._end,)
        report.segments = ((0, 0, self._end),)
        return page, report.finish()

    def _paragraph(self, page, report, text, start, end, after):
        """Sets the lines of `text[start:end]`; first character not set."""
        left = self._rows - self._next_row
        if not left:
            return start
        most = DENSITY * self._columns * left
        drawn, lost = clean(text[start : min(end, start + most)])
        levels, base = _bidi.levels(drawn, self._base)
        breaks = line_breaks(drawn)
        done = 0
        while self._next_row < self._rows:
            size, line = self._line(drawn, levels, base, breaks, done)
            first = start + done
            done += size
            last = after if start + done == end else start + done
            layout = page[self._next_row]
            self._put(layout, line, Span(0, first, first, last), base)
            report.missing += [(0, first + i, c) for i, c in line.missing]
            if done == len(drawn):
                break
        report.missing += [(0, start + i, c) for i, c in lost if i < done]
        return after if start + done == end else start + done

    def _line(self, drawn, levels, base, breaks, done):
        """`(characters, line)`: the next line; white space at its end hangs."""
        room = self._columns - (self._next_row == self._rows - 1)
        room = room * self._patch - 2 * MARGIN
        known = drawn[done : done + DENSITY * self._columns]
        known_levels = None if levels is None else levels[done:]
        line = self._shape(known, known_levels)
        if line.width <= room and done + len(known) == len(drawn):
            return len(known), line
        pens = np.cumsum(line.character_advances(len(known)))
        fits = int(np.searchsorted(pens, room * UNITS, side="right"))
        size = fits
        while size < len(known) and known[size].isspace():
            size += 1
        for end in range(size, 0, -1):
            if self._may_break(drawn, breaks, done, end):
                line = self._shape(known[:end].rstrip(), known_levels)
                if line.width <= room:
                    return end, line
        return self._broken_word(known, known_levels, fits, room)

    def _broken_word(self, known, levels, size, room):
        """The beginning of a word that is longer than the line."""
        size = grapheme_start(known, size)
        while size:
            line = self._shape(known[:size], levels)
            if line.width <= room:
                return size, line
            size = grapheme_start(known, size - 1)
        # One cluster wider than the line is clipped.
        size = len(next(graphemes_of(known)))
        return size, self._shape(known[:size], levels)

    @staticmethod
    def _may_break(drawn, breaks, done, size):
        """Whether a line may end before `drawn[done + size]`."""
        place = done + size
        if place == len(drawn):
            return True
        if not breaks[place - 1]:
            return False
        near = drawn[max(done, place - 64) :]
        return grapheme_start(near[:128], min(64, size)) == min(64, size)

    def _shape(self, text, levels):
        return self._shaper.line(
            text, None if levels is None else levels[: len(text)]
        )

    def _put(self, layout, line, span, base):
        """Adds a line to the next row, and moves the end patch after it."""
        row = self._next_row
        columns = self._columns - (row == self._rows - 1)
        x = MARGIN
        column = -(-(x + line.width + MARGIN) // self._patch)
        if base:
            x = max(columns * self._patch - MARGIN - line.width, MARGIN)
            column = self._columns
        layout.lines.append((x, line))
        layout.spans.append(span)
        self._end = row * self._columns + min(max(column, 1), columns)
        self._next_row += 1


def _paragraphs(text):
    """(start, end, start of the next) of each; none after a last break."""
    start = 0
    for match in _PARAGRAPH_END.finditer(text):
        yield start, match.start(), match.end()
        start = match.end()
    if start < len(text) or not text:
        yield start, len(text), len(text)
