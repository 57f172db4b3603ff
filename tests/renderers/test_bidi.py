"""Levels and order, worked by hand from the rules of UAX #9."""

import numpy as np
import pytest

from pixmodels.renderers import _bidi


def resolve(text, base=None):
    levels, base = _bidi.levels(text, base)
    if levels is None:
        return [0] * len(text), base
    assert levels.dtype == np.int8
    return levels.tolist(), base


# a b c: Latin; A B C stand for Hebrew letters, 1 2 for digits, X for Arabic.
LETTERS = str.maketrans("ABCX", "\u05d0\u05d1\u05d2\u0627")


@pytest.mark.parametrize(
    ("text", "levels", "base"),
    [
        ("", "", 0),
        ("ab c", "0000", 0),
        ("12 ...", "000000", 0),
        ("ABC", "111", 1),
        (" ABC.", "11111", 1),  # P2: the first strong character.
        ("ab ABC cd", "000111000", 0),
        ("AB cd AB", "11122111", 1),
        ("AB 12", "11122", 1),  # Digits rise above the letters (I2).
        ("ab 12 AB", "00000011", 0),  # W7: the digits follow the Latin.
        ("A 1-2 B", "1122211", 1),  # W4 joins digits over one sign...
        ("X 1-2", "11212", 1),  # ... but not Arabic numbers (W2),
        ("X 1,2", "11222", 1),  # which a comma joins.
        ("ab (AB) c", "000011000", 0),  # N0: brackets of an LTR line.
        ("AB (cd) C", "111122111", 1),
        ("AB (cd AB) c", "111122111112", 1),
        ("AB cd ", "111221", 1),  # L1: spaces at the end.
        ("AB\tcd", "11122", 1),  # L1: the tab takes the base level.
    ],
)
def test_levels(text, levels, base):
    text = text.translate(LETTERS)
    found, found_base = resolve(text)
    assert found_base == base
    assert "".join(map(str, found)) == levels


def test_isolate_has_its_own_direction():
    # RLI opens level 1; Latin inside it is level 2; outside nothing changes.
    text = "ab \u2067cd \u05d0\u2069 e"
    assert resolve(text)[0] == [0, 0, 0, 0, 2, 2, 1, 1, 0, 0, 0]


def test_base_may_be_given():
    assert resolve("ab", 1) == ([2, 2], 1)
    assert resolve("\u05d0", 0) == ([1], 0)
    assert resolve("", 1) == ([], 1)


def test_astral_characters_are_one_each():
    text = "\U0001e900\U0001f600a"  # Adlam, an emoji, Latin
    assert resolve(text) == ([1, 1, 2], 1)


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        ([], []),
        ([0], [0]),
        ([1, 2, 1], [2, 1, 0]),
        ([0, 1, 0], [0, 1, 2]),
        ([0, 1, 2, 1, 0], [0, 3, 2, 1, 4]),
        ([1, 2, 3, 2, 1], [4, 1, 2, 3, 0]),
        ([2, 2, 1], [2, 0, 1]),
    ],
)
def test_visual_order(levels, order):
    assert _bidi.visual_order(levels) == order
