import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import RenderedQuestionSource
from pixmodels.tasks import RenderedTextSource
from pixmodels.tasks import RenderedWordSource

SENTENCES = [["She", "saw", "a", "cat"], ["Go"], []]
HEADS = [[2, 0, 4, 2], [0], []]
RELATIONS = [[1, 0, 2, 3], [0], []]


@pytest.fixture(scope="module")
def renderer():
    return CairoRenderer(max_patches=53)


def test_tags(renderer):
    tags = [[1, 2, -1, 3], [4], []]
    source = RenderedWordSource(SENTENCES, renderer, tags=tags)
    starts = renderer(SENTENCES).word_starts
    batch = source.get_batch([1, 0, -1, 2], length=13)
    assert batch["label"].shape == (4, 13)
    assert batch["label"].dtype == np.int32
    expected = np.full((4, 13), -100)
    expected[0, 0] = 4
    expected[1, list(starts[0][:-1])] = tags[0]
    np.testing.assert_array_equal(batch["label"], expected)
    assert batch["weight"].tolist() == [1, 1, 0, 1]
    assert sorted(batch) == [
        *("example_id", "label", "num_patches", "pixels", "weight"),
    ]


def test_heads(renderer):
    source = RenderedWordSource(
        SENTENCES, renderer, heads=HEADS, relations=RELATIONS
    )
    batch = source.get_batch([0, 1, -1, 2], length=13)
    starts = renderer(SENTENCES).word_starts
    assert batch["word_starts"].tolist() == [
        list(starts[0]),
        [*starts[1], -1, -1, -1],
        [0, -1, -1, -1, -1],
        [1, -1, -1, -1, -1],
    ]
    none = [-100] * 4
    assert batch["head"].tolist() == [HEADS[0], [0, *none[1:]], none, none]
    assert batch["relation"].tolist() == [
        RELATIONS[0],
        [0, *none[1:]],
        none,
        none,
    ]
    assert "label" not in batch


def test_words_that_a_bucket_cuts(renderer):
    source = RenderedWordSource(
        SENTENCES, renderer, heads=HEADS, relations=RELATIONS
    )
    starts = renderer(SENTENCES).word_starts[0]
    batch = source.get_batch([0], length=starts[2] + 1)
    # The end patch stands where the third word began.
    assert batch["num_patches"].tolist() == [starts[2]]
    assert batch["word_starts"][0, :3].tolist() == list(starts[:3])
    assert (batch["word_starts"][0, 3:] < 0).all()
    assert batch["head"][0, :2].tolist() == HEADS[0][:2]
    assert (batch["head"][0, 2:] < 0).all()
    tags = RenderedWordSource(SENTENCES, renderer, tags=HEADS)
    label = tags.get_batch([0], length=starts[2] + 1)["label"][0]
    assert label[label >= 0].tolist() == HEADS[0][:2]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({}, ValueError, "tags=None, heads=None"),
        ({"heads": HEADS}, ValueError, "relations=None"),
        ({"tags": HEADS, "heads": HEADS}, ValueError, "tags=given"),
        ({"tags": HEADS[:2]}, ValueError, r"2 lists for 3 .* at tags\[2\]"),
        ({"tags": [[1], [1], []]}, ValueError, r"at tags\[0\]"),
        (
            {"heads": [[5, 0, 1, 1], [0], []], "relations": RELATIONS},
            ValueError,
            r"heads in \[0, 4\]",
        ),
    ],
)
def test_bad_labels(options, error, match, renderer):
    with pytest.raises(error, match=match):
        RenderedWordSource(SENTENCES, renderer, **options)


def test_bad_sentences(renderer):
    with pytest.raises(TypeError, match="one sentence"):
        RenderedWordSource(["a", "b"], renderer, tags=[[0, 1]])
    with pytest.raises(TypeError, match="lists of words"):
        RenderedWordSource("a", renderer, tags=[[0, 1]])


def test_questions(renderer):
    context = "It was the owl that spoke, and not the cat or the dog. " * 3
    spans = [(7, 14), (context.rfind("the dog"),) * 2, None]
    spans[1] = (spans[1][0], spans[1][0] + 7)
    source = RenderedQuestionSource(
        [("Who?", context)] * 3,
        renderer,
        answers=spans,
        num_patches=31,
        stride=7,
    )
    drawn = renderer.windows([("Who?", context)] * 3, num_patches=31, stride=7)
    assert len(source) == len(drawn) > 6
    np.testing.assert_array_equal(source.window_of, drawn.window_of)
    batch = source.get_batch([*range(len(source)), -1], length=31)
    assert sorted(batch) == [
        *("end", "example_id", "num_patches", "pixels", "start", "weight"),
    ]
    held = {0: 0, 1: 0}
    for window in range(len(source)):
        pair = source.window_of[window]
        first, last = batch["start"][window], batch["end"][window]
        if first < 0:
            assert last == -1
            continue
        held[pair] += 1
        found = [x for x in drawn.locate(window, first, last) if x.part == 1]
        assert found[0].start <= spans[pair][0]
        assert found[-1].end >= spans[pair][1]
        # No smaller range of patches holds the answer.
        for a, b in ((first + 1, last), (first, last - 1)):
            if a <= b:
                less = [x for x in drawn.locate(window, a, b) if x.part == 1]
                assert (
                    less[0].start > spans[pair][0]
                    or less[-1].end < spans[pair][1]
                )
    assert held[0]
    assert held[1]
    assert batch["start"][-1] == batch["end"][-1] == -1
    # A window that is cut before the answer does not hold it.
    short = source.get_batch([0], length=int(batch["end"][0]))
    assert short["start"].tolist() == short["end"].tolist() == [-1]


def test_bad_answers(renderer):
    pairs = [("Who?", "It was the owl.")]
    for answers, match in (
        ([], "1 pairs, 0 answers"),
        ([(3, 3)], r"answers\[0\]=\(3, 3\)"),
        ([(3, 16)], "<= 15"),
    ):
        with pytest.raises(ValueError, match=match):
            RenderedQuestionSource(pairs, renderer, answers=answers)


def test_labels_of_regression(renderer):
    source = RenderedTextSource(["a", "b"], renderer, labels=[0.5, 2.25])
    batch = source.get_batch([1, -1, 0])
    assert batch["label"].dtype == np.float32
    assert batch["label"].tolist() == [2.25, 0, 0.5]
    source = RenderedTextSource(["a", "b"], renderer, labels=[3, 2])
    assert source.get_batch([1])["label"].dtype == np.int32
