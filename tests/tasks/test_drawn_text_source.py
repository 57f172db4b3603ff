import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels import masking
from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import DrawnTextSource
from pixmodels.tasks import RenderedTextSource
from pixmodels.tasks import TextLengths

TEXTS = [
    *["one", "a longer text of some words", "", "读即是看", "Reading is"],
    *["x" * 97, "ώρα", "ab", "שלום עולם", "the last of them"],
]
LABELS = [5, 3, 7, 2, 11, 1, 0, 4, 6, 9]


@pytest.fixture(scope="module")
def renderer():
    try:
        return CairoRenderer(max_patches=31)
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


def equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_it_draws_what_is_drawn_beforehand(renderer):
    options = {"labels": LABELS, "masking": "span"}
    drawn = DrawnTextSource(TEXTS, renderer, **options)
    kept = RenderedTextSource(TEXTS, renderer, **options)
    np.testing.assert_array_equal(drawn.lengths, kept.lengths)
    for indices in ([0, 3, -1, 8], [5], [-1, -1], [9, 1, 2, 2]):
        for length in (None, 31, 29):
            equal(
                drawn.get_batch(indices, length, 3, 1),
                kept.get_batch(indices, length, 3, 1),
            )
    same = drawn.report(7), kept.report(7)
    for key in ("texts", "patches", "longest", "longer_than_max_length"):
        assert same[0][key] == same[1][key]
    assert drawn.report()["cut_by_renderer"] == 1
    assert drawn.report()["blank_texts"] == 1
    # A text that is cut ends in its end patch.
    row = drawn.get_batch([5], 7)
    assert row["num_patches"].tolist() == [6]
    assert (row["pixels"][0, :, 96:] == 0).all()
    again = pickle.loads(pickle.dumps(drawn))
    equal(again.get_batch([4, 1], 13), drawn.get_batch([4, 1], 13))


@settings(max_examples=30)
@given(
    texts=st.lists(
        st.text("abc é读ש", min_size=1, max_size=13).filter(str.strip),
        min_size=1,
        max_size=7,
    ),
    kind=st.sampled_from([DrawnTextSource, RenderedTextSource]),
)
def test_packs_are_those_of_the_renderer(renderer, texts, kind):
    source = kind(texts, renderer)
    # The first row that the renderer's own, greedy, packing fills.
    wanted = renderer.pack(texts, 29)
    group = [segment[0] for segment in wanted.segments[0]]
    batch = source.get_packs([group, []], 29)
    np.testing.assert_array_equal(batch["pixels"][0], wanted.pixels[0])
    assert batch["num_patches"].tolist() == [wanted.num_patches[0], 0]
    segments = np.zeros(29, np.int32)
    for k, (_, first, after) in enumerate(wanted.segments[0], 1):
        segments[first : after + 1] = k
    np.testing.assert_array_equal(batch["segment_ids"][0], segments)
    assert (batch["pixels"][1] == 255).all()
    assert not batch["segment_ids"][1].any()
    assert batch["weight"].tolist() == [1, 0]
    assert batch["example_id"].tolist() == [0, -1]


def test_masks_of_packs(renderer):
    options = {"ratio": 0.4}
    source = DrawnTextSource(
        TEXTS, renderer, masking="span", mask_options=options
    )
    batch = source.get_packs([[4, 0], [9]], 23, seed=5, epoch=2)
    assert batch["num_patches"].tolist() == [
        source.lengths[4] + source.lengths[0] - 1,
        source.lengths[9] - 1,
    ]
    for row, first in enumerate((4, 9)):
        wanted = masking.span_mask(
            23,
            int(batch["num_patches"][row]) + 1,
            rng=masking.example_rng(5, 2, first),
            **options,
        )
        np.testing.assert_array_equal(batch["patch_mask"][row], wanted)
    alone = source.get_packs([[9]], 23, seed=5, epoch=2)
    np.testing.assert_array_equal(
        alone["patch_mask"][0], batch["patch_mask"][1]
    )


def test_a_long_text_has_a_window_of_its_own(renderer):
    source = DrawnTextSource(TEXTS, renderer)
    batch = source.get_packs([[5]], 7)
    equal(
        {k: batch[k] for k in ("pixels", "num_patches")},
        {k: source.get_batch([5], 7)[k] for k in ("pixels", "num_patches")},
    )
    assert batch["segment_ids"].tolist() == [[1] * 7]
    with pytest.raises(ValueError, match=r"example 1 of 12.*with 9 left"):
        source.get_packs([[0, 1]], 12)


def test_examples_that_are_dicts(renderer):
    examples = [
        {"sentence": text.encode(), "label": np.int64(label)}
        for text, label in zip(TEXTS, LABELS)
    ]
    source = DrawnTextSource(
        examples, renderer, field="sentence", label_field="label"
    )
    wanted = DrawnTextSource(TEXTS, renderer, labels=LABELS)
    equal(source.get_batch([3, -1, 1]), wanted.get_batch([3, -1, 1]))


def test_a_source_of_grain(renderer, tmp_path):
    import grain
    from array_record.python import array_record_module

    path = str(tmp_path / "texts.array_record")
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for text in TEXTS:
        writer.write(text.encode())
    writer.close()
    examples = grain.sources.ArrayRecordDataSource(path)
    source = pickle.loads(pickle.dumps(DrawnTextSource(examples, renderer)))
    wanted = DrawnTextSource(TEXTS, renderer)
    equal(source.get_batch([3, -1, 1]), wanted.get_batch([3, -1, 1]))
    assert source.texts.fingerprint() == wanted.texts.fingerprint()


def test_colour(renderer):
    colour = CairoRenderer(max_patches=31, color_mode="rgb", ink="navy")
    source = DrawnTextSource(TEXTS, colour)
    drawn = colour([TEXTS[1], TEXTS[0]])
    batch = source.get_batch([1, 0])
    np.testing.assert_array_equal(batch["pixels"], drawn.pixels)
    cut = source.get_packs([[1]], 5)["pixels"]
    # The end patch has the ink's colour.
    assert (cut[0, :, 64:] == (0, 0, 128)).all()


def test_lengths(renderer):
    found = TextLengths.measure([*TEXTS, "\U000f0000?"], renderer)
    drawn = renderer([*TEXTS, "\U000f0000?"])
    np.testing.assert_array_equal(found.lengths, drawn.num_patches + 1)
    assert (found.num_cut, found.num_blank, found.num_with_missing) == (1, 1, 1)
    assert found.missing == {"\U000f0000": 1}
    parts = [
        TextLengths.measure(TEXTS, renderer, start, start + 5)
        for start in (0, 5)
    ]
    joined = TextLengths.join(parts)
    np.testing.assert_array_equal(joined.lengths, found.lengths[:10])
    assert joined.num_blank == 1


def test_mistakes(renderer):
    with pytest.raises(ValueError, match=r"at least one text.*\[\]"):
        DrawnTextSource([], renderer)
    with pytest.raises(ValueError, match=r"both, label_field='label'"):
        DrawnTextSource(TEXTS, renderer, labels=LABELS, label_field="label")
    with pytest.raises(ValueError, match="Expected 10 lengths"):
        DrawnTextSource(
            TEXTS, renderer, lengths=TextLengths(np.ones(3, np.int32))
        )
    with pytest.raises(IndexError, match=r"\[0, 10\)"):
        DrawnTextSource(TEXTS, renderer).get_packs([[-1]], 7)
