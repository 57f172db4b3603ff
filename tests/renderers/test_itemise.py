"""Runs: scripts as in Pango, fonts by cluster, tabs apart."""

import pytest

from pixmodels.renderers import _bidi
from pixmodels.renderers._itemise import itemise


def runs(text, stack):
    return [
        (text[run.start : run.end], run.script)
        for run in itemise(text, _bidi.levels(text)[0], stack)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("abc", [("abc", "Latn")]),
        ("12.", [("12.", "Zyyy")]),
        ("12 ab, é", [("12 ab, é", "Latn")]),
        ("ab где", [("ab ", "Latn"), ("где", "Cyrl")]),
        ("«где» x", [("«где» ", "Cyrl"), ("x", "Latn")]),
        # A bracket closes in the script in which it was opened.
        ("ab (где) c", [("ab (", "Latn"), ("где", "Cyrl"), (") c", "Latn")]),
        ("(где) c", [("(где) ", "Cyrl"), ("c", "Latn")]),
        ("a]где)", [("a]", "Latn"), ("где)", "Cyrl")]),
        ("e\u0301 где\u0301", [("e\u0301 ", "Latn"), ("где\u0301", "Cyrl")]),
        ("a\t\tb", [("a", "Latn"), ("\t", "Latn"), ("\t", "Latn")])
        and ("\t1", [("\t", "Zyyy"), ("1", "Zyyy")]),
        ("a\tb", [("a", "Latn"), ("\t", "Latn"), ("b", "Latn")]),
    ],
)
def test_scripts(latin, text, expected):
    assert runs(text, latin.font_stack) == expected


def test_fonts_follow_coverage_by_cluster(renderer):
    stack = renderer.font_stack
    text = "a 日本。b\u0301 נֵר 1"
    found = [
        (text[run.start : run.end], stack.names[run.font].split("#")[0])
        for run in itemise(text, _bidi.levels(text)[0], stack)
    ]
    assert found == [
        ("a ", "NotoSans-Regular.ttf"),
        # The full stop is common and stays with the font before it.
        ("日本。", "NotoSansCJK-Regular.ttc"),
        ("b\u0301 ", "NotoSans-Regular.ttf"),
        # The vowel point goes where its letter goes.
        ("נֵר ", "NotoSansHebrew-Regular.ttf"),
        ("1", found[-1][1]),
    ]


def test_runs_cover_the_text(renderer):
    text = "x (日本) \tאב12 каз😀\u200dन्दी ،ب"
    found = itemise(text, _bidi.levels(text)[0], renderer.font_stack)
    ends = [0] + [run.end for run in found]
    assert [run.start for run in found] == ends[:-1]
    assert ends[-1] == len(text)
