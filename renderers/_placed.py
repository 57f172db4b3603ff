"""What a layout is made of: lines in their places, and the report.

Here: data only. Not here: who decides on places (_layout.py, _rows.py,
_page.py), what is drawn (_raster.py) or looked up (offsets.py)."""

from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from pixmodels.renderers._shape import Line
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
    are any, `lines` are only what offsets are made of. `num_patches` is the
    index of the end patch, the last of `sep_patches`.
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
