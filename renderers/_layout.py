"""Where texts, pairs and words go on the row of patches, and what fits.

Here: PIXEL's layouts of one line (PIXEL.md 1), layouts of units, exact
truncation. Not here: glyphs (_shape.py), pixels (_raster.py), windows and
packs (_rows.py), pages (_page.py). x is in pixels."""

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._clean import clean
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._placed import Layout
from pixmodels.renderers._placed import Span
from pixmodels.renderers._segment import Piece
from pixmodels.renderers._segment import first_clusters
from pixmodels.renderers._segment import is_right_to_left
from pixmodels.renderers._segment import pieces
from pixmodels.renderers._segment import pixel_votes_rtl
from pixmodels.renderers._segment import word_base
from pixmodels.renderers._unicode import grapheme_start
from pixmodels.renderers._units import Unit

MARGIN = 2  # Pixels before the first text and after each.

# Characters a patch that are looked at: ten times what letters can fill, so
# that a million marks or controls without width take bounded time.
DENSITY = 64


class Typesetter:
    """Lays out one text, pair or word list at a time.

    Args:
        shaper: Shaper.
        patch_width: P, pixels.
        max_patches: L, of which the last can hold the end patch only.
        layout: how a text is cut into units (CairoRenderer).
        direction: `"auto"`, `"ltr"` or `"rtl"`.
        units: UnitShaper for the layouts of units, else None.
    """

    def __init__(
        self,
        shaper,
        patch_width,
        max_patches,
        *,
        layout="continuous",
        direction="auto",
        units=None,
    ):
        self._shaper = shaper
        self._patch = self.patch_width = patch_width
        self.limit = max_patches - 1
        self._layout = layout
        self.is_continuous = layout == "continuous"
        self._base = {"auto": None, "ltr": 0, "rtl": 1}[direction]
        self._units = units
        self._most = DENSITY * max_patches
        # Characters shaped at first, as a text may be far too long.
        self._window = DENSITY + self.limit * patch_width // 2

    def lay_out(self, item):
        """Layout of a str, a (str, str) tuple or a list of words."""
        if isinstance(item, str):
            layout = self._text(item)
        elif isinstance(item, tuple):
            layout = self._pair(item)
        else:
            layout = self._words(item)
        return layout.finish()

    def pair_base(self, pair):
        """Base level of both texts of a pair, None for each its own."""
        if self._base is None and all(map(pixel_votes_rtl, pair)):
            return 1
        return self._base

    def base_of(self, text):
        """Base level of a text: the direction asked for, else its own."""
        if self._base is None:
            return _bidi.levels(clean(text[: self._most])[0])[1]
        return self._base

    def set_text(self, layout, part, text, patch, *, start=0, **options):
        """Sets the characters of one part from `start` on.

        Args:
            layout: Layout, which is added to.
            part: int, its index in the row.
            text: str, the whole part.
            patch: where it starts.
            start: first character to set.
            **options: `limit`, the patch that must stay free (L - 1); `base`,
                bidi base level; `own`, that of the whole text, which counts
                where `base` is None; `clip`, whether a line that does not fit
                is clipped (default), or set anew from what does (False);
                "always" clips right-to-left lines, too.

        Returns:
            `(patch, end)`: the next free patch; first character not set.
        """
        options = {"limit": self.limit, "clip": True, "base": None, **options}
        own = options.pop("own", None)
        if options["base"] is None:
            options["base"] = self._base
        drawn, lost = clean(str(text[start : start + self._most + 1]))
        if self._layout == "continuous":
            last = start + len(drawn)
            piece = Piece(part, start, drawn, start, last)
            if options["base"] is None:
                options["base"] = own
            x = patch * self._patch + MARGIN
            x, size = self._add(layout, piece, x, **options)
            patch = self._next(x + MARGIN, options["limit"])
            end = start + size
        else:
            if layout.word_starts is None:
                layout.word_starts = ()
            found = self._pieces(drawn, part, start, options["base"], own)
            patch, end = self._set_pieces(layout, found, patch, options)
            if end is None:
                end = start + len(drawn)
        if lost:
            layout.missing += [
                (part, start + i, character)
                for i, character in lost
                if start + i < end
            ]
        return patch, end

    def _text(self, text):
        layout = Layout()
        end, cut = self.set_text(layout, 0, text, 0)
        layout.note_cut(0, cut, text)
        layout.sep_patches = (end,)
        layout.segments = ((0, 0, end),)
        return layout

    def _pair(self, pair):
        layout = Layout()
        base = self.pair_base(pair)
        first, cut = self.set_text(layout, 0, pair[0], 0, base=base)
        layout.note_cut(0, cut, pair[0])
        end, cut = self.set_text(layout, 1, pair[1], first + 1, base=base)
        layout.note_cut(1, cut, pair[1])
        layout.sep_patches = (first, end)
        layout.segments = ((0, 0, first), (1, min(first + 1, end), end))
        return layout

    def _words(self, words):
        layout = Layout()
        layout.word_starts = ()
        found = []
        for part, word in enumerate(words):
            drawn, lost = clean(str(word[: self._most + 1]))
            found.append(Piece(part, 0, drawn, 0, len(drawn)))
            layout.missing += [(part, i, c) for i, c in lost]
        options = {"limit": self.limit, "clip": True, "base": self._base}
        place = self._set_items if self._units else self._set_words
        end, piece, size = place(layout, found, 0, options)
        if piece:
            layout.note_cut(piece.part, size, words[piece.part])
            for part in range(piece.part + 1, len(words)):
                layout.note_cut(part, 0, words[part])
            drawn = (piece.part, size)
            layout.missing = [m for m in layout.missing if m < drawn]
        end = end if words else 1
        layout.sep_patches = (end,)
        layout.segments = ((0, 0, end),)
        return layout

    def _pieces(self, drawn, part, start, base, own=None):
        """The pieces of a text, each with its own base direction."""
        if base is None and own is None:
            own = _bidi.levels(drawn)[1]
        for piece in pieces(drawn, part, start, self._layout):
            if base is None and own:
                yield piece._replace(base=word_base(piece.drawn))
            else:
                yield piece

    def _set_pieces(self, layout, found, patch, options):
        """Sets the pieces of one text.

        Returns:
            `(next patch, first character not set)`, None where all are.
        """
        place = self._set_units if self._units else self._set_words
        patch, piece, size = place(layout, found, patch, options)
        if piece is None:
            return patch, None
        return patch, (piece.start + size if size else piece.first)

    def _set_words(self, layout, found, patch, options):
        """Sets words as PIXEL does.

        Returns:
            `(next patch, piece, size)`: the first piece that is not set as a
            whole, or None; how many characters of it are.
        """
        limit = options["limit"]
        x = patch * self._patch + MARGIN
        is_first = True
        for piece, is_last in _with_last(found):
            if x >= limit * self._patch:
                return min(patch, limit), piece, 0
            after, extra = ("", MARGIN) if is_last else (" ", 0)
            end, size = self._add(
                layout,
                piece,
                x,
                after=after,
                all_or_nothing=not (is_first or options["clip"]),
                **options,
            )
            fits = size == len(piece.drawn)
            if not (fits or size or options["clip"]):
                return patch, piece, 0
            if not piece.blank:
                layout.word_starts += (patch,)
            patch = self._next(end + extra, limit)
            x = patch * self._patch
            is_first = False
            if not fits:
                return patch, piece, size
        return patch, None, 0

    def _set_items(self, layout, found, patch, options):
        """Sets the items of a list as units; as `_set_words`."""
        for item in found:
            if patch >= options["limit"]:
                return options["limit"], item, 0
            inside = self._pieces(item.drawn, item.part, 0, options["base"])
            starts = layout.word_starts
            start = patch
            patch, end = self._set_pieces(layout, inside, patch, options)
            if end or end is None:
                layout.word_starts = (*starts, start)
            if end is not None:
                return patch, item, end
        return patch, None, 0

    def _set_units(self, layout, found, patch, options):
        """Sets words as units, without a margin; as `_set_words`."""
        is_first = True
        for piece in found:
            start = patch
            if patch >= options["limit"]:
                return options["limit"], piece, 0
            patch, size = self._place(layout, piece, patch, options, is_first)
            is_first = False
            fits = size == len(piece.drawn)
            if not (piece.blank or (size == 0 and not fits)):
                layout.word_starts += (start,)
            if not fits:
                return patch, piece, size
        return patch, None, 0

    def _place(self, layout, piece, patch, options, is_first):
        """Sets the units of one word; `(next patch, characters set)`."""
        limit = options["limit"]
        room = limit - patch
        # No more can fit: a word at a time in the adaptive layout, else two
        # clusters a patch.
        whole = self._layout == "adaptive" and is_right_to_left(piece.drawn)
        most = room * self._patch if whole else 2 * room + 2
        word = first_clusters(piece.drawn, most)
        base = options["base"] if piece.base is None else piece.base
        units = (
            (Unit(0, len(word), self._shaper.line(" " if word else ""), 0),)
            if piece.blank
            else self._units.units(word, base)
        )
        widths = [self._width(unit.line) for unit in units]
        kept = int(np.searchsorted(np.cumsum(widths), room, side="right"))
        if not kept and (is_first or (len(units) == 1 and options["clip"])):
            # A unit wider than all there is: as much of it as fits.
            x, size = self._add(layout, piece, patch * self._patch, **options)
            return max(self._next(x, limit), patch + 1), size
        units = units[:kept]
        for unit in sorted(units, key=lambda unit: unit.order):
            at = piece.start + unit.start
            first, last = at, piece.start + unit.end
            if not unit.start:
                first = piece.first
            if unit.end == len(piece.drawn):
                last = piece.last
            layout.lines.append((patch * self._patch, unit.line))
            layout.spans.append(Span(piece.part, at, first, last))
            self._note_missing(layout, piece.part, at, unit.line)
            patch += self._width(unit.line)
        return patch, units[-1].end if units else 0

    def _width(self, line):
        """Patches of a unit: at least one, a gap after right-to-left words."""
        width = line.width
        if line.mixed and self._layout == "adaptive":
            width += self._shaper.font(0).space // UNITS
        return max(1, -(-width // self._patch))

    def _next(self, x, limit):
        """The first patch that starts at or after `x`, at most `limit`."""
        return min(-(-x // self._patch), limit)

    def _add(
        self,
        layout,
        piece,
        x,
        *,
        limit,
        base,
        clip,
        after="",
        all_or_nothing=False,
    ):
        """Adds a piece at `x`; `(x of its end, characters set)`."""
        room = limit * self._patch - x
        if room < 0:
            return x, 0
        base = base if piece.base is None else piece.base
        line, cut = self._fit(piece.drawn + after, room, base, clip)
        size = len(piece.drawn)
        if cut is not None and cut < size:
            if all_or_nothing:
                return x, 0
            size = cut
        first, last = piece.first, piece.last
        if size < len(piece.drawn):
            last = piece.start + size
        layout.lines.append((x, line))
        layout.spans.append(Span(piece.part, piece.start, first, last))
        self._note_missing(layout, piece.part, piece.start, line, size)
        return x + line.width, size

    @staticmethod
    def _note_missing(layout, part, start, line, size=None):
        if line.missing:
            layout.missing += [
                (part, start + index, character)
                for index, character in line.missing
                if size is None or index < size
            ]

    def _fit(self, text, room, base, clip):
        """`(line, cut)`: cut is the first character not fully inside `room`.

        Left to right, the line is drawn as it is and clipped, as in PIXEL.
        A line with right-to-left parts, of which PIXEL shows the wrong end,
        is set anew from what is kept; so is any line where `clip` is False.
        """
        known = text[: self._most]
        levels, base = _bidi.levels(known, base)
        line = self._shaper.line(known[: self._window], levels)
        if len(known) > self._window:
            if line.width <= room + 4 * self._patch:
                line = self._shaper.line(known, levels)
            else:
                known = known[: self._window]
        if line.width <= room:
            return line, None if len(known) == len(text) else len(known)
        clip = clip == "always" or (clip and not line.mixed)
        while line.width > room:
            cut = grapheme_start(known, _overflow(line, len(known), room))
            if clip:
                break
            known = known[:cut]
            line = self._shaper.line(known, _bidi.levels(known, base)[0])
        return line, cut


def _overflow(line, count, room):
    """Index of the first character whose advance passes `room` pixels."""
    pens = np.cumsum(line.character_advances(count))
    return int(np.searchsorted(pens, room * UNITS, side="right"))


def _with_last(found):
    """Yields (item, whether it is the last)."""
    held = None
    for item in found:
        if held is not None:
            yield held, False
        held = item
    if held is not None:
        yield held, True
