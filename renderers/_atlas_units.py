"""Units: what a character or ligature draws and how far it moves the pen.

Here: `UnitTable`, which numbers them and cuts their ink into columns; `Trie`,
which finds ligatures. Not here: which character has which unit
(_atlas_tables.py), how HarfBuzz sets it (_atlas_plans.py)."""

import numpy as np

from pixmodels.renderers._atlas_plans import REFUSED

# Units that no character draws, in this order.
BAD, MARK, END, TAB = range(4)
_FIXED = 4

UNIT_BITS = 18
SECOND_BITS = 10
PART_BITS = 12
WIDTH_BITS = 12
LEFT_BIAS = 1 << 11
# Room for the sum of `start` and a place in the ink; above it come two bits
# of the run and the number of glyphs at a column (_graph_draw.py).
COLUMN_BITS = 21
# The ink begins with a white column, then the P black ones of an end patch.
BLACK = 1
_HALF = 512
_WIDEST = (1 << WIDTH_BITS) - 1
_OVERHANG = 16  # The widest ink in advances; bounds the glyphs at a column.


class UnitTable:
    """Units of all plans, each distinct one once.

    Args:
        atlas: GlyphAtlas.
        baseline: 1/1024 px from the top.
        patch_size: P, pixels.
    """

    def __init__(self, atlas, baseline, patch_size):
        self._atlas = atlas
        self._baseline = baseline
        self._patch = patch_size
        blank = (0, 0, 0, 0, LEFT_BIAS << WIDTH_BITS)
        self._numbers = {}
        self._rows = [blank] * _FIXED
        # Class 0 of no plan: a row of zeros as wide as any.
        self._kerning = []
        self._kerning_size = 0
        self._places = {}
        self._ink = [
            np.full((1, patch_size), 255, np.uint8),
            np.zeros((patch_size, patch_size), np.uint8),
        ]
        self._ink_size = 1 + patch_size

    def __len__(self):
        return len(self._rows)

    def refuse_narrow(self, plan, font):
        """Takes from a plan what has far more ink than it moves the pen.

        So only some dozen glyphs can ever share a column, and counts of them
        do not overflow.
        """
        self._atlas.draw(font, [unit.glyph for unit in plan.units.values()])
        narrow = []
        for character, unit in plan.units.items():
            width = self._atlas.mask(font, unit.glyph)[2].shape[1]
            advance = unit.advance + _HALF >> 10
            if width > min(_OVERHANG * advance, _WIDEST):
                narrow.append(character)
        for character in narrow:
            del plan.units[character]
        least = np.full(len(plan.kerning), 1 << 30)
        joined = [unit for unit in plan.ligatures.values() if unit]
        for unit in (*plan.units.values(), *joined):
            first = plan.class_of(unit.glyph)[0]
            least[first] = min(least[first], max(unit.advance, _HALF))
        plan.kerning[plan.kerning + least[:, None] < _HALF] = REFUSED

    def start_plan(self, plan):
        """Adds its kerning; the units added next are this plan's."""
        self._start = self._kerning_size
        self._kerning.append(plan.kerning.reshape(-1))
        self._kerning_size += plan.kerning.size

    def add(self, plan, font, unit, place="whole", part=0):
        """The number of a unit.

        A ligature is spread over its characters: the first is kerned with
        what stands before it, the last draws and is kerned with what follows.

        Args:
            plan: Plan, the one last started.
            font: key of its font in the atlas.
            unit: Unit.
            place: `"whole"`, or of a ligature `"first"`, `"middle"`, `"last"`.
            part: packed state and column of the ligature trie.
        """
        first, second = plan.class_of(unit.glyph)
        advance = extent = start = 0
        left = width = 0
        if place in ("whole", "last"):
            advance = unit.advance
            start, left, width = self._columns(font, unit)
        else:
            first = 0
        if place in ("middle", "last"):
            second = 0
        row = self._start + first * plan.kerning.shape[1]
        extent = (left + LEFT_BIAS << WIDTH_BITS) + width
        values = (advance, row << SECOND_BITS | second, part, start, extent)
        number = self._numbers.setdefault(values, len(self._rows))
        if number == len(self._rows):
            self._rows.append(values)
        return number

    def _columns(self, font, unit):
        """`(first column of ink, left, width)` of a unit."""
        top = self._baseline + _HALF - unit.y >> 10
        key = (font, unit.glyph, top)
        found = self._places.get(key)
        if found is None:
            left, rise, mask = self._atlas.mask(font, unit.glyph)
            canvas = np.full((mask.shape[1], self._patch), 255, np.uint8)
            top += rise
            first, last = max(top, 0), min(top + len(mask), self._patch)
            if first < last:
                canvas[:, first:last] -= mask[first - top : last - top].T
            found = self._places[key] = (self._ink_size, left, len(canvas))
            self._ink.append(canvas)
            self._ink_size += len(canvas)
        start, left, width = found
        return start, left + (unit.x + _HALF >> 10), width

    def arrays(self):
        """Dict of the arrays of `Tables` that are made here."""
        ink = np.concatenate(self._ink)
        widest = max(array.size for array in self._kerning)
        names = ("advance", "kern", "part", "start", "extent")
        columns = np.array(self._rows, np.int64).T
        few = len(ink) < 1 << COLUMN_BITS and len(self) < 1 << UNIT_BITS
        if not few or columns.max() >= 1 << 31:
            raise ValueError(
                f"expected fewer than {1 << UNIT_BITS} glyphs and "
                f"{1 << COLUMN_BITS} columns of ink: take a smaller font or "
                f"fewer scripts. Received: {len(self)} and {len(ink)}"
            )
        # Where two plans meet, a row of one is read at a column of the other
        # before the result is dropped.
        kerning = [*self._kerning, np.zeros(widest, np.int64)]
        return {
            **dict(zip(names, columns.astype(np.int32))),
            "kerning": np.concatenate(kerning).astype(np.int32),
            "ink": ink,
        }


class Trie:
    """Ligatures of all plans: parts are glyphs, each with a plan of its own."""

    def __init__(self):
        self._parts = {}
        self._after = {}
        self._accept = {}
        self._ligatures = [(BAD, BAD, BAD)]

    def add(self, plan, glyphs, units):
        """Adds a ligature.

        Args:
            plan: number of the plan.
            glyphs: tuple of two or three glyph ids.
            units: numbers of its first, middle and last unit; all `BAD` for
                glyphs that must not stand together.
        """
        state = ("root", plan)
        for glyph in glyphs:
            part = self._parts.setdefault((plan, glyph), len(self._parts) + 1)
            state = self._after.setdefault((state, part), len(self._after) + 1)
        self._accept[state] = len(self._ligatures)
        self._ligatures.append(units)

    def part(self, plan, glyph):
        """Packed: the state after this glyph << 12 | its column, 0 if none."""
        part = self._parts.get((plan, glyph), 0)
        state = self._after.get((("root", plan), part), 0)
        return state << PART_BITS | part

    def arrays(self):
        """Dict of the arrays of `Tables` that are made here."""
        columns = len(self._parts) + 1
        trie = np.zeros((len(self._after) + 1, columns), np.int32)
        for (state, part), after in self._after.items():
            if not isinstance(state, tuple):
                trie[state, part] = after
        accept = np.zeros(len(trie), np.int32)
        for state, ligature in self._accept.items():
            accept[state] = ligature
        if columns >= 1 << PART_BITS or len(trie) >= 1 << 19:
            raise ValueError(
                "expected fewer glyphs that take part in ligatures. "
                f"Received: {columns} glyphs, {len(trie)} beginnings"
            )
        return {
            "trie": trie.reshape(-1),
            "accept": accept,
            "ligature": np.array(self._ligatures, np.int32).reshape(-1),
            "parts": columns,
        }
