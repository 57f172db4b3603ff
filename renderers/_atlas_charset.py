"""The characters an in-graph renderer can take, and what is known of each.

Here: which characters stand alone (no marks, joiners, controls, nothing right
to left), their script, their font, brackets. Not here: glyphs
(_atlas_plans.py). Everything follows _itemise.py and font_stack.py."""

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
    wanted = {*scripts, "Zyyy"}
    alone = _alone()
    letters, commons = {}, {}
    firsts = _first_fonts(maps)
    for code in sorted(set().union(*maps)):
        name = script(chr(code))
        if name in wanted and alone(code):
            forms = _forms(code)
            font = firsts[code]
            if len(forms) > 1:
                font = next(
                    n for n, map_ in enumerate(maps) if _has(map_, forms)
                )
            (commons if name in NEUTRAL else letters)[code] = (
                name,
                font,
                forms,
            )
    fonts = _worthy(letters, commons)
    number = {font: place for place, font in enumerate(fonts)}
    order = {name: place for place, name in enumerate(scripts, 1)}
    closers = sorted(map(ord, _CLOSER_OF.values()))
    closers = {code: place for place, code in enumerate(closers, 1)}

    def common(font, forms):
        kept = (_has(maps[index], forms) for index in fonts)
        return number[font], sum(one << k for k, one in enumerate(kept))

    tab = ({ord("\t")},)
    tab_font = next((n for n, map_ in enumerate(maps) if _has(map_, tab)), 0)
    return Charset(
        scripts=tuple(scripts),
        fonts=fonts,
        letters={
            code: (order[name], number[font])
            for code, (name, font, _) in letters.items()
        },
        commons={
            code: common(font, forms)
            for code, (_, font, forms) in commons.items()
            if font in number
        },
        openers={ord(a): closers[ord(b)] for a, b in _CLOSER_OF.items()},
        closers=closers,
        tab=common(tab_font, tab) if tab_font in number else None,
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


def _worthy(letters, commons):
    """Indices of the fonts to bake, in the order of the stack.

    Those of the letters, and of the others that draw most common characters,
    as many as there are bits in a mask.
    """
    fonts = {0} | {font for _, font, _ in letters.values()}
    count = Counter(font for _, font, _ in commons.values())
    for font, _ in count.most_common():
        if len(fonts) < _MOST_FONTS:
            fonts.add(font)
    return tuple(sorted(fonts))
