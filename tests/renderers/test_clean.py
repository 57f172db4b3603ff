"""What becomes of characters without a picture."""

import sys

import pytest

from pixmodels.renderers._clean import clean


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("", ""),
        ("plain é 日", "plain é 日"),
        ("a\nb", "a b"),
        ("a\rb", "a b"),
        ("a\r\nb", "a\u2060 b"),
        ("a\n\rb", "a  b"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a\x0bb\x0cc\x1cd\x1de\x1ef\x1fg", "a b c d e f g"),
        ("a\tb", "a\tb"),
        ("a\0b\x07\x7f\x9f", "a\u2060b\u2060\u2060\u2060"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("\u200d\u00ad\u00a0", "\u200d\u00ad\u00a0"),
    ],
)
def test_replacements(text, drawn):
    assert clean(text)[0] == drawn


def test_surrogates_are_listed():
    assert clean("a\udc80b\ud800")[1] == [(1, "\udc80"), (3, "\ud800")]


def test_every_character_keeps_its_place():
    for code in range(sys.maxunicode + 1):
        text = chr(code)
        assert len(clean(text)[0]) == 1
        assert not clean(text)[0].encode("utf-32")[4:] == b""
