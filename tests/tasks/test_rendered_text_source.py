import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pixmodels import masking
from pixmodels.tasks import RenderedTextSource

SIDE = 5


@dataclasses.dataclass
class _Drawn:
    pixels: np.ndarray
    num_patches: np.ndarray
    truncated: list
    missing: list


class _Renderer:
    """A patch per character, its code as grey, then a black end patch."""

    patch_size = SIDE

    def __init__(self, max_patches=23):
        self.max_patches = max_patches
        self.calls = []

    def __call__(self, texts, num_patches=None):
        self.calls.append(len(texts))
        kept = [text[: self.max_patches - 1] for text in texts]
        width = max(map(len, kept)) + 1
        pixels = np.full((len(texts), SIDE, SIDE * width), 255, np.uint8)
        for row, text in zip(pixels, kept, strict=True):
            for i, letter in enumerate(text):
                row[:, SIDE * i : SIDE * (i + 1)] = ord(letter)
            row[:, SIDE * len(text) : SIDE * (len(text) + 1)] = 0
        return _Drawn(
            pixels,
            np.array([len(text) for text in kept], np.int32),
            [
                None if k == t else (t,)
                for k, t in zip(kept, texts, strict=True)
            ],
            [tuple(x for x in text if x == "?") for text in texts],
        )


TEXTS = ["abc", "", "z", "hello world", "q?", "abcdefg"]


def _source(**options):
    labels = [7, 3, 5, 2, 0, 1]
    return RenderedTextSource(TEXTS, _Renderer(), labels=labels, **options)


def test_a_batch_by_hand():
    source = _source(chunk_size=4)
    assert source.lengths.tolist() == [4, 1, 2, 12, 3, 8]
    assert len(source) == 6
    batch = source.get_batch([2, -1, 0], length=5)
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
        "pixels": ((3, SIDE, SIDE * 5), "uint8"),
        "num_patches": ((3,), "int32"),
        "label": ((3,), "int32"),
        "weight": ((3,), "float32"),
        "example_id": ((3,), "int32"),
    }
    patches = batch["pixels"].reshape(3, SIDE, 5, SIDE)
    assert (patches == patches[:, :1, :, :1]).all()
    assert patches[:, 0, :, 0].tolist() == [
        [ord("z"), 0, 255, 255, 255],
        [255] * 5,
        [ord("a"), ord("b"), ord("c"), 0, 255],
    ]
    assert batch["num_patches"].tolist() == [1, 0, 3]
    assert batch["label"].tolist() == [5, 0, 7]
    assert batch["weight"].tolist() == [1, 0, 1]
    assert batch["example_id"].tolist() == [2, -1, 0]


def test_a_longer_text_is_cut_and_counted():
    source = _source()
    batch = source.get_batch([0, 3], length=4)
    assert batch["num_patches"].tolist() == [3, 3]
    row = batch["pixels"][1].reshape(SIDE, 4, SIDE)[0, :, 0]
    assert row.tolist() == [*map(ord, "hel"), 0]
    report = source.report(max_length=7)
    assert report["cut_to_bucket"] == 1
    assert report["longer_than_max_length"] == 2
    # The cut is of the batch, not of what is stored.
    assert source.get_batch([3])["pixels"].shape == (1, SIDE, SIDE * 12)


def test_losses_of_drawing_are_counted():
    renderer = _Renderer(max_patches=4)
    seen = []
    source = RenderedTextSource(
        [*TEXTS, "??", "abcd"],
        renderer,
        chunk_size=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert renderer.calls == [3, 3, 2]
    report = source.report()
    assert report["cut_by_renderer"] == 3
    assert report["texts_with_missing_glyphs"] == 2
    assert report["missing_glyphs"] == {"?": 3}
    assert report["longest"] == 4
    assert report["bytes"] == report["patches"] * SIDE * SIDE


@hypothesis.settings(max_examples=31)
@hypothesis.given(
    indices=st.lists(st.integers(-1, 5), min_size=1, max_size=7),
    length=st.sampled_from([None, 2, 7, 13]),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    kind=st.sampled_from([None, "span", "random"]),
)
def test_get_batch_is_pure(indices, length, seed, epoch, kind):
    one, two = _source(masking=kind), _source(masking=kind, chunk_size=1)
    # What was asked for before does not matter.
    two.get_batch([3, 0], length=3, seed=1, epoch=1)
    a = one.get_batch(indices, length, seed, epoch)
    b = two.get_batch(np.array(indices), length, seed, epoch)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])
    assert (a["weight"] == (np.array(indices) >= 0)).all()
    a["pixels"][:] = 9  # A batch is the caller's.
    c = one.get_batch(indices, length, seed, epoch)
    np.testing.assert_array_equal(b["pixels"], c["pixels"])


@pytest.mark.parametrize("kind", ["span", "random"])
def test_masks(kind):
    ratio, length = 0.4, 13
    source = _source(masking=kind, mask_options={"ratio": ratio})

    def mask(indices, seed=3, epoch=5):
        return source.get_batch(indices, length, seed, epoch)["patch_mask"]

    together = mask([3, 5, -1, 0])
    assert together.dtype == np.uint8
    hidden = masking.num_masked(length, ratio)
    assert (together.sum(axis=1) == hidden).all()
    # The mask belongs to the example, not to its place in a batch.
    np.testing.assert_array_equal(together[1], mask([5])[0])
    assert (mask([3], epoch=6) != together[0]).any()
    assert (mask([3], seed=4) != together[0]).any()
    assert (together[0] != together[1]).any()
    # As drawn by the masking functions, the end patch among the text.
    function = {"span": masking.span_mask, "random": masking.random_mask}[kind]
    rng = masking.example_rng(3, 5, 3)
    expected = function(length, len(TEXTS[3]) + 1, ratio=ratio, rng=rng)
    np.testing.assert_array_equal(together[0], expected)


def test_the_real_renderer():
    from pixmodels.renderers import CairoRenderer

    renderer = CairoRenderer()
    texts = ["Ärger", "ελληνικά και", ("a", "pair"), ["some", "words"]]
    drawn = renderer(texts)
    source = RenderedTextSource(texts, renderer, chunk_size=3)
    batch = source.get_batch(range(4))
    np.testing.assert_array_equal(batch["pixels"], drawn.pixels)
    np.testing.assert_array_equal(batch["num_patches"], drawn.num_patches)
    assert source.lengths.tolist() == renderer.widths(texts).tolist()
    assert source.report()["texts_with_missing_glyphs"] == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"texts": []}, "texts="),
        ({"labels": [1, 2]}, r"labels of shape \(2,\)"),
        ({"masking": "spam"}, "masking='spam'"),
        ({"mask_options": {"ratio": 0.5}}, "masking=None"),
    ],
)
def test_bad_arguments(arguments, match):
    arguments = {"texts": TEXTS, "renderer": _Renderer(), **arguments}
    with pytest.raises(ValueError, match=match):
        RenderedTextSource(**arguments)


@pytest.mark.parametrize("indices", [[6], [-2], [0, 17]])
def test_bad_indices(indices):
    with pytest.raises(IndexError, match="indices="):
        _source().get_batch(indices)


def test_bad_length():
    with pytest.raises(ValueError, match="length=0"):
        _source().get_batch([0], length=0)
