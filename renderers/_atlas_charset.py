"""The characters an in-graph renderer can take, and what is known of each.

Here: which characters stand alone (no marks, joiners, controls, nothing right
to left), their script, their font, brackets. Not here: glyphs
(_atlas_plans.py). Everything follows _itemise.py and font_stack.py."""

import itertools
import unicodedata
from collections import Counter
from dataclasses import dataclass

from pixmodels.renderers._bidi import _NEEDS_BIDI
from pixmodels.renderers._itemise import _CLOSER_OF
from pixmodels.renderers._libraries import load
from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import script
from pixmodels.renderers.font_stack import hb_face

# Scripts whose letters keep their shape beside one another. Kerning and
# ligatures are baked; anything else that a font does is refused.
SCRIPTS = (
    *("Latn", "Grek", "Cyrl", "Geor", "Armn"),
    *("Hang", "Hira", "Kana", "Hani", "Bopo"),
)
# HarfBuzz makes fractions of the digits beside it.
_FRACTION_SLASH = 0x2044
_MOST_FONTS = 31
# Their letters are too many to ask the stack for each; none is an emoji.
_MANY = frozenset(("Hani", "Hang"))
_COLOUR = frozenset(("CBDT", "COLR", "sbix", "SVG "))


@dataclass(frozen=True)
class Charset:
    """Characters by what their run depends on.

    Attributes:
        scripts: tuple of ISO codes; a script's number is its place + 1.
        fonts: tuple of indices into the stack; a font's number is its place.
        letters: dict code point -> (script number, font number).
        commons: dict code point -> (font number without a font before it,
            bit mask of the fonts that keep it).
        openers, closers: dict code point -> number of the pair's closer.
        tab: as in `commons`, or None where its font is not among `fonts`.
    """

    scripts: tuple[str, ...]
    fonts: tuple[int, ...]
    letters: dict[int, tuple[int, int]]
    commons: dict[int, tuple[int, int]]
    openers: dict[int, int]
    closers: dict[int, int]
    tab: tuple[int, int] | None


def charset(stack, scripts):
    """The `Charset` of a FontStack for some scripts.

    Args:
        stack: FontStack.
        scripts: tuple of ISO 15924 codes, of `SCRIPTS`.
    """
    maps = _character_maps(stack)
    alone = _alone()
    firsts = _first_fonts(maps)
    letters, commons = {}, {}
    for code in sorted(firsts):
        name = script(chr(code))
        if name in NEUTRAL and alone(code):
            commons[code] = stack.font_for(chr(code))
        elif name in scripts and alone(code):
            font = _letter_font(stack, maps, firsts, code, name)
            letters[code] = (name, font)
    fonts = _worthy(stack, letters, commons)
    number = {font: place for place, font in enumerate(fonts)}
    order = {name: place for place, name in enumerate(scripts, 1)}
    closers = sorted(map(ord, _CLOSER_OF.values()))
    closers = {code: place for place, code in enumerate(closers, 1)}

    def common(code, font):
        forms = _forms(code)
        kept = (
            _has(maps[index], forms)
            and stack.font_for(chr(code), index) == index
            for index in fonts
        )
        return number[font], sum(one << k for k, one in enumerate(kept))

    tab = stack.font_for("\t")
    return Charset(
        scripts=tuple(scripts),
        fonts=fonts,
        letters={
            code: (order[name], number[font])
            for code, (name, font) in letters.items()
            if font in number
        },
        commons={
            code: common(code, font)
            for code, font in commons.items()
            if font in number
        },
        openers={ord(a): closers[ord(b)] for a, b in _CLOSER_OF.items()},
        closers=closers,
        tab=common(ord("\t"), tab) if tab in number else None,
    )


def _character_maps(stack):
    return [
        frozenset(hb_face(*stack.entry(index)).unicodes)
        for index in range(len(stack))
    ]


def _alone():
    """A function: is this code point a cluster of its own in any text?"""
    regex = load("regex")
    good = regex.compile(
        r"[\p{GCB=Other}\p{GCB=LV}\p{GCB=LVT}--[\p{M}\p{C}\p{Zl}\p{Zp}"
        r"\p{Default_Ignorable_Code_Point}]]",
        regex.VERSION1,
    )

    def alone(code):
        character = chr(code)
        return (
            code != _FRACTION_SLASH
            and good.fullmatch(character) is not None
            and _NEEDS_BIDI.match(character) is None
        )

    return alone


def _forms(code):
    """The character as it stands, composed and decomposed: sets of codes."""
    character = chr(code)
    if code < 0xC0:
        return ({code},)
    forms = [{code}]
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, character)
        if text != character:
            forms.append(set(map(ord, text)))
    return forms


def _has(map_, forms):
    return any(form <= map_ for form in forms)


def _first_fonts(maps):
    """dict code point -> the first font whose own map has it."""
    found = {}
    for index in range(len(maps) - 1, -1, -1):
        found.update(dict.fromkeys(maps[index], index))
    return found


def _letter_font(stack, maps, firsts, code, name):
    """As `FontStack.font_for`, which would take seconds for all of Han."""
    if name not in _MANY or firsts[code] == len(maps) - 1:
        return stack.font_for(chr(code))
    forms = _forms(code)
    if len(forms) == 1:
        return firsts[code]
    return next(n for n, map_ in enumerate(maps) if _has(map_, forms))


def _worthy(stack, letters, commons):
    """Indices of the fonts to bake, in the order of the stack.

    Those of the letters, and of the others that draw most common characters,
    as many as there are bits in a mask. Colour fonts are left out.
    """
    count = Counter(commons.values())
    # The first font is always there: it gives tabs and baseline.
    fonts = {0} | {font for _, font in letters.values()}
    fonts = dict.fromkeys([*sorted(fonts), *dict(count.most_common())])
    plain = (font for font in fonts if not _has_colour(stack, font))
    return tuple(sorted(itertools.islice(plain, _MOST_FONTS)))


def _has_colour(stack, font):
    return not _COLOUR.isdisjoint(hb_face(*stack.entry(font)).table_tags)
