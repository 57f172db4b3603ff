"""Layouts: how a text is cut into words and units, and where they stand."""

import itertools
import json
import pickle
import runpy
import time

import numpy as np
import pytest
import uharfbuzz
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import Cut
from pixmodels.renderers._segment import LAYOUTS
from pixmodels.renderers._segment import grouped
from pixmodels.renderers._segment import pixel_votes_rtl
from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers._units import UnitShaper

HEBREW = "שלום עולם"
ARABIC = "القراءة رؤية لا تنتهي"
HINDI = "क्षत्रिय विद्यालय में पढ़ते हैं"
CHINESE = "阅读就是看见。"


def strips(batch, index=0):
    """Pixels between the word starts of one text."""
    starts = batch.word_starts[index]
    row = batch.pixels[index]
    return [row[:, 16 * a : 16 * b] for a, b in itertools.pairwise(starts)]


class TestWords:
    @pytest.mark.parametrize(
        "text", ["Hello wide world", " two  spaces\u2003here\n", HINDI, "a"]
    )
    def test_text_is_the_list_of_its_words(self, layouts, renderer, text):
        found = layouts["words"](text)
        expected = renderer([text.split()])
        assert np.array_equal(found.pixels, expected.pixels)
        assert found.word_starts == expected.word_starts

    def test_lists_and_pairs(self, layouts, renderer):
        words = ["New York", "", "x"]
        found = layouts["words"]([words])
        assert np.array_equal(found.pixels, renderer([words]).pixels)
        batch = layouts["words"]([("who reads", "a patch")])
        first, end = batch.sep_patches[0]
        alone = layouts["words"](["who reads", "a patch"])
        assert alone.sep_patches[0] == (first,)
        assert np.array_equal(
            batch.pixels[0, :, 16 * (first + 1) :],
            alone.pixels[1, :, : 16 * (end - first)],
        )
        starts = alone.word_starts[0][:-1], alone.word_starts[1][:-1]
        second = tuple(first + 1 + start for start in starts[1])
        assert batch.word_starts == [(*starts[0], *second, end)]

    def test_a_bracket_alone_follows_the_text(self, layouts):
        """In a right-to-left text a lone bracket is mirrored."""
        batch = layouts["words"](["( " + HEBREW, "("])
        mirrored = layouts["words"](")")
        assert np.array_equal(
            strips(batch, 0)[0][:, 5:14], mirrored.pixels[0][:, 2:11]
        )

    def test_controls_alone_are_no_word(self, layouts):
        batch = layouts["words"](["a \0 b", "a\r\n\r\nb"])
        assert batch.word_starts[0] == batch.word_starts[1] == (0, 1, 2)


class TestUnits:
    @pytest.mark.parametrize("layout", ["bigrams", "mono", "adaptive"])
    @pytest.mark.parametrize(
        "text", ["Reading is seeing", "быстрые лисы", "naïve e\u0301té"]
    )
    def test_each_unit_looks_as_when_alone(self, layouts, latin, layout, text):
        """Against the picture of each piece, drawn by itself."""
        batch = layouts[layout](text)
        size = 1 if layout == "mono" else 2
        patch = 0
        words = list(text) if layout == "mono" else text.split()
        words = graphemes(text) if layout == "mono" else words
        for word in words:
            clusters = graphemes(word)
            for start in range(0, len(clusters), size):
                unit = "".join(clusters[start : start + size])
                alone = latin(unit).pixels[0]
                width = latin._shaper.line(unit).width
                count = max(1, -(-width // 16))
                left = 16 * patch
                found = batch.pixels[0, :, left : left + width]
                assert np.array_equal(found, alone[:, 2 : 2 + width]), unit
                patch += count
        assert batch.sep_patches == [(patch,)]

    @pytest.mark.parametrize(
        ("layout", "word", "expected"),
        [
            ("bigrams", "abcde", [2, 2, 1]),
            ("mono", "abcde", [1] * 5),
            ("adaptive", "abcde", [2, 2, 1]),
            ("bigrams", "中文字", [2, 1]),
            ("adaptive", "中文字", [1, 1, 1]),
            ("adaptive", "한국어", [1, 1, 1]),
            ("adaptive", "ラーメン。", [1] * 5),
            ("adaptive", "abc中de", [2, 1, 1, 2]),
            ("adaptive", "שלום", [4]),
            ("adaptive", "كتاب2", [5]),
            ("bigrams", "שלום", [2, 2]),
            ("bigrams", "👨‍👩‍👧🇺🇦x", [2, 1]),
            ("bigrams", "e\u0301e\u0301e\u0301", [2, 1]),
        ],
    )
    def test_counts(self, layout, word, expected):
        assert grouped(graphemes(word), layout) == expected

    @pytest.mark.parametrize("layout", ["bigrams", "mono"])
    @pytest.mark.parametrize(
        "text",
        [ARABIC, HINDI, "বাংলা ক্ষমতা", "ഈ ലൈബ്രറി", "ᠮᠣᠩᠭᠣᠯ", "ဤစာကြည့်တိုက်", "ތާނަ"],
    )
    def test_letters_keep_the_forms_of_the_word(self, layouts, layout, text):
        """The glyphs of the units are HarfBuzz's for the whole word."""
        shaper = layouts[layout]._shaper
        for word in text.split():
            whole = shaper.line(word, _levels(word))
            units = UnitShaper(shaper, layout).units(word)
            assert "".join(word[u.start : u.end] for u in units) == word
            expected = {}
            for run in whole.runs:
                for glyph, cluster in zip(run.glyphs[:, 0], run.clusters):
                    expected.setdefault(int(cluster), []).append(int(glyph))
            found = {}
            for unit in units:
                for run in unit.line.runs:
                    for glyph, cluster in zip(run.glyphs[:, 0], run.clusters):
                        place = int(cluster) + unit.start
                        found.setdefault(place, []).append(int(glyph))
            assert found == expected
            starts = {0}
            for cluster in graphemes(word):
                starts.add(max(starts) + len(cluster))
            assert {u.start for u in units} <= starts & {*expected, 0}

    def test_arabic_forms_are_those_of_harfbuzz_in_context(self, layouts):
        """Unit by unit against uharfbuzz with the rest as context."""
        renderer = layouts["mono"]
        word = "كتبته"
        line = renderer._shaper.line(word, _levels(word))
        index = renderer.font_stack.names.index("NotoSansArabic-Regular.ttf#0")
        path, face = renderer.font_stack.entry(index)
        blob = uharfbuzz.Blob.from_file_path(path)
        font = uharfbuzz.Font(uharfbuzz.Face(blob, face))
        units = UnitShaper(renderer._shaper, "mono").units(word)
        assert len(units) == len(word) == len(line.runs[0].glyphs)
        for unit in units:
            buffer = uharfbuzz.Buffer()
            buffer.add_codepoints(
                list(map(ord, word)), unit.start, unit.end - unit.start
            )
            buffer.direction = "rtl"
            buffer.script = "Arab"
            uharfbuzz.shape(font, buffer)
            expected = [info.codepoint for info in buffer.glyph_infos]
            (run,) = unit.line.runs
            assert run.glyphs[:, 0].tolist() == expected

    def test_lam_alef_is_one_unit(self, layouts):
        batch = layouts["mono"]("سلام", return_offsets=True)
        assert sorted(map(tuple, batch.offsets[0][:3].tolist())) == [
            (0, 0, 1),
            (0, 1, 3),
            (0, 3, 4),
        ]

    def test_order_of_right_to_left_units(self, layouts):
        """Words in logical order, the units of each in visual order."""
        batch = layouts["mono"]("אבג דה", return_offsets=True)
        table = batch.offsets[0][:6, 1].tolist()
        assert table == [2, 1, 0, 3, 5, 4]
        assert batch.word_starts == [(0, 4, 6)]

    def test_space_takes_a_patch_where_it_would_be_lost(self, layouts):
        assert layouts["mono"]("a  b").num_patches.tolist() == [4]
        assert layouts["bigrams"]("a  b").num_patches.tolist() == [2]
        assert layouts["adaptive"]("中  文").num_patches.tolist() == [3]
        assert layouts["adaptive"]("a  b").num_patches.tolist() == [2]

    def test_what_does_not_fit_is_cut_as_a_whole(self, layouts):
        batch = layouts["bigrams"](["abcdefgh", "ab cd ef"], num_patches=4)
        assert batch.truncated == [
            (Cut(0, 6, 8, "gh"),),
            None,
        ]
        whole = layouts["bigrams"]("abcdef")
        assert np.array_equal(batch.pixels[0], whole.pixels[0])
        wide = layouts["bigrams"](["ab", "mmmm"], num_patches=3)
        assert wide.truncated[1] == (Cut(0, 2, 4, "mm"),)

    def test_a_unit_wider_than_all_is_begun(self, layouts):
        batch = layouts["adaptive"](ARABIC.replace(" ", ""), num_patches=3)
        ((cut,),) = batch.truncated
        assert 0 < cut.start
        assert batch.pixels[0, :, :32].min() < 128

    def test_a_unit_of_which_nothing_visible_fits(self, layouts):
        batch = layouts["adaptive"](
            "\u200d\u0633", num_patches=2, return_offsets=True
        )
        assert batch.truncated == [(Cut(0, 1, 2, "\u0633"),)]
        assert batch.num_patches.tolist() == [1]
        assert batch.offsets[0][0].tolist() == [0, 0, 1]

    def test_word_lists(self, layouts):
        for name in ("bigrams", "mono", "adaptive"):
            batch = layouts[name]([["New York", "", "ab"]])
            (starts,) = batch.word_starts
            assert len(starts) == 4
            inside = layouts[name](["New York", "ab"]).num_patches.tolist()
            lengths = np.diff(starts).tolist()
            assert lengths == [inside[0], 1, inside[1]]

    def test_missing_is_reported(self, latin):
        for name in ("words", "bigrams", "mono", "adaptive"):
            renderer = CairoRenderer(latin.font_stack, layout=name)
            batch = renderer(["ab 日本 \ud800", ["x", "日"], ("ب", "日")])
            assert batch.missing == [
                ("日", "本", "\ud800"),
                ("日",),
                ("ب", "日"),
            ]


def _levels(word):
    from pixmodels.renderers import _bidi

    return _bidi.levels(word)[0]


def test_the_picture_of_the_readme(renderer, root, tmp_path):
    script = root / "docs" / "images" / "layouts.py"
    output = tmp_path / "layouts.png"
    runpy.run_path(str(script))["main"](output)
    with Image.open(output) as drawn:
        with Image.open(script.with_suffix(".png")) as kept:
            assert drawn.size == kept.size


class TestDirection:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", False),
            ("12 ()", False),
            (HEBREW, True),
            (ARABIC + " abc", True),
            ("ab " + HEBREW + " yz", False),
            ("א b c", False),
        ],
    )
    def test_vote(self, text, expected):
        assert pixel_votes_rtl(text) is expected

    def test_base_direction(self, renderer):
        text = "ab אב"
        ltr, rtl = (
            CairoRenderer(renderer.font_stack, direction=name)
            for name in ("ltr", "rtl")
        )
        auto = renderer(text).pixels
        assert np.array_equal(ltr(text).pixels, auto)
        assert not np.array_equal(rtl(text).pixels, auto)
        assert np.array_equal(rtl("אב ab").pixels, renderer("אב ab").pixels)

    def test_lists_go_left_to_right(self, renderer):
        """In list order, whatever the direction of the words."""
        rtl = CairoRenderer(renderer.font_stack, direction="rtl")
        for words in (["a", "b"], ["א", "ב"]):
            batch = rtl([words], return_offsets=True)
            assert batch.offsets[0][:2, 0].tolist() == [0, 1]

    def test_pairs_vote_together(self, renderer):
        """PIXEL sets both from the right by vote."""
        rtl = CairoRenderer(renderer.font_stack, direction="rtl")
        pair = ("a " + HEBREW, HEBREW)
        assert np.array_equal(renderer([pair]).pixels, rtl([pair]).pixels)
        mixed = ("a " + HEBREW, "abc")
        assert not np.array_equal(renderer([mixed]).pixels, rtl([mixed]).pixels)


class TestArguments:
    @pytest.mark.parametrize("value", ["bigram", "", None, 7, "Words"])
    def test_layout(self, latin, value):
        with pytest.raises(ValueError, match="Received: layout=") as error:
            CairoRenderer(latin.font_stack, layout=value)
        for name in LAYOUTS:
            assert repr(name) in str(error.value)

    def test_the_nearest_name_is_given(self, latin):
        with pytest.raises(ValueError, match="perhaps 'adaptive'"):
            CairoRenderer(latin.font_stack, layout="adaptative")
        with pytest.raises(ValueError, match="perhaps 'rtl'"):
            CairoRenderer(latin.font_stack, direction="rtll")

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_config_pickle_and_widths(self, latin, name):
        renderer = CairoRenderer(
            latin.font_stack, layout=name, direction="rtl", max_patches=43
        )
        config = json.loads(json.dumps(renderer.get_config()))
        assert (config["layout"], config["direction"]) == (name, "rtl")
        text = ["some words here", ("a", "pair of"), ["a", "list"], "", []]
        batch = renderer(text)
        for clone in (
            CairoRenderer.from_config(config),
            pickle.loads(pickle.dumps(renderer)),
        ):
            assert clone.get_config() == renderer.get_config()
            assert np.array_equal(clone(text).pixels, batch.pixels)
        expected = (batch.num_patches + 1).tolist()
        assert renderer.widths(text).tolist() == expected

    def test_an_old_config_is_continuous(self, latin):
        config = latin.get_config()
        del config["layout"], config["direction"]
        assert CairoRenderer.from_config(config).layout == "continuous"

    @pytest.mark.parametrize("name", LAYOUTS[1:])
    @pytest.mark.parametrize(
        "piece", ["lorem ipsum ", "lorem", "سلام", "e\u0301\u05b0", "\0", " "]
    )
    def test_a_megabyte(self, layouts, name, piece):
        text = piece * (1_000_000 // len(piece))
        start = time.process_time()
        batch = layouts[name](text)
        assert time.process_time() - start < 5
        ((cut,),) = batch.truncated
        assert cut.text == text[cut.start :]


texts = st.one_of(
    st.text(max_size=31),
    st.text("ab אב سلا क्ष中한。 \t\n\r\u200d\u0301()1\u202e\0", max_size=31),
)
items = st.one_of(
    texts, st.tuples(texts, texts), st.lists(st.text(max_size=7), max_size=7)
)


@settings(max_examples=200)
@given(st.sampled_from(LAYOUTS), items, st.integers(2, 23))
def test_contract(layouts, name, item, width):
    """As for the continuous layout, in test_cairo_renderer.py."""
    renderer = layouts[name]
    found = renderer([item], num_patches=width)
    assert found.pixels.shape == (1, 16, 16 * width)
    assert np.array_equal(
        found.pixels, renderer([item], num_patches=width).pixels
    )
    end = int(found.num_patches[0])
    assert 0 < end < width
    row = found.pixels[0]
    for patch in found.sep_patches[0]:
        assert not row[:, 16 * patch : 16 * (patch + 1)].any()
    assert np.all(row[:, 16 * (end + 1) :] == 255)
    parts = [item] if isinstance(item, str) else item
    for cut in found.truncated[0] or ():
        assert cut.text == parts[cut.part][cut.start :] != ""
    starts = found.word_starts[0]
    if starts is not None:
        assert list(starts) == sorted(set(starts))
        assert starts[-1] == end
    segments = found.segments[0]
    assert [segment[0] for segment in segments] == list(
        range(2 if isinstance(item, tuple) else 1)
    )
    assert segments[-1][2] == end
