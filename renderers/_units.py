"""Words cut into units, each a line of its own.

Here: shaping of the units of a word, so that letters keep the forms which
they have in the word. Not here: where units go (_layout.py), how clusters are
counted off (_segment.py)."""

import itertools
from typing import NamedTuple

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._segment import atoms
from pixmodels.renderers._segment import grouped
from pixmodels.renderers._segment import stands_alone
from pixmodels.renderers._shape import Line
from pixmodels.renderers._unicode import graphemes

_CACHED = 1 << 14
# Longer words are not kept: they hardly come again.
_LONG = 32


class Unit(NamedTuple):
    """Characters `start:end` of a word, drawn from a patch boundary.

    `order` is its place from left to right among the units of the word.
    """

    start: int
    end: int
    line: Line
    order: int


class UnitShaper:
    """Cuts words into units and shapes them; remembers short words.

    A word of scripts whose letters do not change with their neighbours is cut
    into grapheme clusters, and each unit is shaped by itself: a bigram has one
    picture wherever it stands. Any other word is shaped as a whole, cut where
    both a grapheme cluster and a glyph cluster begin, and the glyphs are dealt
    out: Arabic letters stay joined, lam-alef and conjuncts stay in one unit.

    Args:
        shaper: Shaper.
        layout: `"bigrams"`, `"mono"` or `"adaptive"`.
    """

    def __init__(self, shaper, layout):
        self._shaper = shaper
        self._layout = layout
        self._known = {}

    def units(self, word, base=None):
        """Units of a cleaned word.

        Args:
            word: str without white space.
            base: bidi base level or None.

        Returns:
            tuple of Unit in logical order.
        """
        if len(word) > _LONG:
            return self._cut(word, base)
        found = self._known.get((word, base))
        if found is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            found = self._known[word, base] = self._cut(word, base)
        return found

    def _cut(self, word, base):
        if not word:
            return (Unit(0, 0, self._shaper.line(""), 0),)
        levels, _ = _bidi.levels(word, base)
        if levels is None and stands_alone(word):
            clusters = graphemes(word)
            spans = _spans(clusters, grouped(clusters, self._layout))
            return tuple(
                Unit(start, end, self._shaper.line(word[start:end]), order)
                for order, (start, end) in enumerate(spans)
            )
        line = self._shaper.line(word, levels)
        starts = {index for run in line.runs for index in run.clusters.tolist()}
        clusters = atoms(word, starts)
        spans = _spans(clusters, grouped(clusters, self._layout))
        if len(spans) == 1:
            return (Unit(0, len(word), line, 0),)
        parts, lefts = _deal(line, spans)
        order = np.argsort(np.argsort(lefts, kind="stable"))
        return tuple(
            Unit(*span, part, place)
            for span, part, place in zip(spans, parts, order.tolist())
        )


def _spans(clusters, sizes):
    spans = []
    start = index = 0
    for size in sizes:
        end = start + sum(map(len, clusters[index : index + size]))
        spans.append((start, end))
        start = end
        index += size
    return spans


def _deal(line, spans):
    """Deals the glyphs of a line out to the lines of its units.

    Returns:
        `(parts, lefts)`: Line of each span; its left edge in `line`, 1/1024 px.
    """
    starts = np.array([start for start, _ in spans])
    parts = [Line() for _ in spans]
    for part in parts:
        part.runs, part.missing = [], []
        part.width, part.mixed = 0, False
    lefts = [0] * len(spans)
    for index, character in line.missing:
        number = int(np.searchsorted(starts, index, side="right")) - 1
        parts[number].missing.append((index - spans[number][0], character))
    for run in line.runs:
        if not len(run.clusters):
            continue
        owner = np.searchsorted(starts, run.clusters, side="right") - 1
        # Clusters are monotone in a run, so glyphs of a unit are neighbours.
        edges = np.flatnonzero(np.diff(owner)) + 1
        edges = [0, *edges.tolist(), len(owner)]
        pens = [0, *np.cumsum(run.advances).tolist()]
        for first, last in itertools.pairwise(edges):
            number = int(owner[first])
            part = parts[number]
            if not part.runs:
                lefts[number] = run.x + pens[first]
            piece = _piece(run, first, last, pens[first], *spans[number])
            part.runs.append(piece._replace(x=part.width))
            part.mixed |= bool(run.level & 1)
            part.width += pens[last] - pens[first]
    for part in parts:
        part.width //= UNITS
    return parts, lefts


def _piece(run, first, last, pen, start, end):
    """Glyphs `first:last` of a run, for a line of characters `start:end`."""
    glyphs = run.glyphs
    if len(glyphs):  # A tab has none.
        glyphs = glyphs[first:last].copy()
        glyphs[:, 1] -= pen
    return run._replace(
        glyphs=glyphs,
        clusters=run.clusters[first:last] - start,
        advances=run.advances[first:last],
        start=max(run.start - start, 0),
        end=min(run.end, end) - start,
    )
