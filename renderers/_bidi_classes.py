"""Bidi classes and paired brackets, in the numbers of FriBidi.

Here: the two tables. Not here: the algorithm (_bidi.py). FriBidi's own tables
follow its release (that of Debian 12 takes the emoji of 2018 and later for
letters), so the same text would be ordered otherwise on another machine."""

import bisect
import functools

from pixmodels.renderers._libraries import load

_NUMBERS = {
    "L": 0x110,
    "R": 0x111,
    "AL": 0x113,
    "EN": 0x220,
    "ES": 0x10420,
    "ET": 0x20420,
    "AN": 0x222,
    "CS": 0x40420,
    "NSM": 0x80020,
    "BN": 0x100820,
    "B": 0x202840,
    "S": 0x402840,
    "WS": 0x800840,
    "ON": 0x40,
    "LRE": 0x1010,
    "LRO": 0x5010,
    "RLE": 0x1011,
    "RLO": 0x5011,
    "PDF": 0x1020,
    "LRI": 0x8040,
    "RLI": 0x8041,
    "FSI": 0x2008040,
    "PDI": 0x8060,
}
_NAMES = tuple(_NUMBERS)

# What unassigned characters are taken for, from each start up to the next
# (the @missing lines of Unicode 15.0's DerivedBidiClass.txt).
_DEFAULTS = """
    0 L 590 R 600 AL 7C0 R 860 AL 900 L 20A0 ET 20D0 L FB1D R FB50 AL FDD0 L
    FDF0 AL FE00 L FE70 AL FF00 L 10800 R 10D00 AL 10D40 R 10EC0 AL 10F00 R
    10F30 AL 10F70 R 11000 L 1E800 R 1EC70 AL 1ECC0 R 1ED00 AL 1ED50 R
    1EE00 AL 1EF00 R 1F000 L
""".split()
_STARTS = [int(start, 16) for start in _DEFAULTS[::2]]

# Openers whose closer is the next character, and the others. U+2329 and
# U+232A are canonically the same as U+3008 and U+3009.
_OPENERS = """
    28 F3A F3C 169B 2045 207D 208D 2308 230A 2768 276A 276C 276E 2770 2772
    2774 27C5 27E6 27E8 27EA 27EC 27EE 2983 2985 2987 2989 298B 2991 2993 2995
    2997 29D8 29DA 29FC 2E22 2E24 2E26 2E28 2E55 2E57 2E59 2E5B 3008 300A 300C
    300E 3010 3014 3016 3018 301A FE59 FE5B FE5D FF08 FF5F FF62
""".split()
_PAIRS = {int(opener, 16): int(opener, 16) + 1 for opener in _OPENERS}
_PAIRS |= {0x5B: 0x5D, 0x7B: 0x7D, 0xFF3B: 0xFF3D, 0xFF5B: 0xFF5D}
_PAIRS |= {0x298D: 0x2990, 0x298F: 0x298E}
_OPEN = 1 << 31
_MOST = 1 << 16  # Classes kept.

BRACKETS = {}
for _opener, _closer in _PAIRS.items():
    BRACKETS[chr(_opener)] = _opener | _OPEN
    BRACKETS[chr(_closer)] = _opener
BRACKETS["\u2329"] = BRACKETS["\u3008"]
BRACKETS["\u232a"] = BRACKETS["\u3009"]


class _Classes(dict):
    """Character -> FriBidi's number of its class, filled as asked for."""

    def __missing__(self, character):
        if len(self) >= _MOST:
            self.clear()
        number = self[character] = _NUMBERS[name(character)]
        return number


CLASSES = _Classes()


def name(character):
    """The Bidi_Class of one character, e.g. `"AL"`.

    Source: UAX #44, by `regex`; unassigned characters, of which regex makes
    R (seen in 2026.11.15), as in DerivedBidiClass.txt.
    """
    match = _pattern().match(character)
    if match is not None:
        return _NAMES[match.lastindex - 1]
    return _DEFAULTS[2 * bisect.bisect(_STARTS, ord(character)) - 1]


@functools.cache
def _pattern():
    """One group per class; of unassigned characters BN alone is trusted."""
    groups = [
        rf"(\p{{Bidi_Class={name}}})"
        if name == "BN"
        else rf"(?![\p{{Cn}}\p{{Cs}}])(\p{{Bidi_Class={name}}})"
        for name in _NAMES
    ]
    return load("regex").compile("|".join(groups))
