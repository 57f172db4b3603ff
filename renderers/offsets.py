"""`Offsets`: which characters stand in which patches, and back.

Here: the tables and the two look-ups. Not here: layouts (_layout.py), PIXEL's
own list (_pixel_offsets.py). A character is in the patch where the advance of
its glyph cluster begins; the whole batch is computed at once."""

import itertools
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._font import UNITS


class Located(NamedTuple):
    """Characters `start:end` of one part of a text; `text` is those."""

    part: int
    start: int
    end: int
    text: str


class Offsets:
    """Patches to characters and characters to patches, through bidi.

    `offsets[i]` is an int32 array (N, 3) for text i of the batch: of each
    patch the part (0 or 1 in a pair, the word in a list, the text in a pack;
    -1 for separators, end and blank patches), and the characters `start:end`
    of that part that it holds, as received. A character belongs to the patch
    in which the advance of its glyph cluster begins, at its left edge; all
    characters of a cluster go together, and what has no advance (a mark, a
    joiner) goes with the character before it. A patch in which nothing begins
    but a wide glyph goes on names that glyph's characters. Where directions
    meet inside a patch, `start:end` spans all of its characters and perhaps
    others; `locate` is exact. Characters that were cut are in no patch; white
    space that a layout does not draw is with the word before it.

    Attributes:
        table: int32 (B, N, 3).
        going_on: bool (B, N), nothing begins in the patch, a glyph goes on.

    Args:
        layouts: list of Layout, finished.
        texts: per text, the sequence of its parts.
        num_patches: N.
        patch_width: P, pixels.
        rows: layouts that make one text (pages), N / rows patches each.
    """

    def __init__(self, layouts, texts, num_patches, patch_width, rows=1):
        self._texts = texts
        shape = (len(layouts) // rows, num_patches)
        lines = _Lines(layouts, rows, num_patches // rows, patch_width)
        self._pieces = lines.pieces
        self._patches = lines.patches
        self.table = np.full((*shape, 3), -1, np.int32)
        self.going_on = np.zeros(shape, bool)
        if len(self._patches):
            self._fill(lines)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        return self.table[index]

    def locate(self, index, first_patch, last_patch):
        """The characters in a range of patches.

        Args:
            index: which text of the batch.
            first_patch, last_patch: int, both inclusive.

        Returns:
            list of Located, in order of part and character, as few as
            possible.

        Raises:
            IndexError: no such text.
            ValueError: the range is empty or not inside 0 to N - 1.
        """
        table = self.table[index]
        if not 0 <= first_patch <= last_patch < len(table):
            raise ValueError(
                f"expected 0 <= first_patch <= last_patch < {len(table)}. "
                f"Received: first_patch={first_patch!r}, "
                f"last_patch={last_patch!r}"
            )
        found = []
        for part, start, patches in self._of(index):
            inside = (patches >= first_patch) & (patches <= last_patch)
            edges = np.flatnonzero(np.diff(inside, prepend=0, append=0))
            edges = (edges + start).tolist()
            found += zip(
                itertools.repeat(part), edges[::2], edges[1::2], strict=False
            )
        window = slice(first_patch, last_patch + 1)
        for row in table[window][self.going_on[index][window]].tolist():
            found.append(tuple(row))
        return self._merged(index, found)

    def patches_of(self, index, part, start, end):
        """The ranges of patches that hold characters `start:end` of a part.

        Args:
            index: which text of the batch.
            part: which part of it, as in the table.
            start, end: characters.

        Returns:
            list of (first patch, last patch), both inclusive, rising; empty
            where all these characters were cut. One range, unless directions
            are mixed.

        Raises:
            IndexError: no such text or part.
            ValueError: `start:end` is empty or not inside the part.
        """
        text = self._texts[index][part]
        if part < 0 or not 0 <= start < end <= len(text):
            raise ValueError(
                f"expected 0 <= start < end <= {len(text)}. "
                f"Received: part={part!r}, start={start!r}, end={end!r}"
            )
        found = set()
        for piece, first, patches in self._of(index):
            if piece == part:
                low, high = max(start - first, 0), max(end - first, 0)
                found.update(patches[low:high].tolist())
        found.discard(-1)
        for patch in sorted(found):
            found.update(self._onward(index, patch, part, start, end))
        ordered = sorted(found)
        ranges = []
        for patch in ordered:
            if ranges and ranges[-1][1] == patch - 1:
                ranges[-1] = (ranges[-1][0], patch)
            else:
                ranges.append((patch, patch))
        return ranges

    def _onward(self, index, patch, part, start, end):
        """The patches after `patch` into which the characters go on."""
        table, going_on = self.table[index], self.going_on[index]
        patch += 1
        while patch < len(table) and going_on[patch]:
            held, first, last = table[patch].tolist()
            if held != part or first >= end or last <= start:
                break
            yield patch
            patch += 1

    def _of(self, index):
        """(part, first character, patch of each character) of one text."""
        # Negative indices count from the end, as in the table.
        index = range(len(self.table))[index]
        low, high = np.searchsorted(self._pieces[:, 0], (index, index + 1))
        for _, part, first, last, at in self._pieces[low:high].tolist():
            yield part, first, self._patches[at : at + last - first]

    def _merged(self, index, found):
        result = []
        for part, start, end in sorted(found):
            if result and result[-1][0] == part and start <= result[-1][2]:
                result[-1][2] = max(result[-1][2], end)
            else:
                result.append([part, start, end])
        parts = self._texts[index]
        return [
            Located(part, start, end, parts[part][start:end])
            for part, start, end in result
        ]

    def _fill(self, lines):
        table = self.table.reshape(-1, 3)
        size = self.table.shape[1]
        index, part, first, last, at = lines.pieces.T
        counts = last - first
        cell = np.repeat(index * size, counts) + lines.patches
        character = np.arange(len(cell)) + np.repeat(first - at, counts)
        part_of = np.repeat(part, counts)
        begins = np.diff(cell, prepend=-1)
        inner = np.flatnonzero(begins == 0)
        if begins.min() >= 0 and np.all(
            character[inner] > character[inner - 1]
        ):  # From left to right: each patch has one run of characters.
            begins = np.flatnonzero(begins)
            ends = np.append(begins[1:], len(cell)) - 1
            rows = part_of[begins], character[begins], character[ends] + 1
            table[cell[begins]] = np.stack(rows, axis=1)
        else:
            table[cell, 0] = part_of
            table[cell, 1] = np.iinfo(np.int32).max
            np.minimum.at(table[:, 1], cell, character)
            np.maximum.at(table[:, 2], cell, character + 1)
        # Cells that a glyph of the cell before reaches, without a beginning.
        first = index * size
        line, start, end, low, high = lines.wide(table[:, 0] < 0, first)
        cell = first[line] + low
        for k in range(len(line)):
            row = (part[line[k]], start[k], end[k])
            for reached in range(cell[k] + 1, cell[k] + high[k] - low[k] + 1):
                if table[reached, 0] >= 0:
                    break
                table[reached] = row
                self.going_on.reshape(-1)[reached] = True


class _Lines:
    """The lines of a batch as arrays over lines, glyph clusters, characters.

    Attributes:
        pieces: int32 (lines, 5): text, part, first, last character, and
            where they stand in `patches`.
        patches: int32 (characters,), patch of every character of the lines.
    """

    def __init__(self, layouts, rows, columns, patch_width):
        self._width = patch_width
        self._read(layouts, rows, columns)
        line, char, x = self._clusters
        _, _, first, last, at = self.pieces.T
        self.patches = np.repeat(self._patch(self._x), last - first)
        place = at[line] + char - first[line]
        inside = (char >= first[line]) & (char < last[line])
        inside &= self._advances > 0
        self._owned = np.flatnonzero(inside)
        place = place[inside]
        self._place = place
        self.patches[place] = self._low = self._patch(x, line)[inside]
        # The other characters of a cluster, marks and white space are with
        # the character before; at the beginning of a piece the one after.
        index = np.arange(len(self.patches))
        marked = np.full(len(index), -1)
        marked[place] = place
        before = np.maximum.accumulate(marked)
        outside = before < np.repeat(at, last - first)
        if outside.any():
            marked[marked < 0] = len(index)
            after = np.minimum.accumulate(marked[::-1])[::-1]
            none = after >= np.repeat(at + last - first, last - first)
            before = np.where(outside, np.where(none, index, after), before)
        self.patches = self.patches[before]
        self._before = before

    def wide(self, empty, cells):
        """Clusters that reach into a patch where none begins.

        Args:
            empty: bool (cells,), of the table's cells, whether nothing begins.
            cells: int (lines,), the cell of patch 0 of a line's text.

        Returns:
            `(line, start, end, low, high)`, arrays: index of the line; the
            characters; first and last patch.
        """
        line, char, x = self._clusters
        line, x = line[self._owned], x[self._owned]
        right = x + self._advances[self._owned] - 1
        high = np.maximum(self._patch(right, line), self._low)
        found = np.flatnonzero(high > self._low)
        found = found[empty[(cells[line] + self._low + 1)[found]]]
        _, _, first, last, at = self.pieces[line[found]].T
        place = self._place[found]
        # The cluster ends before the next character that begins one.
        following = np.searchsorted(self._before, place, side="right")
        end = np.minimum(following - at + first, last)
        start = char[self._owned][found]
        return line[found], start, end, self._low[found], high[found]

    def _patch(self, x, line=slice(None)):
        """The patch of x (1/1024 px), in the text, not after its line.

        A line may begin left of the canvas, as PyGame sets some.
        """
        patch = np.clip(x // (UNITS * self._width), 0, self._last[line])
        return (patch + self._shift[line]).astype(np.int32)

    def _read(self, layouts, rows, columns):
        if not self._read_joined(layouts, rows):
            self._read_lines(layouts, rows, columns)

    def _read_joined(self, layouts, rows):
        """Reads a batch that was joined at once; False for any other."""
        glyphs = getattr(layouts[0], "glyphs", None) if layouts else None
        if not glyphs or rows > 1 or glyphs.size != len(layouts):
            return False
        for index, layout in enumerate(layouts):
            same = getattr(layout, "glyphs", None) is glyphs
            if not same or layout.index != index:
                return False
        index, part, x, end = glyphs.places.T
        length, none = glyphs.lengths, np.zeros_like(x)
        columns = index, part, none, length, np.cumsum(length) - length
        self.pieces = np.stack(columns, axis=1).astype(np.int32)
        last = x + np.maximum(glyphs.widths // UNITS, 1) - 1
        self._x, self._shift = x * UNITS, none
        self._last = np.minimum(last // self._width, end)
        runs = np.arange(len(x)), none, self._x, glyphs.counts
        self._join(np.stack(runs, axis=1), [glyphs.clusters], [glyphs.advances])
        return True

    def _read_lines(self, layouts, rows, columns):
        pieces, of_lines, of_runs, clusters, advances = [], [], [], [], []
        at = 0
        for number, layout in enumerate(layouts):
            index, row = divmod(number, rows)
            # Rows of a page have no end patch, but for one.
            end = (layout.sep_patches or (layout.num_patches,))[-1] - 1
            for (x, line), span in zip(layout.lines, layout.spans):
                part, start, first, last = span
                pieces.append((index, part, first, last, at))
                at += last - first
                last = (x + max(line.width, 1) - 1) // self._width
                of_lines.append((x * UNITS, min(last, end), row * columns))
                for run in line.runs:
                    clusters.append(run.clusters)
                    advances.append(run.advances)
                    count = len(run.clusters)
                    of_runs.append(
                        (len(pieces) - 1, start, x * UNITS + run.x, count)
                    )
        self.pieces = np.array(pieces, np.int32).reshape(-1, 5)
        table = np.array(of_lines, np.int64).reshape(-1, 3)
        self._x, self._last, self._shift = table.T
        self._join(
            np.array(of_runs, np.int64).reshape(-1, 4), clusters, advances
        )

    def _join(self, of_runs, clusters, advances):
        """Arrays over glyphs, then over glyph clusters."""
        line, start, x, counts = of_runs.T
        if not counts.sum():
            none = np.zeros(0, np.int64)
            self._clusters = none, none, none
            self._advances = none
            return
        clusters = np.concatenate(clusters)
        advances = np.concatenate(advances).astype(np.int64)
        begins = np.cumsum(counts) - counts
        pens = np.cumsum(advances) - advances
        filled = counts > 0
        begins, counts = begins[filled], counts[filled]
        x = np.repeat(x[filled] - pens[begins], counts) + pens
        char = np.repeat(start[filled], counts) + clusters
        line = np.repeat(line[filled], counts)
        new = np.empty(len(clusters), bool)
        new[1:] = clusters[1:] != clusters[:-1]
        new[begins] = True
        new = np.flatnonzero(new)
        self._clusters = line[new], char[new], x[new]
        self._advances = np.add.reduceat(advances, new)
