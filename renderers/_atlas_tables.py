"""Everything an in-graph renderer looks up, as arrays of whole numbers.

Here: `Tables`, made from a font stack for some scripts. Not here: characters
(_atlas_charset.py), shaping (_atlas_plans.py), units and ink
(_atlas_units.py), the graph that reads them (_graph_shape.py)."""

import functools
import itertools
import unicodedata
from dataclasses import dataclass
from dataclasses import fields

import numpy as np

from pixmodels.renderers._atlas import GlyphAtlas
from pixmodels.renderers._atlas_charset import charset
from pixmodels.renderers._atlas_opentype import script_key
from pixmodels.renderers._atlas_plans import Plan
from pixmodels.renderers._atlas_units import BAD
from pixmodels.renderers._atlas_units import END
from pixmodels.renderers._atlas_units import MARK
from pixmodels.renderers._atlas_units import TAB
from pixmodels.renderers._atlas_units import UNIT_BITS
from pixmodels.renderers._atlas_units import Trie
from pixmodels.renderers._atlas_units import UnitTable
from pixmodels.renderers._font import SizedFont
from pixmodels.renderers._raster import baseline

COMMON_BIT = 1 << UNIT_BITS
SCRIPT_SHIFT = UNIT_BITS + 1
SCRIPT_BITS = 5
FONT_SHIFT = SCRIPT_SHIFT + SCRIPT_BITS
FONT_BITS = 5
# Set for the tab, so that whatever needs more than one run of the first font
# is a large number.
TAB_BIT = 1 << FONT_SHIFT + FONT_BITS
_CHECKS = 200  # Random runs of each plan that are compared with HarfBuzz.
# Become a space (_clean.py), less the carriage return, which may become one
# together with the line feed after it.
_BREAKS = "\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"


@dataclass(frozen=True)
class Tables:
    """Arrays of int32 except `ink` and `pairs`.

    U units, S scripts + 1 (number 0: common), F fonts, C common characters.

    Attributes:
        character: by code point; unit, or place among the common characters |
            `COMMON_BIT` | script << 19 | font << 24 | `TAB_BIT`; 0 for what
            cannot be drawn, as for the last, which stands for all beyond.
        common: (plans * C,) unit of a common character in a plan.
        plan: (S * F,) where a script and font start in `common`.
        kept: (C,) bit mask of the fonts that keep a common character.
        bracket: (C,) number of the pair, negative for the one that opens it.
        advance: (U,) 1/1024 px, before kerning and rounding.
        kern: (U,) start of its row in `kerning` << 10 | its column.
        kerning: 1/1024 px; far below zero where a pair is refused.
        part: (U,) state of the trie after it << 12 | its column there.
        trie: (states * parts,) the next state, 0 none.
        accept: (states,) number of the ligature that ends here, 0 none.
        ligature: (3 * ligatures,) units of first, middle, last character.
        start: (U,) first column in `ink`.
        extent: (U,) (left + 2048) << 12 | width, pixels.
        ink: (columns, P) uint8, 255 white; 0 white, 1 to P black.
        pairs: sorted int64, code point << 21 | code point of a mark.
        composed: what each pair becomes.
        tab: pixels between tab stops, 0 if a tab has no width.
        fonts, commons, parts: F, C and the number of columns of `trie`.
        characters: how many code points can be drawn.
        refused: random runs that were not as HarfBuzz sets them; their fonts
            were left out.
    """

    character: np.ndarray
    common: np.ndarray
    plan: np.ndarray
    kept: np.ndarray
    bracket: np.ndarray
    advance: np.ndarray
    kern: np.ndarray
    kerning: np.ndarray
    part: np.ndarray
    trie: np.ndarray
    accept: np.ndarray
    ligature: np.ndarray
    start: np.ndarray
    extent: np.ndarray
    ink: np.ndarray
    pairs: np.ndarray
    composed: np.ndarray
    tab: int
    fonts: int
    commons: int
    parts: int
    characters: int
    refused: tuple[str, ...]

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self):
        """Dict name -> array."""
        found = {
            field.name: getattr(self, field.name) for field in fields(self)
        }
        return {k: v for k, v in found.items() if isinstance(v, np.ndarray)}


@functools.lru_cache(maxsize=4)
def tables(stack, size, patch_size, language, scripts):
    """The `Tables` of a renderer, made once per process.

    Args:
        stack: FontStack.
        size: em, 1/1024 px.
        patch_size: P, pixels.
        language: BCP 47 tag or None.
        scripts: tuple of ISO 15924 codes.

    Raises:
        ValueError: the glyphs are too many or too large for the packing.
    """
    return _Builder(stack, size, patch_size, language, scripts).tables()


class _Builder:
    def __init__(self, stack, size, patch_size, language, scripts):
        self._stack = stack
        self._set = charset(stack, scripts)
        self._language = language
        entries = [stack.entry(font) for font in self._set.fonts]
        self._fonts = [SizedFont(*entry, size) for entry in entries]
        self._units = UnitTable(
            GlyphAtlas(dict(enumerate(self._fonts))),
            baseline(self._fonts[0], patch_size),
            patch_size,
        )
        self._trie = Trie()
        self._plans = []  # (Plan, dict character -> number of its unit)
        self._refused = []
        self._chosen = np.zeros((len(scripts) + 1, len(entries)), np.int32)
        for font, entry in enumerate(entries):
            self._add_font(font, entry)

    def _add_font(self, font, entry):
        groups = {}
        for number, name in enumerate(("Zyyy", *self._set.scripts)):
            key = script_key(*entry, name)
            groups.setdefault(key, []).append((number, name))
        for key, members in groups.items():
            numbers = [number for number, _ in members]
            plan = Plan(
                self._fonts[font],
                entry,
                key,
                members[0][1],
                self._language,
                self._characters(font, numbers),
            )
            self._units.refuse_narrow(plan, font)
            wrong = plan.check(_CHECKS)
            if wrong:
                plan.units.clear()
                self._refused += wrong
            self._chosen[numbers, font] = len(self._plans)
            self._plans.append((plan, self._number(plan, font)))

    def _characters(self, font, scripts):
        for code, (number, where) in self._set.letters.items():
            if where == font and number in scripts:
                yield chr(code)
        for code, (_, kept) in self._set.commons.items():
            if kept >> font & 1:
                yield chr(code)

    def _number(self, plan, font):
        number = len(self._plans)
        self._units.start_plan(plan)
        for glyphs, unit in sorted(plan.ligatures.items()):
            numbers = [BAD] * 3
            if unit is not None:
                places = ("first", "middle", "last")
                numbers = [
                    self._units.add(plan, font, unit, place) for place in places
                ]
            self._trie.add(number, glyphs, numbers)
        return {
            character: self._units.add(
                plan, font, unit, part=self._trie.part(number, unit.glyph)
            )
            for character, unit in plan.units.items()
        }

    def tables(self):
        """The finished `Tables`."""
        commons = self._common_characters()
        characters = self._letters()
        for place, (code, (font, _)) in enumerate(commons.items()):
            characters[code] = place | COMMON_BIT | font << FONT_SHIFT
        if ord("\t") in characters:
            characters[ord("\t")] |= TAB_BIT
        space = characters.get(ord(" "), BAD)
        pairs = self._pairs(characters)
        count = len(characters)
        characters |= dict.fromkeys(map(ord, _BREAKS), space)
        characters |= dict.fromkeys((mark for _, mark in pairs), MARK)
        characters[0] = END
        codes = np.zeros(max(characters) + 2, np.int32)
        codes[list(characters)] = list(characters.values())
        return Tables(
            character=codes,
            plan=self._chosen.reshape(-1) * len(commons),
            **self._common_arrays(commons),
            **self._units.arrays(),
            **self._trie.arrays(),
            pairs=np.array([a << 21 | b for a, b in pairs], np.int64),
            composed=np.array(list(pairs.values()), np.int32),
            tab=8 * self._fonts[0].space >> 10,
            fonts=len(self._fonts),
            commons=len(commons),
            characters=count,
            refused=tuple(self._refused),
        )

    def _letters(self):
        found = {}
        for code, (number, font) in self._set.letters.items():
            unit = self._plans[self._chosen[number, font]][1].get(chr(code))
            if unit is not None:
                found[code] = unit | number << SCRIPT_SHIFT | font << FONT_SHIFT
        return found

    def _common_characters(self):
        known = set().union(*(units for _, units in self._plans))
        found = {
            code: kept
            for code, kept in self._set.commons.items()
            if chr(code) in known
        }
        if self._set.tab is not None:
            found[ord("\t")] = self._set.tab
        return found

    def _common_arrays(self, commons):
        table = np.full((len(self._plans), len(commons)), BAD, np.int32)
        bracket = np.zeros(len(commons), np.int32)
        for place, code in enumerate(commons):
            for row, (_, units) in zip(table, self._plans):
                row[place] = units.get(chr(code), BAD)
            bracket[place] = self._set.closers.get(
                code, -self._set.openers.get(code, 0)
            )
            if code == ord("\t"):
                table[:, place] = TAB
        kept = [mask for _, mask in commons.values()]
        return {
            "common": table.reshape(-1),
            "kept": np.array(kept, np.int32),
            "bracket": bracket,
        }

    def _pairs(self, characters):
        """`(first, mark) -> composed` code points that draw the same.

        Each spelling of a letter, whole or in parts and in any order that a
        row of pairs can make, is shaped and compared with the letter.
        """
        spellings = {}
        for code in self._set.letters:
            text = unicodedata.normalize("NFD", chr(code))
            marks = text[1:]
            if code not in characters or not 1 <= len(marks) <= 3:
                continue
            if all(map(unicodedata.combining, marks)):
                for order in sorted(set(itertools.permutations(marks))):
                    self._spell(chr(code), text[0], order, spellings)
        bad = {pair for pair, good in spellings.items() if not good}
        found = {
            tuple(map(ord, pair)): ord(unicodedata.normalize("NFC", pair))
            for pair in spellings
            if pair not in bad
        }
        return dict(sorted(found.items()))

    def _spell(self, letter, first, marks, spellings):
        """Adds the pairs that compose `first + marks` step by step."""
        steps = []
        for mark in marks:
            whole = unicodedata.normalize("NFC", first + mark)
            if len(whole) != 1 or ord(whole) not in self._set.letters:
                return
            steps.append(first + mark)
            first = whole
        if first != letter:
            return
        known = self._set.letters[ord(letter)]
        plan = self._plans[self._chosen[known]][0]
        unit = plan.units.get(letter)
        for cut, pair in enumerate(steps):
            text = "".join((pair, *marks[cut + 1 :]))
            good = (
                self._set.letters.get(ord(pair[0])) == known
                and self._stack.font_for(text) == self._set.fonts[known[1]]
                and plan.shape(text) == [unit]
            )
            spellings[pair] = spellings.get(pair, True) and good
