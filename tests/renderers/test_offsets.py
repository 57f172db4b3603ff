"""Patches to characters and back, against Pango and PIXEL's own list."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import Located
from pixmodels.renderers._segment import LAYOUTS


@pytest.fixture(scope="module")
def cases(shared):
    folder = shared("fixtures/renders")
    found = []
    for name in ("latin", "scripts"):
        found += json.loads((folder / f"{name}.json").read_text("utf-8"))[
            "cases"
        ]
    fonts = json.loads((folder / "environment.json").read_text())["fonts"]
    return found, fonts


class TestPixelsOwn:
    def test_every_pair_of_the_fixtures(self, cases, usable):
        pairs = [case for case in cases[0] if case["kind"] == "pair"]
        assert len(pairs) == 16
        for case in pairs:
            renderer = usable(cases[1], case["font"])
            found = renderer.pixel_offset_mapping(tuple(case["input"]))
            assert len(found) == 529
            count = case["num_text_patches"] + 1
            expected = [tuple(entry) for entry in case["offset_mapping"]]
            assert found[:count] == expected, case["id"]
            assert set(found[count:]) <= {(0, 0)}

    def test_by_hand(self, latin):
        """Letters of 8 px, at x = 2, 10, 18 and 34, 42, 50, 58."""
        assert latin._shaper.line("n").width == 8
        found = latin.pixel_offset_mapping(("nnn", "nnnn"), num_patches=7)
        # The first patch closes at x = 18 > 16, its end is the letter before.
        assert found == [(0, 1), (1, 3), (0, 0), (0, 1), (1, 3), (3, 5), (0, 0)]

    def test_bad_input(self, latin):
        with pytest.raises(TypeError, match="pair of type str"):
            latin.pixel_offset_mapping("text")
        with pytest.raises(ValueError, match="with 3 items"):
            latin.pixel_offset_mapping(("a", "b", "c"))
        with pytest.raises(ValueError, match="num_patches=1"):
            latin.pixel_offset_mapping(("a", "b"), 1)
        other = CairoRenderer(latin.font_stack, layout="mono")
        with pytest.raises(ValueError, match="layout='mono'"):
            other.pixel_offset_mapping(("a", "b"))


@pytest.mark.parametrize("name", ["latin", "scripts"])
def test_positions_are_those_of_pango(shared, cases, usable, name):
    """The patch of every character, from Pango's runs, glyph by glyph."""
    path = shared(f"fixtures/renders/metrics_{name}.json")
    layouts = json.loads(path.read_text("utf-8"))["layouts"]
    compared = 0
    for case in cases[0]:
        if case["kind"] != "str" or case["id"] not in layouts:
            continue
        if case["unknown_glyphs"]:
            continue
        renderer = usable(cases[1], case["font"])
        text = case["input"]
        batch = renderer([text], return_offsets=True)
        (line,) = layouts[case["id"]]
        assert line["text"] == text.replace("\n", " ")
        expected = patches_by_pango(line["runs"], len(text))
        cut = batch.truncated[0][0].start if batch.truncated[0] else len(text)
        for index in range(cut):
            ranges = batch.patches_of(0, 0, index, index + 1)
            assert ranges[0][0] == expected[index], (case["id"], index)
            compared += 1
    assert compared > 1000


def patches_by_pango(runs, count):
    """Index -> patch; what has no width goes with the character before."""
    left = {}
    for run in runs:
        x = 2 * 1024 + run["x"]
        for cluster, width in zip(run["clusters"], run["widths"]):
            if width:
                left.setdefault(cluster, x)
            x += width
    found = {}
    for index in range(count):
        found[index] = left.get(index, found.get(index - 1, 2048))
    return {index: x // 16384 for index, x in found.items()}


class TestLookUps:
    def test_by_hand(self, latin):
        """Letters n of 8 px begin at 2, 10, 18, 26, 34."""
        batch = latin(["nnnnn", ("n", "nn")], return_offsets=True)
        assert batch.offsets[0].tolist() == [
            [0, 0, 2],
            [0, 2, 4],
            [0, 4, 5],
            [-1, -1, -1],
            [-1, -1, -1],
        ]
        assert batch.offsets[1][:, 0].tolist() == [0, -1, 1, 1, -1][:5]
        assert batch.locate(0, 1, 1) == [Located(0, 2, 4, "nn")]
        assert batch.locate(0, 1, 4) == [Located(0, 2, 5, "nnn")]
        assert batch.locate(0, 3, 4) == []
        assert batch.patches_of(0, 0, 0, 3) == [(0, 1)]
        assert batch.patches_of(0, 0, 4, 5) == [(2, 2)]
        assert batch.locate(-1, 0, 4) == [
            Located(0, 0, 1, "n"),
            Located(1, 0, 2, "nn"),
        ]

    def test_right_to_left(self, renderer):
        batch = renderer(["אבגדהוז abc"], return_offsets=True)
        first = batch.patches_of(0, 0, 0, 1)
        last = batch.patches_of(0, 0, 10, 11)
        assert first[0][0] > last[0][0]
        # Letters at both ends of the line; what is between is elsewhere.
        assert len(batch.patches_of(0, 0, 6, 11)) == 1
        mixed = renderer(["abcdef אבגדהו ghijkl"], return_offsets=True)
        assert len(mixed.patches_of(0, 0, 0, 9)) == 2

    def test_a_wide_glyph_goes_on(self, latin):
        renderer = CairoRenderer(latin.font_stack, font_size=40)
        batch = renderer("MM", return_offsets=True)
        assert batch.offsets[0][:3].tolist() == [[0, 0, 1]] * 3
        assert batch.offsets[0][3:6].tolist() == [[0, 1, 2]] * 3
        going_on = batch.offsets.going_on[0, :6].tolist()
        assert going_on == [False, True, True, False, True, True]
        assert batch.patches_of(0, 0, 0, 1) == [(0, 2)]
        assert batch.patches_of(0, 0, 0, 2) == [(0, 7)]
        assert batch.locate(0, 1, 1) == [Located(0, 0, 1, "M")]

    def test_cut_characters_are_nowhere(self, latin):
        text = "abcdefghij" * 7
        batch = latin(text, num_patches=5, return_offsets=True)
        ((cut,),) = batch.truncated
        assert batch.locate(0, 0, 4) == [
            Located(0, 0, cut.start, text[: cut.start])
        ]
        assert batch.patches_of(0, 0, cut.start, 70) == []
        assert batch.patches_of(0, 0, 0, 70) == [(0, 3)]

    def test_words(self, latin):
        batch = latin([["Hello", "wide", "world"]], return_offsets=True)
        (starts,) = batch.word_starts
        for part, (first, end) in enumerate(itertools.pairwise(starts)):
            (found,) = batch.locate(0, first, end - 1)
            assert found.text == ["Hello", "wide", "world"][part]
            assert batch.patches_of(0, part, 0, 4)[0][0] == first

    def test_bad_input(self, latin):
        plain = latin("text")
        assert plain.offsets is None
        for call in (plain.locate, plain.patches_of):
            with pytest.raises(ValueError, match="return_offsets=True"):
                call(0, 0, 1) if call == plain.locate else call(0, 0, 0, 1)
        batch = latin("text", return_offsets=True)
        for patches in ((-1, 0), (2, 1), (0, 99)):
            with pytest.raises(ValueError, match="Received: first_patch="):
                batch.locate(0, *patches)
        for span in ((0, 0), (-1, 2), (0, 5)):
            with pytest.raises(ValueError, match="Received: part=0, start="):
                batch.patches_of(0, 0, *span)
        with pytest.raises(IndexError):
            batch.locate(1, 0, 0)
        with pytest.raises(IndexError):
            batch.patches_of(0, 1, 0, 1)
        assert len(latin([], return_offsets=True).offsets) == 0

    def test_pixels_are_the_same_with_and_without(self, renderer):
        items = ["a b", ("אב", "c"), ["d", ""]]
        assert np.array_equal(
            renderer(items).pixels, renderer(items, return_offsets=True).pixels
        )


texts = st.one_of(
    st.text(max_size=31),
    st.text("ab אב سلا क्ष中한。 \t\n\r\u200d\u0301()1\u202e\0", max_size=31),
)
items = st.one_of(texts, st.tuples(texts, texts), st.lists(texts, max_size=5))


@settings(max_examples=250)
@given(st.sampled_from(LAYOUTS), items, st.integers(2, 23))
def test_all_that_is_drawn_is_found_and_no_more(layouts, name, item, width):
    batch = layouts[name]([item], num_patches=width, return_offsets=True)
    parts = [item] if isinstance(item, str) else item
    cut = {entry.part: entry.start for entry in batch.truncated[0] or ()}
    found = {}
    for part, start, end, text in batch.locate(0, 0, width - 1):
        assert text == parts[part][start:end]
        found.setdefault(part, set()).update(range(start, end))
    for part, text in enumerate(parts):
        drawn = set(range(cut.get(part, len(text))))
        assert found.get(part, set()) == drawn
        for start in range(0, len(text), 3):
            end = min(start + 5, len(text))
            back = set()
            for low, high in batch.patches_of(0, part, start, end):
                assert high < batch.num_patches[0]
                for span in batch.locate(0, low, high):
                    if span.part == part:
                        back.update(range(span.start, span.end))
            assert back >= set(range(start, end)) & drawn
    table = batch.offsets[0]
    end = int(batch.num_patches[0])
    assert np.all(table[list(batch.sep_patches[0])] == -1)
    assert np.all(table[end:] == -1)
    for patch, row in enumerate(table.tolist()):
        # The table names at least what `locate` finds there.
        for span in batch.locate(0, patch, patch):
            assert span.part == row[0]
            assert row[1] <= span.start < span.end <= row[2]
