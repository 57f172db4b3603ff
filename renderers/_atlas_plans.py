"""How each font sets each character of a `Charset`, as tables to look up.

Here: `Plan`, one font shaped for scripts that it treats alike: the glyph and
advance of a character, ligatures, kerning classes. Not here: pixels and the
layout of the tables in a graph (_atlas_tables.py). HarfBuzz gives the glyphs;
`Plan.check` compares what the tables say with what it does."""

import itertools
import random
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._atlas_opentype import kerning
from pixmodels.renderers._atlas_opentype import rules
from pixmodels.renderers._libraries import load

REFUSED = -(1 << 24)  # Kerning that stands for "cannot be told".
LONGEST = 3  # Characters of a ligature.
_MARK = 3  # GDEF class.


class Unit(NamedTuple):
    """What one character or ligature draws: a glyph, moved, and an advance.

    `x`, `y` (upwards) and `advance` are in 1/1024 px, before rounding.
    """

    glyph: int
    x: int
    y: int
    advance: int


class Plan:
    """A font as HarfBuzz shapes it for scripts with the same lookups.

    Attributes:
        units: dict character -> Unit.
        ligatures: dict tuple of glyphs -> Unit, or None where they join in a
            way that has no table.
        first, second: dicts glyph -> class, 0 where absent.
        kerning: int64 (classes, classes), 1/1024 px; `REFUSED` where glyphs
            beside one another may do something that has no table.

    Args:
        font: SizedFont.
        entry: its path and face index.
        key: `script_key` of the scripts.
        script: ISO code of one of them.
        language: BCP 47 tag or None.
        characters: iterable of str.
    """

    def __init__(self, font, entry, key, script, language, characters):
        self._font = font
        self._script = script
        self._language = language or "c"
        self._rules = rules(*entry, key, language)
        harfbuzz = load("uharfbuzz")
        self._shape = harfbuzz.shape
        self._buffer = harfbuzz.Buffer()
        level = harfbuzz.BufferClusterLevel.MONOTONE_CHARACTERS
        self._buffer.cluster_level = level
        flags = harfbuzz.BufferFlags
        self._buffer.flags = flags.BOT | flags.EOT
        self._features = {"calt": False} if script == "Hang" else None
        class_of = font.shaping.face.get_layout_glyph_class
        self.units = {}
        for character in characters:
            unit = self._single(character)
            if unit and class_of(unit.glyph) != _MARK:
                self.units[character] = unit
        self.ligatures = self._ligatures()
        self._kern(entry)

    def shape(self, text):
        """What HarfBuzz makes of a run: list of `Unit`."""
        buffer = self._buffer
        buffer.clear_contents()
        buffer.add_str(text)
        buffer.direction = "ltr"
        buffer.script = self._script
        buffer.language = self._language
        self._shape(self._font.shaping, buffer, self._features)
        return [
            Unit(info.codepoint, *position.position[:3])
            for info, position in zip(
                buffer.glyph_infos, buffer.glyph_positions
            )
        ]

    def _single(self, character):
        """The unit of a character alone, or None where it has no table."""
        found = self.shape(character)
        if len(found) != 1:
            return None
        (unit,) = found
        glyph = unit.glyph
        if glyph == 0 or unit.advance < 0 or glyph in self._rules.banned:
            return None
        return unit

    def _ligatures(self):
        characters = {}
        for character, unit in self.units.items():
            characters.setdefault(unit.glyph, []).append(character)
        found = {}
        for glyphs in self._rules.ligatures:
            if not all(glyph in characters for glyph in glyphs):
                continue
            glyphs_cut = glyphs[:LONGEST]
            if len(glyphs) > LONGEST:
                found[glyphs_cut] = None
                continue
            shaped = {
                tuple(self.shape("".join(text)))
                for text in itertools.product(*(characters[g] for g in glyphs))
            }
            first = shaped.pop()
            if shaped or (len(first) > 1 and not _same(first, glyphs)):
                found[glyphs_cut] = None
            elif len(first) == 1:
                found[glyphs_cut] = first[0]
        return found

    def _kern(self, entry):
        joined = [unit for unit in self.ligatures.values() if unit]
        glyphs = {unit.glyph for unit in (*self.units.values(), *joined)}
        nominal = self._font.shaping.get_nominal_glyph
        every = glyphs | {nominal(ord(c)) for c in self.units} - {None}
        contexts = [
            sets
            for sets in self._rules.contexts
            if all(not every.isdisjoint(glyphs) for glyphs in sets)
        ]
        active = set().union(*(s for sets in contexts for s in sets[:2]))
        for pairs in itertools.chain(*self._rules.kerning):
            active |= pairs.covered
            active.update(pairs.classes2 or ())
            for seconds, _ in (pairs.exact or {}).values():
                active.update(seconds)
        # -1 stands for every glyph that no rule names.
        active = np.array([-1, *sorted(active & glyphs)], np.int64)
        table = self._scaled(kerning(self._rules.kerning, active))
        for sets in contexts:
            ahead, behind = (np.isin(active, list(s)) for s in sets[:2])
            table[np.ix_(ahead, behind)] = REFUSED
        self._compress(active, table)

    def _scaled(self, values):
        """Font units to 1/1024 px, rounded as HarfBuzz does."""
        scale = self._font.shaping.scale[0]
        factor = (scale << 16) // self._font.shaping.face.upem
        return (values * factor + (1 << 15)) >> 16

    def _compress(self, active, table):
        # A row and a column of zeros come first: class 0.
        table = np.pad(table, ((1, 0), (1, 0)))
        rows, first = _classes(table)
        columns, second = _classes(table.T)
        self.kerning = table[np.ix_(rows, columns)]
        self.first = dict(zip(active.tolist(), first[1:].tolist()))
        self.second = dict(zip(active.tolist(), second[1:].tolist()))

    def class_of(self, glyph):
        """`(first, second)`: the glyph's classes on either side of a pair."""
        return (
            self.first.get(glyph, self.first[-1]),
            self.second.get(glyph, self.second[-1]),
        )

    def predict(self, text):
        """What the tables say of a run: list of `Unit`, None if refused."""
        units = [self.units[character] for character in text]
        result = []
        start = 0
        while start < len(units):
            for stop in range(min(start + LONGEST, len(units)), start, -1):
                glyphs = tuple(unit.glyph for unit in units[start:stop])
                if glyphs in self.ligatures or stop == start + 1:
                    break
            joined = self.ligatures.get(glyphs, units[start])
            if joined is None:
                return None
            result.append(joined)
            start = stop
        for place, (unit, after) in enumerate(itertools.pairwise(result)):
            first, second = (
                self.class_of(unit.glyph)[0],
                self.class_of(after.glyph)[1],
            )
            value = int(self.kerning[first, second])
            if value == REFUSED:
                return None
            result[place] = unit._replace(advance=unit.advance + value)
        return result

    def check(self, count, seed=0):
        """Compares tables and HarfBuzz on random runs of eight characters.

        Returns:
            list of str, the runs where the two differ.
        """
        source = random.Random(seed)
        known = sorted(self.units)
        kerned = [c for c in known if self.units[c].glyph in self.first]
        parts = {g for glyphs in self.ligatures for g in glyphs}
        joining = [c for c in known if self.units[c].glyph in parts]
        pools = [pool for pool in (known, kerned, joining) if pool]
        wrong = []
        for _ in range(count if known else 0):
            text = "".join(
                source.choice(source.choice(pools)) for _ in range(8)
            )
            found = self.predict(text)
            if found is not None and found != self.shape(text):
                wrong.append(text)
        return wrong


def _same(units, glyphs):
    return tuple(unit.glyph for unit in units) == tuple(glyphs)


def _classes(table):
    """Distinct rows: `(row index of each class, class of each row)`.

    Class 0 is the class of row 0.
    """
    seen = {}
    classes = np.array(
        [seen.setdefault(row.tobytes(), len(seen)) for row in table], np.int64
    )
    _, rows = np.unique(classes, return_index=True)
    return rows, classes
