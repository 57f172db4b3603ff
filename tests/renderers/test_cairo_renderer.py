"""The renderer as a user sees it: layout, limits, bad input, determinism."""

import copy
import hashlib
import json
import pickle
import subprocess
import sys
import threading
import time

import cairo
import numpy as np
import pytest
import uharfbuzz
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import Cut
from pixmodels.renderers.font_stack import sha256

# For a new process: a parent package that does not import keras for seconds.
BARE_PARENT = (
    "import importlib.util, sys, types\n"
    "spec = importlib.util.find_spec('pixmodels')\n"
    "sys.modules['pixmodels'] = importlib.util.module_from_spec(spec)\n"
)


def ink(batch, index=0):
    """Grey summed over the text, less the black patches."""
    black = 16 * 16 * 255 * len(set(batch.sep_patches[index]))
    return int((255 - batch.pixels[index].astype(int)).sum()) - black


class TestLayout:
    def test_text(self, latin):
        batch = latin("Hello")
        assert batch.pixels.dtype == np.uint8
        assert batch.num_patches.dtype == np.int32
        width = latin._shaper.line("Hello").width
        end = -(-(2 + width + 2) // 16)
        assert batch.num_patches.tolist() == [end]
        assert batch.pixels.shape == (1, 16, 16 * (end + 1))
        assert batch.sep_patches == [(end,)]
        assert batch.word_starts == [None]
        assert batch.truncated == [None]
        assert np.all(batch.pixels[0, :, 16 * end :] == 0)

    def test_batch_is_as_wide_as_its_longest(self, latin):
        batch = latin(["a", "a much longer text", ("b", "c")])
        longest = int(batch.num_patches.max())
        assert batch.pixels.shape == (3, 16, 16 * (longest + 1))
        assert batch.attention_mask.shape == (3, longest + 1)
        assert batch.attention_mask.sum(1).tolist() == (
            (batch.num_patches + 1).tolist()
        )
        assert batch.attention_mask[0].tolist() == (
            [True] * 2 + [False] * (longest - 1)
        )
        assert latin.widths(
            ["a", "a much longer text", ("b", "c")]
        ).tolist() == ((batch.num_patches + 1).tolist())
        assert len(batch) == 3
        assert batch.patch_size == 16

    def test_pair(self, latin):
        batch = latin([("Who?", "Oatmeal.")])
        ((first, end),) = batch.sep_patches
        assert batch.num_patches.tolist() == [end]
        alone = latin("Who?", num_patches=first + 1).pixels[0]
        assert np.array_equal(batch.pixels[0, :, : 16 * (first + 1)], alone)
        second = latin("Oatmeal.").pixels[0]
        found = batch.pixels[0, :, 16 * (first + 1) :]
        assert np.array_equal(found, second)

    def test_words(self, latin):
        words = ["Hello", "wide", "world"]
        batch = latin([words])
        (starts,) = batch.word_starts
        assert len(starts) == 4
        assert starts[0] == 0
        assert starts[-1] == batch.num_patches[0]
        # The last word alone, two pixels to the left of a text's start.
        alone = latin("world").pixels[0][:, 2 : 16 * 3]
        left = 16 * starts[2]
        found = batch.pixels[0, :, left : left + alone.shape[1]]
        black = 16 * (starts[3] - starts[2])
        assert np.array_equal(found[:, : black - 2], alone[:, : black - 2])

    @pytest.mark.parametrize("empty", ["", " ", [], [""], ["", ""], ("", "")])
    def test_nothing_to_draw(self, latin, empty):
        batch = latin([empty])
        assert ink(batch) == 0
        assert batch.truncated == [None]
        assert batch.missing == [()]
        expected = {"": (1,), " ": (1,), ("", ""): (1, 3)}
        if not isinstance(empty, list):
            assert batch.sep_patches == [expected[empty]]
        else:
            count = max(1, len(empty))
            assert batch.sep_patches == [(count,)]
            assert batch.word_starts[0][-1] == count
            assert len(batch.word_starts[0]) == len(empty) + 1

    def test_only_spaces(self, latin):
        batch = latin(" " * 13)
        assert ink(batch) == 0
        assert batch.num_patches.tolist() == [3]  # 2 + 13 * 3 + 2 = 43 px

    def test_empty_batch(self, latin):
        batch = latin([])
        assert batch.pixels.shape == (0, 16, 16)
        assert batch.attention_mask.shape == (0, 1)
        assert latin([], num_patches=5).pixels.shape == (0, 16, 80)
        assert latin.widths([]).shape == (0,)

    def test_right_to_left(self, renderer):
        """The first letter of a Hebrew text stands at the right."""
        one = renderer("\u05e9").pixels[0]
        text = renderer("\u05e9 \u05d0\u05d1\u05d2\u05d3 \u05d0\u05d1\u05d2")
        columns = np.flatnonzero((one[:, :16] < 255).any(0))
        letter = one[:, columns[0] : columns[-1] + 1]
        row = text.pixels[0, :, : 16 * int(text.num_patches[0])]
        last = np.flatnonzero((row < 255).any(0))[-1]
        assert np.array_equal(
            row[:, last + 1 - letter.shape[1] : last + 1], letter
        )

    def test_baseline_is_that_of_the_first_font(self, latin, renderer):
        """A Latin word looks the same beside any other script."""
        alone = latin("xyz").pixels[0, :, :16]
        beside = renderer("xyz \u0f56\u0f7c\u0f51").pixels[0, :, :16]
        assert np.array_equal(alone, beside)


class TestTruncation:
    def test_text_is_clipped_and_reported(self, latin):
        text = "abcdefghij" * 7
        batch = latin(text, num_patches=5)
        assert batch.pixels.shape == (1, 16, 80)
        assert batch.sep_patches == [(4,)]
        ((cut,),) = batch.truncated
        assert cut == Cut(0, cut.start, 70, text[cut.start :])
        fits = latin._shaper.line(text[: cut.start]).width
        more = latin._shaper.line(text[: cut.start + 1]).width
        assert 2 + fits <= 64 < 2 + more
        # As in PIXEL: pixels of the uncut line up to the end patch.
        whole = latin(text).pixels
        assert np.array_equal(batch.pixels[:, :, :64], whole[:, :, :64])
        assert np.all(batch.pixels[:, :, 64:] == 0)

    def test_nothing_is_cut_where_all_fits(self, latin):
        text = "iiiii"
        for number in range(1, 40):
            batch = latin(text * number, num_patches=5)
            fits = 2 + latin._shaper.line(text * number).width <= 64
            assert (batch.truncated[0] is None) == fits

    def test_graphemes_are_cut_whole(self, latin):
        text = "x\u0323\u0302" * 31
        ((cut,),) = latin(text, num_patches=3).truncated
        assert cut.start % 3 == 0

    def test_pair(self, latin):
        long = "first text that is too long"
        batch = latin([(long, "second"), ("a", long)], num_patches=7)
        assert batch.sep_patches == [(6, 6), (1, 6)]
        first, second = batch.truncated[0]
        assert (first.part, first.end) == (0, len(long))
        assert second == Cut(1, 0, 6, "second")
        (cut,) = batch.truncated[1]
        assert cut.part == 1
        assert long.endswith(cut.text)
        # An empty second text loses nothing.
        assert len(latin([(long, "")], num_patches=7).truncated[0]) == 1

    def test_words(self, latin):
        words = ["one", "three", "eleven", "", "thirteen"]
        batch = latin([words], num_patches=6)
        # "one " takes 2 patches, "three " 3 and the end patch the sixth.
        assert batch.word_starts == [(0, 2, 5)]
        assert batch.truncated == [
            (Cut(2, 0, 6, "eleven"), Cut(4, 0, 8, "thirteen"))
        ]
        assert latin([words], num_patches=17).truncated == [None]

    def test_a_space_after_a_word_is_not_text(self, latin):
        word = next("i" * n for n in range(99) if self.exact(latin, "i" * n))
        batch = latin([[word, "x"]], num_patches=3)
        assert batch.truncated == [(Cut(1, 0, 1, "x"),)]

    @staticmethod
    def exact(renderer, word):
        width = renderer._shaper.line(word).width
        return 2 + width <= 32 < 2 + renderer._shaper.line(word + " ").width

    def test_right_to_left_keeps_the_beginning(self, renderer):
        text = "שלום עולם " * 13
        batch = renderer(text, num_patches=11)
        ((cut,),) = batch.truncated
        assert 0 < cut.start < len(text)
        assert cut.text == text[cut.start :]
        kept = renderer(text[: cut.start], num_patches=11)
        assert kept.truncated == [None]
        assert np.array_equal(kept.pixels, batch.pixels)
        longer = renderer(text[: cut.start + 1], num_patches=11)
        assert longer.truncated != [None]

    def test_missing_counts_what_is_drawn(self, latin):
        batch = latin("日" + "a" * 99 + "本", num_patches=5)
        assert batch.missing == [("日",)]

    @pytest.mark.parametrize(
        "piece",
        [
            "lorem ipsum ",
            "سلام دنیا ",
            "e\u0301\u05b0",
            "\0",
            "\u200f",
            "日",
            "\t",
        ],
    )
    def test_a_megabyte(self, renderer, piece):
        text = piece * (1_000_000 // len(piece))
        start = time.process_time()
        batch = renderer(text)
        assert time.process_time() - start < 5
        ((cut,),) = batch.truncated
        assert cut.text == text[cut.start :]
        assert cut.end == len(text)
        assert 0 < cut.start <= 64 * 529

    def test_a_megabyte_of_missing_glyphs(self, latin):
        start = time.process_time()
        batch = latin("a日" * 500_000)
        assert time.process_time() - start < 5
        assert batch.missing == [("日",)]


class TestBadInput:
    @pytest.mark.parametrize(
        ("texts", "error", "message"),
        [
            (None, TypeError, r"texts=None \(NoneType\)"),
            (7, TypeError, r"texts=7 \(int\)"),
            (b"bytes", TypeError, r"texts=b'bytes' \(bytes\)"),
            (("a", "b"), TypeError, r"texts=\('a', 'b'\) \(tuple\)"),
            (["a", 7], TypeError, r"texts\[1\]=7 \(int\)"),
            (["a", None], TypeError, r"texts\[1\]=None"),
            ([b"a"], TypeError, r"texts\[0\]=b'a' \(bytes\)"),
            ([("a", 1)], TypeError, r"texts\[0\]\[1\]=1 \(int\)"),
            ([["a", ["b"]]], TypeError, r"texts\[0\]\[1\]=\['b'\] \(list\)"),
            ([("a", "b", "c")], ValueError, r"texts\[0\] with 3 items"),
            ([("a",)], ValueError, r"texts\[0\] with 1 items"),
            ([()], ValueError, r"texts\[0\] with 0 items"),
        ],
    )
    def test_not_text(self, latin, texts, error, message):
        with pytest.raises(error, match="expected .*Received: " + message):
            latin(texts)

    @pytest.mark.parametrize("value", [0, 1, -3, 530, 7.0, "7", True])
    def test_num_patches(self, latin, value):
        with pytest.raises(ValueError, match="Received: num_patches="):
            latin("a", num_patches=value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"patch_size": 0},
            {"patch_size": 16.0},
            {"max_patches": 1},
            {"font_size": 0},
            {"font_size": float("nan")},
            {"font_size": "8"},
            {"dpi": -1},
            {"dpi": 1},
            {"font_size": 1e9},
        ],
    )
    def test_sizes(self, latin, arguments):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"expected .*Received: .*{name}="):
            CairoRenderer(latin.font_stack, **arguments)

    def test_language(self, latin):
        with pytest.raises(TypeError, match="Received: language=7"):
            CairoRenderer(latin.font_stack, language=7)

    def test_it_does_not_change(self, latin):
        with pytest.raises(AttributeError, match="patch_size=8"):
            latin.patch_size = 8

    def test_line_breaks_are_spaces(self, latin):
        expected = latin("hello world").pixels
        for line_break in (
            "\n",
            "\r",
            "\r\n",
            "\u2028",
            "\u2029",
            "\x85",
            "\v",
        ):
            batch = latin(f"hello{line_break}world")
            assert np.array_equal(batch.pixels, expected), repr(line_break)
        words = latin([["one\n", "two"]]).pixels
        assert np.array_equal(words, latin([["one ", "two"]]).pixels)

    def test_controls_draw_nothing(self, latin, renderer):
        for text in ("AV\0AT", "A\x07VAT\x7f", "\x00AVAT\x9f"):
            batch = latin(text)
            assert np.array_equal(batch.pixels, latin("AVAT").pixels)
            assert batch.missing == [()]
        joined = renderer("\u0628\0\u0628").pixels
        assert np.array_equal(joined, renderer("\u0628\u0628").pixels)

    def test_surrogates(self, latin):
        batch = latin("a\ud800b\udfff\ud800")
        expected = latin("a\ufffdb\ufffd\ufffd")
        assert np.array_equal(batch.pixels, expected.pixels)
        assert batch.missing == [("\ud800", "\udfff")]
        assert expected.missing == [()]

    def test_missing_glyphs_are_drawn_and_reported(self, latin, renderer):
        batch = latin(["中 ب 中", "fine", ("中", "a"), ["x", "ب"]])
        assert batch.missing == [("中", "ب"), (), ("中",), ("ب",)]
        assert ink(batch) > 0
        default = renderer("\U000e1000").pixels
        assert np.array_equal(default, latin("\U000e1000").pixels)

    @pytest.mark.parametrize("side", [7, 14, 15, 17])
    def test_odd_patch_sizes(self, latin, side):
        """PIXEL's renderer crashes where a row is no multiple of 4 bytes."""
        renderer = CairoRenderer(latin.font_stack, patch_size=side)
        batch = renderer(["text", ("a", "b"), ["a", "b"]])
        assert batch.pixels.shape[1] == side
        assert batch.pixels.shape[2] % side == 0
        assert batch.pixels.flags.c_contiguous
        assert batch.patch_size == side


texts = st.text(max_size=31)
anything = st.one_of(
    texts,
    st.text(
        st.characters(codec=None, categories=["Cs", "Cc", "Cf", "Mn", "Lo"]),
        max_size=31,
    ),
    st.text("abאבب١(1)[] \t\u200d\u2067\u2069\u202e\u0301", max_size=31),
)
items = st.one_of(
    anything,
    st.tuples(anything, anything),
    st.lists(st.text(max_size=7), max_size=11),
)


class TestProperties:
    @settings(max_examples=250)
    @given(batch=st.lists(items, max_size=5), width=st.integers(2, 23))
    def test_contract(self, renderer, batch, width):
        found = renderer(batch, num_patches=width)
        assert found.pixels.shape == (len(batch), 16, 16 * width)
        assert found.pixels.dtype == np.uint8
        again = renderer(batch, num_patches=width)
        assert np.array_equal(found.pixels, again.pixels)
        for index, item in enumerate(batch):
            row = found.pixels[index]
            end = int(found.num_patches[index])
            assert 0 < end < width
            assert found.sep_patches[index][-1] == end
            assert len(found.sep_patches[index]) == (
                2 if isinstance(item, tuple) else 1
            )
            for patch in found.sep_patches[index]:
                assert not row[:, 16 * patch : 16 * (patch + 1)].any()
            assert np.all(row[:, 16 * (end + 1) :] == 255)
            self.check_report(item, found, index)

    @staticmethod
    def check_report(item, found, index):
        parts = [item] if isinstance(item, str) else item
        for cut in found.truncated[index] or ():
            assert 0 <= cut.start < cut.end == len(parts[cut.part])
            assert cut.text == parts[cut.part][cut.start :]
        for character in found.missing[index]:
            assert character in "".join(parts)
        starts = found.word_starts[index]
        if isinstance(item, list):
            assert starts[-1] == found.num_patches[index]
            # Words of their own patches, until none is left.
            assert list(starts) == sorted(set(starts))
        else:
            assert starts is None

    @settings(max_examples=60)
    @given(batch=st.lists(items, min_size=1, max_size=5))
    def test_batch_is_one_by_one(self, renderer, batch):
        together = renderer(batch)
        width = together.pixels.shape[2]
        assert renderer.widths(batch).max() * 16 == width
        for index, item in enumerate(batch):
            alone = renderer([item])
            own = alone.pixels.shape[2]
            row = together.pixels[index]
            assert np.array_equal(row[:, :own], alone.pixels[0])
            assert np.all(row[:, own:] == 255)
            assert together.num_patches[index] == alone.num_patches[0]
            assert together.missing[index] == alone.missing[0]

    @settings(max_examples=60)
    @given(text=items, more=st.integers(1, 13))
    def test_width_only_pads(self, renderer, text, more):
        narrow = renderer([text])
        patches = narrow.pixels.shape[2] // 16
        wide = renderer([text], num_patches=patches + more)
        own = narrow.pixels.shape[2]
        assert np.array_equal(wide.pixels[:, :, :own], narrow.pixels)
        assert np.all(wide.pixels[:, :, own:] == 255)


class TestReproducible:
    def test_config_round_trip(self, latin):
        other = CairoRenderer(
            latin.font_stack,
            patch_size=24,
            max_patches=37,
            font_size=11.5,
            dpi=96,
            language="tr",
        )
        config = json.loads(json.dumps(other.get_config()))
        rebuilt = CairoRenderer.from_config(config)
        assert rebuilt.get_config() == other.get_config()
        text = ["Iğdır fi", ("a", "b")]
        assert np.array_equal(rebuilt(text).pixels, other(text).pixels)

    def test_pickle_and_copy(self, renderer):
        text = "Text, текст, نص, 文"
        expected = renderer(text).pixels
        for clone in (
            pickle.loads(pickle.dumps(renderer)),
            copy.copy(renderer),
        ):
            assert clone.get_config() == renderer.get_config()
            assert np.array_equal(clone(text).pixels, expected)
        assert len(pickle.dumps(renderer)) < 20_000

    def test_threads(self, renderer):
        text = ["Text, текст, نص, 文", ("a", "ب")] * 7
        expected = renderer(text).pixels
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(renderer(text)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 5
        assert all(np.array_equal(x.pixels, expected) for x in found)

    def test_language_selects_letter_forms(self, latin):
        text = "бгдпт \u0431"
        plain = latin(text).pixels
        assert np.array_equal(
            CairoRenderer(latin.font_stack, language="ru")(text).pixels, plain
        )
        serbian = CairoRenderer(latin.font_stack, language="sr")(text).pixels
        assert not np.array_equal(serbian, plain)

    def test_new_process_with_other_system_settings(self, renderer, tmp_path):
        """Neither fontconfig nor the locale changes a pixel."""
        config = tmp_path / "fonts.conf"
        config.write_text(
            "<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'>"
            "<fontconfig><match target='pattern'>"
            "<edit name='antialias' mode='assign'><bool>false</bool></edit>"
            "<edit name='hinting' mode='assign'><bool>false</bool></edit>"
            "<edit name='rgba' mode='assign'><const>rgb</const></edit>"
            "<edit name='dpi' mode='assign'><double>300</double></edit>"
            "</match></fontconfig>"
        )
        script = (
            BARE_PARENT + "import hashlib\n"
            "import pixmodels.renderers as r\n"
            "text = ['Iğdır office', 'नमस्ते שלום 文', 'កម្ពុជា한']\n"
            "pixels = r.CairoRenderer()(text).pixels\n"
            "print(hashlib.sha256(pixels.tobytes()).hexdigest())\n"
        )
        environment = {
            "FONTCONFIG_FILE": str(config),
            "LC_ALL": "tr_TR.UTF-8",
            "LANG": "ja_JP.UTF-8",
            "PANGO_LANGUAGE": "ko",
            "HOME": str(tmp_path),
            "PYTHONUTF8": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        text = ["Iğdır office", "नमस्ते שלום 文", "កម្ពុជា한"]
        pixels = renderer(text).pixels
        expected = hashlib.sha256(pixels.tobytes()).hexdigest()
        assert done.stdout.split()[-1] == expected


# Our own sentences, drawn by the versions named in the test.
NOTO_SANS = "89c3c497f618fdaa0b2d1e98fef93582f28c71debd2c4a8cdf41f190ced2909d"
GOLDEN = {
    "str": ("Quick foxes, office AVATAR: naïve – 3½!", "2b9ac748152feed0"),
    "greek": ("Γρήγορες αλεπούδες и быстрые лисы", "87ad01ae8f4db027"),
    "pair": (("Who reads?", "A patch reader."), "c4d7a605bd355e85"),
    "words": (["Each", "word", "has", "patches"], "d75975cce41b4cd3"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_pixels(latin, name):
    versions = (
        cairo.cairo_version_string(),
        uharfbuzz.version_string(),
        sha256(latin.font_stack.entry(0)[0]),
    )
    if versions != ("1.16.0", "15.0.0", NOTO_SANS):
        pytest.skip(f"pixels are known for other versions than {versions}")
    text, expected = GOLDEN[name]
    pixels = latin([text]).pixels
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == expected
