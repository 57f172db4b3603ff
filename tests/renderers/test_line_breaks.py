"""Line break opportunities against Unicode's own file."""

import pathlib

import pytest

from pixmodels.renderers._line_breaks import line_breaks

FILE = pathlib.Path("/usr/share/unicode/auxiliary/LineBreakTest.txt")


def test_conformance():
    if not FILE.is_file():
        pytest.skip(f"{FILE} is missing: apt-get install unicode-data")
    text = FILE.read_text("utf-8")
    if not text.startswith("# LineBreakTest-15.0"):
        pytest.skip("the rules are those of Unicode 15.0")
    rows = [row.partition("#")[0].split() for row in text.splitlines()]
    rows = [row for row in rows if row]
    wrong = []
    for row in rows:
        characters = "".join(chr(int(code, 16)) for code in row[1::2])
        expected = [mark == "÷" for mark in row[2::2]]
        if [found > 0 for found in line_breaks(characters)] != expected:
            wrong.append(" ".join(row))
    assert wrong == []
    assert len(rows) == 7654


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", [2]),
        ("ab cd", [0, 0, 1, 0, 2]),
        ("a\nb", [0, 2, 2]),
        ("a\r\nb", [0, 0, 2, 2]),
        ("中文。", [1, 0, 2]),
        ("$(9.5)%", [0, 0, 0, 0, 0, 0, 2]),
        ("co-op", [0, 0, 1, 0, 2]),
        ("a\u00a0b", [0, 0, 2]),
        ("🇺🇦🇪🇺", [0, 1, 0, 2]),
    ],
)
def test_by_hand(text, expected):
    assert line_breaks(text) == expected
