"""Where a line may be broken: the Unicode line breaking algorithm.

Here: rules LB1 to LB31 of UAX 14, Unicode 15.0, over the properties that
`regex` carries. Not here: what fits on a line (_page.py). Thai, Lao, Khmer
and Burmese need a dictionary: they break at spaces, else between clusters."""

import functools
import unicodedata

from pixmodels.renderers._libraries import load

MANDATORY = 2
ALLOWED = 1
_NAMES = (
    "AI AL B2 BA BB BK CB CJ CL CM CP CR EB EM EX GL H2 H3 HL HY ID IN IS JL "
    "JT JV LF NL NS NU OP PO PR QU RI SA SG SP SY WJ XX ZW ZWJ AK AP AS VF VI "
    "HH"
).split()
# LB1, and classes that are younger than Unicode 15.0.
_AS = {
    **dict.fromkeys(("AI", "SG", "XX", "AK", "AP", "AS"), "AL"),
    **dict.fromkeys(("VF", "VI"), "CM"),
    "CJ": "NS",
    "HH": "BA",
}
_HARD = frozenset(("BK", "CR", "LF", "NL"))
_LETTERS = frozenset(("AL", "HL"))
_HANGUL = frozenset(("JL", "JV", "JT", "H2", "H3"))
_NUMBER_END = frozenset(("NU", "SY", "IS"))


@functools.cache
def _patterns():
    regex = load("regex")
    found = [(n, regex.compile(rf"\p{{lb={n}}}")) for n in _NAMES]
    wide = regex.compile(r"[\p{ea=F}\p{ea=W}\p{ea=H}]")
    picture = regex.compile(r"[\p{Extended_Pictographic}&&\p{Cn}]", regex.V1)
    return found, wide, picture


@functools.lru_cache(maxsize=1 << 14)
def _class(character):
    """Line breaking class after LB1; OPw, CPw for wide brackets."""
    found, wide, picture = _patterns()
    name = next((n for n, p in found if p.match(character)), "XX")
    if name == "SA":
        mark = unicodedata.category(character) in ("Mn", "Mc")
        return "CM" if mark else "AL"
    if name in ("OP", "CP") and wide.match(character):
        return name + "w"
    if name == "ID" and picture.match(character):
        return "IDp"
    return _AS.get(name, name)


def line_breaks(text):
    """Line break opportunities.

    Args:
        text: str.

    Returns:
        list of int, one for each character: 0 no break after it, 1 `ALLOWED`,
        2 `MANDATORY`; the last is always 2.

    Source: Unicode Standard Annex 14, revision 49 (Unicode 15.0), with the
    numbers of its example 7 in section 8.2, as LineBreakTest.txt has them.
    """
    if not text:
        return []
    state = _State()
    result = []
    classes = [_class(character) for character in text]
    beyond = [*classes[2:], None]
    for before, after, third in zip(classes, classes[1:], beyond):
        state.take(before)
        sign = state.left in ("PR", "PO") and not state.spaces
        if sign and third == "NU" and after in ("OP", "OPw", "HY"):
            result.append(0)  # LB25: a sign, a bracket, then a digit.
        else:
            result.append(state.decide(before, after))
    return [*result, MANDATORY]


class _State:
    """What the rules must remember of the characters before a place.

    Attributes:
        left: class of the last character that is no mark and no space (LB9).
        spaces: bool, spaces stand after it.
        earlier: class before `left`, None if spaces stand between.
        regional: number of regional indicators that end here.
        number: how far the number of LB25 goes: "", "NU" inside its digits,
            "CL" after its bracket.
    """

    def __init__(self):
        self.left = self.earlier = None
        self.spaces = False
        self.regional = 0
        self.number = ""

    def take(self, name):
        if name in ("CM", "ZWJ"):
            fresh = self.left is None or self.spaces or self.left in _HARD
            if not fresh and self.left != "ZW":
                return  # LB9: part of the character before.
            name = "AL"  # LB10
        if name == "SP":
            self.spaces = True
            self.regional = 0
            self.number = ""
            return
        self.earlier = None if self.spaces else self.left
        self.left, self.spaces = name, False
        self.regional = self.regional + 1 if name == "RI" else 0
        if name == "NU" or (self.number == "NU" and name in _NUMBER_END):
            self.number = "NU"
        elif self.number == "NU" and name in ("CL", "CP", "CPw"):
            self.number = "CL"
        else:
            self.number = ""

    def decide(self, before, after):
        """0, 1 or 2 between the character just taken and the next."""
        if before in _HARD:
            return 0 if (before, after) == ("CR", "LF") else MANDATORY
        if after in _HARD or after in ("SP", "ZW"):  # LB6, LB7
            return 0
        left = self.left
        if left == "ZW":  # LB8
            return ALLOWED
        if before == "ZWJ":  # LB8a
            return 0
        if after in ("CM", "ZWJ"):
            if before not in ("SP", "ZW"):  # LB9
                return 0
            after = "AL"
        if after == "WJ" or (left == "WJ" and not self.spaces):  # LB11
            return 0
        if self._punctuation(left, after):
            return 0
        if self.spaces:  # LB18
            return ALLOWED
        return 0 if self._sticks(left, after) else ALLOWED

    def _punctuation(self, left, after):
        """LB12 to LB17: some of them hold across spaces."""
        if not self.spaces and left == "GL":
            return True
        if after == "GL" and not self.spaces and left not in ("BA", "HY"):
            return True
        if after in ("CL", "CP", "CPw", "EX", "IS", "SY"):
            return True
        if left in ("OP", "OPw"):
            return True
        if left == "QU" and after in ("OP", "OPw"):
            return True
        if left in ("CL", "CP", "CPw") and after == "NS":
            return True
        return left == "B2" and after == "B2"

    def _sticks(self, left, after):
        """LB19 to LB30b, where no space stands between."""
        if "QU" in (left, after):
            return True
        if "CB" in (left, after):
            return False
        if after in ("BA", "HY", "NS") or left == "BB":
            return True
        if left in ("HY", "BA") and self.earlier == "HL":
            return True
        if (left == "SY" and after == "HL") or after == "IN":
            return True
        return (
            self._words(left, after)
            or self._numbers(left, after)
            or self._syllables(left, after)
            or self._others(left, after)
        )

    @staticmethod
    def _words(left, after):
        if left in _LETTERS and after in (*_LETTERS, "NU", "PR", "PO"):
            return True
        if after in _LETTERS and left in ("NU", "PR", "PO", "IS"):
            return True
        pictures = ("ID", "IDp", "EB", "EM")
        if left == "PR" and after in pictures:
            return True
        return left in pictures and after == "PO"

    def _numbers(self, left, after):
        if self.number and after in ("PO", "PR"):
            return True
        if self.number == "NU" and after in ("NU", "SY", "IS"):
            return True
        if after == "NU":
            return left in ("PR", "PO", "OP", "OPw", "HY", "NU")
        return False

    @staticmethod
    def _syllables(left, after):
        if left == "JL" and after in ("JL", "JV", "H2", "H3"):
            return True
        if left in ("JV", "H2") and after in ("JV", "JT"):
            return True
        if left in ("JT", "H3") and after == "JT":
            return True
        if left in _HANGUL and after == "PO":
            return True
        return left == "PR" and after in _HANGUL

    def _others(self, left, after):
        letters = (*_LETTERS, "NU")
        if (left in letters and after == "OP") or (
            left == "CP" and after in letters
        ):
            return True
        if left == "RI" and after == "RI":
            return self.regional % 2 == 1
        return left in ("EB", "IDp") and after == "EM"
