"""Windows, packs and pages: nothing is lost, nothing is out of place."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import Cut
from pixmodels.renderers._segment import DIRECTIONS
from pixmodels.renderers._segment import LAYOUTS
from pixmodels.renderers._unicode import graphemes

CONTEXT = (
    "The owl wrote a letter to the cat, and the cat, who could not read, "
    "asked the postman what it said; he said that it was about mice."
)
ARABIC = "كتبت البومة رسالة إلى القطة، والقطة لا تعرف القراءة فسألت ساعي البريد"


def drawn(batch, rows, part):
    """Characters of a part that stand in some row."""
    width = batch.offsets.table.shape[1]
    found = set()
    for row in rows:
        for span in batch.locate(row, 0, width - 1):
            if span.part == part:
                found.update(range(span.start, span.end))
    return found


def boundaries(text):
    places = np.cumsum([0, *map(len, graphemes(text))])
    return set(places.tolist())


class TestWindows:
    def test_by_hand(self, latin):
        """The context has patches 3 to 5; its letters are 8 px wide."""
        assert latin._shaper.line("n").width == 8
        batch = latin.windows(("n", "n" * 13), num_patches=6, stride=1)
        # Patches 2, 3, 4: 48 px less 2 are 5 letters; the last patch repeats
        # those from x = 30 on: one letter.
        spans = [batch.locate(row, 2, 5)[0] for row in range(len(batch))]
        assert [(s.start, s.end) for s in spans] == [(0, 5), (4, 9), (8, 13)]
        assert batch.window_of.tolist() == [0, 0, 0]
        assert batch.sep_patches == [(1, 5)] * 3
        assert batch.segments[0] == ((0, 0, 1), (1, 2, 5))
        assert batch.pixels.shape == (3, 16, 96)

    def test_each_window_is_the_pair_of_its_texts(self, latin):
        batch = latin.windows(("Who wrote?", CONTEXT), num_patches=31, stride=7)
        assert len(batch) > 2
        for row in range(len(batch)):
            (span,) = batch.locate(row, batch.sep_patches[row][0], 30)
            alone = latin([("Who wrote?", span.text)], num_patches=31)
            assert np.array_equal(batch.pixels[row], alone.pixels[0])

    def test_overlap_is_stride(self, latin):
        for stride in (0, 3, 11):
            batch = latin.windows(
                ("Why?", CONTEXT), num_patches=29, stride=stride
            )
            for row in range(1, len(batch)):
                before, after = (
                    drawn(batch, [row - 1], 1),
                    drawn(batch, [row], 1),
                )
                again = sorted(before & after)
                if not stride:
                    assert not again
                    continue
                ((first, last),) = batch.patches_of(
                    row - 1, 1, again[0], again[-1] + 1
                )
                assert last - first + 1 == stride
                assert last == 27

    def test_question_is_cut_exactly_and_reported(self, latin):
        question = "A question that goes on and on and on?"
        batch = latin.windows(
            [(question, CONTEXT), ("Who?", "He.")],
            num_patches=29,
            stride=5,
            question_patches=7,
        )
        assert batch.window_of.tolist() == [0] * (len(batch) - 1) + [1]
        ((cut,),) = set(batch.truncated[:-1])
        assert cut == Cut(0, cut.start, len(question), question[cut.start :])
        kept = latin._shaper.line(question[: cut.start]).width
        more = latin._shaper.line(question[: cut.start + 1]).width
        assert kept + 2 <= 7 * 16 < more + 2
        # No hole: the separator stands on the first free patch.
        assert {seps[0] for seps in batch.sep_patches[:-1]} == {7}
        assert batch.truncated[-1] is None
        assert batch.sep_patches[-1] == (3, 6)

    def test_right_to_left(self, renderer):
        """Windows go through the text in its order, from its beginning."""
        batch = renderer.windows(("لماذا؟", ARABIC), num_patches=17, stride=4)
        starts = [min(drawn(batch, [row], 1)) for row in range(len(batch))]
        assert len(batch) == 3
        assert starts[0] == 0
        assert starts == sorted(set(starts))
        assert drawn(batch, range(len(batch)), 1) == set(range(len(ARABIC)))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"pairs": "text"}, TypeError, r"pairs\[0\] of type str"),
            ({"pairs": ["a"]}, TypeError, r"pairs\[0\] of type str"),
            ({"pairs": [["a", "b"]]}, TypeError, r"pairs\[0\] of type list"),
            ({"pairs": ("a", "b", "c")}, ValueError, "with 3 items"),
            ({"pairs": [("a", None)]}, TypeError, r"texts\[0\]\[1\]=None"),
            ({"num_patches": 3}, ValueError, "num_patches=3"),
            ({"num_patches": 530}, ValueError, "num_patches=530"),
            ({"stride": -1}, ValueError, "stride=-1"),
            ({"stride": 2.0}, ValueError, "stride=2.0"),
            ({"question_patches": 0}, ValueError, "question_patches=0"),
            ({"stride": 9}, ValueError, "num_patches=11, a question of 1"),
            ({"pairs": ("long " * 9, "b")}, ValueError, "a question of 10"),
        ],
    )
    def test_bad_input(self, latin, arguments, error, message):
        arguments = {"pairs": ("a", "b"), "num_patches": 11, **arguments}
        with pytest.raises(error, match="Received: .*" + message):
            latin.windows(**arguments)

    def test_no_pairs(self, latin):
        batch = latin.windows([], num_patches=7)
        assert batch.pixels.shape == (0, 16, 112)
        assert batch.window_of.shape == (0,)


class TestPack:
    def test_rows_hold_what_texts_are_alone(self, latin):
        texts = ["one", "twenty-two", "", "three words here", "n" * 31]
        batch = latin.pack(texts, 13)
        seen = []
        for row in range(len(batch)):
            for index, first, last in batch.segments[row]:
                seen.append(index)
                (span,) = batch.locate(row, first, last - 1) or [None]
                text = span.text if span else ""
                alone = latin(text).pixels[0]
                found = batch.pixels[row, :, 16 * first : 16 * (last + 1)]
                assert np.array_equal(found, alone)
        assert seen == [0, 1, 2, 3, 4, 4]
        assert batch.truncated == [None] * len(batch)

    def test_by_hand(self, latin):
        batch = latin.pack(["n", "nnn", "n" * 9, "n"], 6)
        # 1 + 2 patches and a separator; 9 letters: 9 into 78 px; 1.
        assert batch.segments == [
            ((0, 0, 1), (1, 2, 4)),
            ((2, 0, 5),),
            ((3, 0, 1),),
        ]
        assert batch.sep_patches == [(1, 4), (5,), (1,)]
        assert batch.num_patches.tolist() == [4, 5, 1]

    def test_overlong(self, latin):
        text = "n" * 23
        batch = latin.pack(["n", text, "nn"], 6)
        # Nine letters in 80 px less 2.
        assert batch.segments == [
            ((0, 0, 1),),
            ((1, 0, 5),),
            ((1, 0, 5),),
            ((1, 0, 3),),
            ((2, 0, 2),),
        ]
        other = latin.pack([text, "n"], 6)
        assert other.segments[-1] == ((0, 0, 3), (1, 4, 5))
        assert drawn(batch, range(len(batch)), 1) == set(range(23))
        cut = latin.pack(["n", text, "nn"], 6, overlong="cut")
        assert cut.truncated[1] == (Cut(1, 9, 23, "n" * 14),)
        assert drawn(cut, range(3), 1) == set(range(9))

    def test_plan(self, latin):
        batch = latin.pack(
            ["n", "nn", "nnn"], 13, plan=[[2, 0], [], np.array([1])]
        )
        assert [[s[0] for s in row] for row in batch.segments] == [[2, 0], [1]]

    def test_word_starts(self, layouts):
        batch = layouts["bigrams"].pack(["ab cd", "ef"], 9)
        assert batch.segments == [((0, 0, 2), (1, 3, 4))]
        assert batch.word_starts == [(0, 1, 3, 4)]

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"texts": [("a", "b")]}, TypeError, r"texts\[0\] of type tuple"),
            ({"texts": ["a", ["b"]]}, TypeError, r"texts\[1\] of type list"),
            ({"texts": None}, TypeError, "texts=None"),
            ({"num_patches": 1}, ValueError, "num_patches=1"),
            ({"overlong": "split"}, ValueError, "overlong='split'"),
            ({"plan": [0]}, TypeError, "plan of type list"),
            ({"plan": 7}, TypeError, "plan of type int"),
            ({"plan": [[0], [2]]}, ValueError, "2 in plan"),
            ({"plan": [[0, 0]]}, ValueError, "0 in plan"),
            ({"plan": [[-1]]}, ValueError, "-1 in plan"),
        ],
    )
    def test_bad_input(self, latin, arguments, error, message):
        arguments = {"texts": ["a", "b"], "num_patches": 5, **arguments}
        with pytest.raises(error, match="Received: " + message):
            latin.pack(**arguments)

    def test_nothing(self, latin):
        assert latin.pack([], 5).pixels.shape == (0, 16, 80)
        assert latin.pack("n", 5).segments == [((0, 0, 1),)]


class TestPage:
    def test_lines_are_what_they_are_alone(self, latin):
        batch = latin.page(CONTEXT, rows=7, columns=17)
        assert batch.pixels.shape == (1, 112, 272)
        assert batch.grid == (7, 17)
        assert batch.patch_size == 16
        assert batch.attention_mask.shape == (1, 119)
        lines = [
            batch.locate(0, 17 * row, 17 * row + 16)[0].text
            for row in range(7)
            if batch.locate(0, 17 * row, 17 * row + 16)
        ]
        assert "".join(lines) == CONTEXT
        assert all(line.endswith(" ") for line in lines[:-1])
        for row, line in enumerate(lines):
            alone = latin(line.rstrip()).pixels[0]
            width = 2 + latin._shaper.line(line.rstrip()).width
            found = batch.pixels[0, 16 * row : 16 * row + 16]
            assert np.array_equal(found[:, :width], alone[:, :width])
            # Greedy: the next word would not have fitted.
            word = (lines[row + 1].split() if row + 1 < len(lines) else [""])[0]
            whole = latin._shaper.line(line + word).width
            assert not word or 4 + whole > 17 * 16
        end = int(batch.num_patches[0])
        row, column = divmod(end, 17)
        black = batch.pixels[0, 16 * row :, 16 * column :][:16, :16]
        assert not black.any()

    def test_paragraphs(self, latin):
        batch = latin.page("a\r\n\nb\u2029c", rows=5, columns=3)
        table = batch.offsets[0].reshape(5, 3, 3)[:, 0]
        assert table.tolist() == [
            [0, 0, 3],
            [0, 3, 4],
            [0, 4, 6],
            [0, 6, 7],
            [-1, -1, -1],
        ]
        assert batch.sep_patches == [(10,)]

    def test_chinese_breaks_between_characters(self, renderer):
        """Five letters fit; never a full stop at the beginning of a line."""
        for text, first in (
            ("阅读就是看见", "阅读就是看"),
            ("阅读就是看。见", "阅读就是"),
        ):
            batch = renderer.page(text, rows=4, columns=5)
            assert batch.locate(0, 0, 4)[0].text == first

    def test_a_long_word_is_broken_between_clusters(self, latin):
        word = "e\u0323\u0301" * 31
        batch = latin.page(word, rows=9, columns=4)
        assert batch.truncated == [None]
        starts = [
            batch.offsets[0][4 * row, 1]
            for row in range(9)
            if batch.offsets[0][4 * row, 0] == 0
        ]
        assert len(starts) > 3
        assert all(start % 3 == 0 for start in starts)

    def test_right_to_left_is_flush_right(self, renderer):
        batch = renderer.page(ARABIC, rows=6, columns=11)
        rows = batch.pixels[0].reshape(6, 16, 176)
        inked = [row for row in range(6) if (rows[row] < 255).any()]
        lines = inked[:-1]
        assert batch.num_patches[0] == 11 * (lines[-1] + 1)
        for row in lines:
            assert (rows[row][:, -9:] < 255).any()
        alone = renderer(batch.locate(0, 0, 10)[0].text.strip())
        width = 16 * int(alone.num_patches[0])
        ink = np.flatnonzero((alone.pixels[0, :, :width] < 255).any(0))
        shown = np.flatnonzero((rows[0] < 255).any(0))
        # 2 px from the right, where the line alone starts 2 px from the left.
        assert np.array_equal(np.diff(shown), np.diff(ink))
        first = batch.locate(0, 0, 10)[0]
        assert ARABIC.startswith(first.text.strip())

    def test_paragraphs_have_directions_of_their_own(self, renderer):
        text = "ab אב\nאב ab"
        batch = renderer.page(text, rows=3, columns=9)
        assert batch.offsets[0][0].tolist()[:2] == [0, 0]
        assert batch.patches_of(0, 0, 6, 7)[0][0] == 9 + 8
        forced = CairoRenderer(renderer.font_stack, direction="ltr")
        other = forced.page(text, rows=3, columns=9)
        assert other.patches_of(0, 0, 9, 10)[0][0] > 9
        assert other.patches_of(0, 0, 6, 8)[0][0] == 9

    def test_truncation(self, latin):
        batch = latin.page(CONTEXT, rows=2, columns=13)
        ((cut,),) = batch.truncated
        assert cut == Cut(0, cut.start, len(CONTEXT), CONTEXT[cut.start :])
        assert CONTEXT[cut.start - 1] == " "
        assert batch.num_patches[0] < 26
        assert latin.page("a\n\n\nb", rows=2, columns=5).truncated == [
            (Cut(0, 3, 5, "\nb"),)
        ]

    def test_missing_and_controls(self, latin):
        batch = latin.page("a\0b 日\n\ud800", rows=3, columns=5)
        assert batch.missing == [("日", "\ud800")]

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"rows": 0}, ValueError, "rows=0"),
            ({"columns": 1}, ValueError, "columns=1"),
            ({"rows": 3.0}, ValueError, "rows=3.0"),
            ({"columns": 100}, ValueError, "rows=7, columns=100"),
            ({"texts": [("a", "b")]}, TypeError, r"texts\[0\] of type tuple"),
            ({"texts": 7}, TypeError, r"texts=7 \(int\)"),
        ],
    )
    def test_bad_input(self, latin, arguments, error, message):
        arguments = {"texts": "a", "rows": 7, "columns": 11, **arguments}
        with pytest.raises(error, match="Received: " + message):
            latin.page(**arguments)

    def test_other_layouts(self, layouts):
        with pytest.raises(ValueError, match="Received: layout='words'"):
            layouts["words"].page("a", rows=3, columns=3)

    def test_a_picture_is_the_whole_page(self, latin):
        picture = latin.page("a", rows=3, columns=5).to_image(scale=2)
        assert picture.size == (160, 96)

    @pytest.mark.parametrize("piece", ["lorem ", "l", "\n", " ", "\0", "سلام"])
    def test_a_megabyte(self, renderer, piece):
        text = piece * (1_000_000 // len(piece))
        start = time.process_time()
        batch = renderer.page(text, rows=23, columns=23)
        assert time.process_time() - start < 5
        ((cut,),) = batch.truncated
        assert cut.text == text[cut.start :]


texts = st.one_of(
    st.text(max_size=60),
    st.text("abc אב سلا क्ष中한。, \t\n\r\u200d\u0301()1\u202e\0", max_size=90),
)


@settings(max_examples=120)
@given(
    st.sampled_from(LAYOUTS),
    texts,
    texts,
    st.integers(6, 23),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(1, 7)),
)
def test_windows_lose_nothing(
    layouts, name, question, context, width, stride, most
):
    try:
        batch = layouts[name].windows(
            (question, context),
            num_patches=width,
            stride=stride,
            question_patches=most,
        )
    except ValueError as error:
        assert "expected num_patches to leave more" in str(error)
        return
    rows = range(len(batch))
    assert drawn(batch, rows, 1) == set(range(len(context)))
    cut = batch.truncated[0][0].start if batch.truncated[0] else len(question)
    assert drawn(batch, [0], 0) == set(range(cut))
    clean = "".join(" " if c in "\r\n" else c for c in context)
    places = boundaries(context) | boundaries(clean)
    for row in rows:
        assert batch.truncated[row] == batch.truncated[0]
        assert batch.sep_patches[row][0] <= (most or width)
        found = sorted(drawn(batch, [row], 1))
        if found:
            assert found == list(range(found[0], found[-1] + 1))
            assert {found[0], found[-1] + 1} <= places
        if row:
            before = drawn(batch, [row - 1], 1)
            assert found[0] <= max(before) + 1
            assert found[-1] > max(before)


@settings(max_examples=120)
@given(
    st.sampled_from(LAYOUTS),
    st.lists(texts, max_size=5),
    st.integers(2, 23),
    st.sampled_from(["continue", "cut"]),
)
def test_packs_lose_nothing(layouts, name, pack, width, overlong):
    batch = layouts[name].pack(pack, width, overlong=overlong)
    cuts = [cut for row in batch.truncated for cut in row or ()]
    assert not (cuts and overlong == "continue")
    lengths = {cut.part: cut.start for cut in cuts}
    rows = range(len(batch))
    for index, text in enumerate(pack):
        expected = set(range(lengths.get(index, len(text))))
        assert drawn(batch, rows, index) == expected
    order = []
    for row in rows:
        place = 0
        for number, (index, first, last) in enumerate(batch.segments[row]):
            order.append(index)
            assert first == place < last
            assert batch.sep_patches[row][number] == last
            place = last + 1
            for span in batch.locate(row, first, last - 1):
                assert span.part == index
        assert batch.num_patches[row] == place - 1 < width
    assert sorted(set(order)) == list(range(len(pack)))
    assert order == sorted(order)


@settings(max_examples=120)
@given(
    texts, st.integers(1, 5), st.integers(2, 11), st.sampled_from(DIRECTIONS)
)
def test_pages_lose_nothing(renderer, text, rows, columns, direction):
    setting = CairoRenderer(renderer.font_stack, direction=direction)
    batch = setting.page(text, rows=rows, columns=columns)
    cut = batch.truncated[0][0].start if batch.truncated[0] else len(text)
    assert drawn(batch, [0], 0) == set(range(cut))
    end = int(batch.num_patches[0])
    assert 0 < end < rows * columns
    assert np.all(batch.offsets[0][end:] == -1)
    patches = batch.pixels.reshape(rows, 16, columns, 16).swapaxes(1, 2)
    patches = patches.reshape(-1, 256)
    assert not patches[end].any()
    assert np.all(patches[end + 1 :] == 255)
    # Lines go on where the one before ended.
    starts = batch.offsets[0].reshape(rows, columns, 3)
    firsts = [
        row[row[:, 0] == 0, 1].min() for row in starts if (row[:, 0] == 0).any()
    ]
    assert firsts == sorted(set(firsts))
