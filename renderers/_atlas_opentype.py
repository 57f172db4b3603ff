"""What a font's OpenType tables do between neighbouring glyphs.

Here: the lookups of HarfBuzz's default features for a script and language;
pair kerning as arrays, ligatures, contexts that could match. Not here: glyphs
of single characters, which HarfBuzz itself tells (_atlas_plans.py)."""

import functools
import io
import pathlib
from typing import NamedTuple

import numpy as np

from pixmodels.renderers._libraries import load

# HarfBuzz's features for left-to-right text (hb-ot-shape.cc and the Hangul
# shaper); those that only an application turns on are not asked for.
_FEATURES = frozenset(
    "rvrn ltra ltrm ccmp locl rlig calt clig liga rclt curs dist kern abvm "
    "blwm mark mkmk rand trak".split()
)
_HANGUL = frozenset("ljmo vjmo tjmo".split())
_TAGS = {"Hira": "kana", "Kana": "kana"}
_X_ADVANCE = 4
_IGNORE_BASES_OR_LIGATURES = 2 | 4


class Rules(NamedTuple):
    """What happens between glyphs, beyond each glyph by itself.

    Attributes:
        kerning: list of PairPos lookups, each a list of subtables.
        ligatures: list of tuples of glyph ids that some lookup may join.
        contexts: list of sequences of frozensets of glyph ids; where glyphs
            match one, anything may happen.
        banned: frozenset of glyph ids that no text may hold.
    """

    kerning: list
    ligatures: list
    contexts: list
    banned: frozenset


@functools.lru_cache(maxsize=2)
def _font(path, index):
    # From memory: a lazy font keeps its file open.
    file = io.BytesIO(pathlib.Path(path).read_bytes())
    return load("fontTools.ttLib").TTFont(file, fontNumber=index, lazy=True)


def script_key(path, index, script):
    """What the choice of lookups in a font depends on for an ISO script."""
    font = _font(path, index)
    tags = tuple(_script_tag(font, table, script) for table in ("GSUB", "GPOS"))
    return (*tags, script == "Hang")


def _table(font, tag):
    """The GSUB or GPOS table, or None where it holds nothing."""
    table = font[tag].table if tag in font else None
    full = table and table.ScriptList and table.FeatureList
    return table if full and table.LookupList else None


def _script_tag(font, tag, script):
    table = _table(font, tag)
    if table is None:
        return None
    known = {record.ScriptTag for record in table.ScriptList.ScriptRecord}
    wanted = _TAGS.get(script, script.lower())
    for candidate in (wanted, "DFLT", "dflt", "latn"):
        if candidate in known:
            return candidate
    return None


@functools.lru_cache(maxsize=64)
def rules(path, index, key, language):
    """The `Rules` of a font for one `script_key`.

    Args:
        path, index: the font file and its face.
        key: as `script_key` returns it.
        language: BCP 47 tag or None.
    """
    font = _font(path, index)
    order = {name: place for place, name in enumerate(font.getGlyphOrder())}
    found = Rules([], [], [], set())
    for tag, script in zip(("GSUB", "GPOS"), key):
        for lookup in _lookups(font, tag, script, language, key[2]):
            _read(tag, lookup, order, found)
    return found._replace(banned=frozenset(found.banned))


def _lookups(font, tag, script, language, hangul):
    """The lookups that are on, in the order in which they run."""
    table = _table(font, tag)
    if table is None or script is None:
        return []
    (record,) = (
        record.Script
        for record in table.ScriptList.ScriptRecord
        if record.ScriptTag == script
    )
    system = _language_system(record, language)
    wanted = _FEATURES - {"calt"} | _HANGUL if hangul else _FEATURES
    indices = set()
    if system is not None:
        features = table.FeatureList.FeatureRecord
        required = system.ReqFeatureIndex
        for index in [*system.FeatureIndex, required]:
            if index == 0xFFFF:
                continue
            feature = features[index]
            if feature.FeatureTag in wanted or index == required:
                indices.update(feature.Feature.LookupListIndex)
    return [table.LookupList.Lookup[index] for index in sorted(indices)]


def _language_system(script, language):
    harfbuzz = load("uharfbuzz")
    primary = (language or "").lower()
    for record in script.LangSysRecord:
        known = harfbuzz.ot_tag_to_language(str(record.LangSysTag))
        if language and known and _same_language(known.lower(), primary):
            return record.LangSys
    return script.DefaultLangSys


def _same_language(known, wanted):
    return known.split("-x-")[0].split("-")[0] == wanted.split("-")[0]


def _read(tag, lookup, order, found):
    """Adds one lookup to the rules found so far."""
    for subtable in lookup.SubTable:
        kind = subtable.LookupType
        if hasattr(subtable, "ExtSubTable"):
            subtable = subtable.ExtSubTable
            kind = subtable.LookupType
        name = (tag, kind)
        if name == ("GSUB", 4):
            found.ligatures.extend(_ligatures(subtable, order))
        elif name in (("GSUB", 5), ("GSUB", 6), ("GPOS", 7), ("GPOS", 8)):
            _read_context(subtable, order, found)
        elif name == ("GSUB", 8):
            _ban(subtable.Coverage, order, found)
        elif name == ("GPOS", 3):
            _ban(subtable.Coverage, order, found)
        elif name == ("GPOS", 2):
            break
    else:
        return
    if lookup.LookupFlag & _IGNORE_BASES_OR_LIGATURES:
        for subtable in lookup.SubTable:
            subtable = getattr(subtable, "ExtSubTable", subtable)
            _ban(subtable.Coverage, order, found)
        return
    found.kerning.append(
        [
            subtable
            for subtable in (
                _pairs(getattr(s, "ExtSubTable", s), order, found)
                for s in lookup.SubTable
            )
            if subtable is not None
        ]
    )


def _ban(coverage, order, found):
    found.banned.update(order[name] for name in coverage.glyphs)


def _ligatures(subtable, order):
    for first, ligatures in subtable.ligatures.items():
        for ligature in ligatures:
            yield tuple(order[name] for name in (first, *ligature.Component))


def _read_context(subtable, order, found):
    """A rule as its sequence of glyph sets; formats 1 and 2 are banned."""
    if subtable.Format != 3:
        _ban(subtable.Coverage, order, found)
        return
    inputs = getattr(subtable, "InputCoverage", None) or subtable.Coverage
    before = getattr(subtable, "BacktrackCoverage", [])
    after = getattr(subtable, "LookAheadCoverage", [])
    sets = [
        frozenset(order[name] for name in coverage.glyphs)
        for coverage in (*reversed(before), *inputs, *after)
    ]
    if len(sets) > 1:  # One alone shows in the glyph of a single character.
        found.contexts.append(sets)


class _Pairs(NamedTuple):
    """One PairPos subtable; values in font units.

    `exact`: dict first glyph -> (second glyphs, values), or None; else
    `classes1`, `classes2` (dicts), `values` (classes, classes) for the glyphs
    `covered`.
    """

    covered: frozenset
    exact: dict | None
    classes1: dict | None
    classes2: dict | None
    values: np.ndarray | None


def _pairs(subtable, order, found):
    if subtable.ValueFormat1 & ~_X_ADVANCE or subtable.ValueFormat2:
        _ban(subtable.Coverage, order, found)
        return None
    covered = [order[name] for name in subtable.Coverage.glyphs]
    if subtable.Format == 1:
        exact = {}
        for glyph, pair_set in zip(covered, subtable.PairSet):
            records = pair_set.PairValueRecord
            exact[glyph] = (
                [order[record.SecondGlyph] for record in records],
                [_advance(record.Value1) for record in records],
            )
        return _Pairs(frozenset(covered), exact, None, None, None)
    values = [
        [_advance(record.Value1) for record in row.Class2Record]
        for row in subtable.Class1Record
    ]
    return _Pairs(
        frozenset(covered),
        None,
        {order[k]: v for k, v in subtable.ClassDef1.classDefs.items()},
        {order[k]: v for k, v in subtable.ClassDef2.classDefs.items()},
        np.array(values, np.int64),
    )


def _advance(value):
    return getattr(value, "XAdvance", 0) if value is not None else 0


def kerning(kerning_lookups, glyphs):
    """Kerning of every pair of some glyphs, in font units.

    Args:
        kerning_lookups: `Rules.kerning`.
        glyphs: int64 (G,), distinct.

    Returns:
        int64 (G, G), first glyph by second glyph.
    """
    total = np.zeros((len(glyphs), len(glyphs)), np.int64)
    place = {int(glyph): index for index, glyph in enumerate(glyphs)}
    for subtables in kerning_lookups:
        done = np.zeros(total.shape, bool)
        for pairs in subtables:
            firsts = [g for g in place if g in pairs.covered]
            if pairs.exact is None:
                _class_kerning(pairs, firsts, place, total, done)
                continue
            for glyph in firsts:
                row = place[glyph]
                seconds, values = pairs.exact[glyph]
                for second, value in zip(seconds, values):
                    column = place.get(second)
                    if column is not None and not done[row, column]:
                        total[row, column] += value
                        done[row, column] = True
    return total


def _class_kerning(pairs, firsts, place, total, done):
    columns = np.array([pairs.classes2.get(g, 0) for g in place], np.int64)
    for glyph in firsts:
        row = place[glyph]
        values = pairs.values[pairs.classes1.get(glyph, 0)][columns]
        total[row] += np.where(done[row], 0, values)
        done[row] = True
