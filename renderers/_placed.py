"""What a layout is made of: lines in their places, and the report.

Here: data only. Not here: who decides on places (_layout.py, _rows.py,
_page.py), what is drawn (_raster.py) or looked up (offsets.py)."""

from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._font import UNITS
from pixmodels.renderers._shape import Line
from pixmodels.renderers._shape import LineRun
from pixmodels.renderers.rendered_batch import Cut


class Span(NamedTuple):
    """The characters behind one line of a layout.

    Attributes:
        part: which text of the row.
        start: the character of the part that is character 0 of the line.
        first, last: the characters of the part that the line stands for:
            those drawn, with white space around them that is not drawn.
    """

    part: int
    start: int
    first: int
    last: int


@dataclass
class Layout:
    """One row: lines with their x, black patches, report of losses.

    `strips` are drawn already: x and the pixels column by column; where there
    are any (`Joined`), `lines` are what offsets are made of. `num_patches` is
    the index of the end patch, the last of `sep_patches`.
    `spans` has one Span for each of `lines`. `missing` holds (part, index,
    character) until `finish`, then characters.
    """

    lines: list[tuple[int, Line]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    sep_patches: tuple[int, ...] = ()
    num_patches: int = 0
    word_starts: tuple[int, ...] | None = None
    cuts: list[Cut] = field(default_factory=list)
    missing: list = field(default_factory=list)
    segments: tuple[tuple[int, int, int], ...] = ()
    strips: tuple[tuple[int, bytes], ...] = ()

    def finish(self):
        """Sets what follows from `sep_patches`; returns self."""
        self.num_patches = self.sep_patches[-1]
        if self.word_starts is not None:
            self.word_starts = (*self.word_starts, self.num_patches)
        if self.missing:
            found = (character for _, _, character in sorted(self.missing))
            self.missing = list(dict.fromkeys(found))
        return self

    def note_cut(self, part, start, text):
        """Reports the characters of a part from `start` on as cut."""
        if start < len(text):
            self.cuts.append(Cut(part, start, len(text), text[start:]))


class JoinedGlyphs(NamedTuple):
    """Glyphs of lines that were joined at once, without their pictures.

    Attributes:
        font: SizedFont.
        places: int (lines, 4): which layout, which part of it; x in pixels;
            the last patch the line may reach.
        clusters, advances: int32 (n,), as in `LineRun`, of all lines.
        counts, widths, lengths: int (lines,): glyphs, advance in 1/1024 px,
            characters.
        size: number of layouts.
    """

    font: object
    places: np.ndarray
    clusters: np.ndarray
    advances: np.ndarray
    counts: np.ndarray
    widths: np.ndarray
    lengths: np.ndarray
    size: int

    def lines(self, index):
        """[(x, Line)] of one layout."""
        none = np.empty((0, 3), np.int32)
        ends = np.cumsum(self.counts)
        found = []
        for k in np.flatnonzero(self.places[:, 0] == index).tolist():
            line = Line()
            line.missing = []
            line.mixed = False
            line.width = int(self.widths[k]) // UNITS
            part = slice(ends[k] - self.counts[k], ends[k])
            clusters, advances = self.clusters[part], self.advances[part]
            count = int(self.lengths[k])
            line.runs = [
                LineRun(self.font, 0, none, clusters, advances, 0, count, 0)
            ]
            found.append((int(self.places[k, 2]), line))
        return found


class Joined:
    """A `Layout` that is drawn already and lost nothing; quick to make.

    Args:
        strips, sep_patches, segments, word_starts: as in `Layout`.

    Attributes:
        glyphs: JoinedGlyphs or None: where offsets are to be made.
        index: which of its layouts this is.
    """

    __slots__ = (
        "glyphs",
        "index",
        "num_patches",
        "segments",
        "sep_patches",
        "strips",
        "word_starts",
    )
    cuts = ()
    missing = ()

    def __init__(self, strips, sep_patches, segments, word_starts=None):
        self.strips = strips
        self.sep_patches = sep_patches
        self.num_patches = sep_patches[-1]
        self.segments = segments
        self.word_starts = word_starts
        self.glyphs = None

    @property
    def lines(self):
        """As in `Layout`, of no use for drawing."""
        return self.glyphs.lines(self.index) if self.glyphs else ()

    @property
    def spans(self):
        """As in `Layout`."""
        return [
            Span(part, 0, 0, line.runs[0].end)
            for part, (_, line) in enumerate(self.lines)
        ]
