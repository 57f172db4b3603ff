import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixmodels import masking


def _runs(mask):
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(int), 0]))
    return edges[1::2] - edges[::2]


@given(
    st.integers(1, 97),
    st.integers(0, 97),
    st.sampled_from([0.1, 0.25, 0.5, 0.75]),
    st.sampled_from(["span", 0, 1]),
    st.integers(0, 2**32 - 1),
)
def test_counts_are_exact(patches, text, ratio, spacing, seed):
    rng = masking.example_rng(seed, 1, 2)
    text = min(text, patches)
    mask = masking.span_mask(
        patches, text, ratio=ratio, spacing=spacing, rng=rng
    )
    assert mask.dtype == bool
    assert mask.sum() == patches - int(patches * (1 - ratio))
    mask = masking.random_mask(patches, text, ratio=ratio, rng=rng)
    assert mask.sum() == patches - int(patches * (1 - ratio))
    if mask.any():
        assert mask[: max(1, text)].any()


def test_span_statistics_equal_the_original(fixtures):
    about = json.loads((fixtures / "span_masking.json").read_text())
    reference = np.array(
        about["stats_1000_seeds"]["run_length_counts_1_to_7plus"]
    )
    counts = np.zeros(7, int)
    for seed in range(1000):
        rng = masking.example_rng(seed, 0, 0)
        mask = masking.span_mask(529, 529, rng=rng)
        assert mask.sum() == 133
        lengths = np.minimum(_runs(mask), 7)
        counts += np.bincount(lengths, minlength=8)[1:]
    assert counts[6] == 0
    # Two samples of one distribution: chi squared with five degrees of
    # freedom exceeds 25.7 once in ten thousand.
    a, b = counts[:6], reference[:6]
    chi2 = (
        (np.sqrt(b.sum() / a.sum()) * a - np.sqrt(a.sum() / b.sum()) * b) ** 2
        / (a + b)
    ).sum()
    assert chi2 < 25.7


def test_share_hidden_by_place_equals_the_original(fixtures):
    # 10 seeds a case are few, so only the share inside the text is compared.
    about = json.loads((fixtures / "span_masking.json").read_text())
    arrays = np.load(fixtures / "span_masking.npz")
    for case in about["cases"]:
        patches, text = case["num_patches"], case["num_text_patches"]
        reference = arrays[case["key"]][:, :text].mean()
        ours = np.mean(
            [
                masking.span_mask(
                    patches,
                    text,
                    spacing=case["spacing"],
                    rng=masking.example_rng(seed, 0, 0),
                )[:text].mean()
                for seed in range(101)
            ]
        )
        # 10 x text cells in spans of about 3, at a share of a quarter.
        sigma = np.sqrt(0.25 * 0.75 * 3 / (10 * text))
        assert abs(ours - reference) < 4 * sigma, case["key"]


def test_the_first_span_is_in_the_text():
    for seed in range(211):
        rng = masking.example_rng(seed, 0, 0)
        assert masking.span_mask(101, 13, rng=rng)[:13].any()


def test_spans_keep_their_distance():
    for seed in range(101):
        rng = masking.example_rng(seed, 0, 0)
        mask = masking.span_mask(529, 529, rng=rng)
        edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(int), 0]))
        starts, stops = edges[::2], edges[1::2]
        lengths = stops - starts
        gaps = starts[1:] - stops[:-1]
        # The later of two neighbours kept at least its own length away.
        assert (gaps >= np.minimum(lengths[1:], lengths[:-1])).all()


def test_pure_in_seed_epoch_example():
    def draw(*key):
        return masking.span_mask(97, 89, rng=masking.example_rng(*key))

    np.testing.assert_array_equal(draw(3, 5, 7), draw(3, 5, 7))
    others = [(4, 5, 7), (3, 6, 7), (3, 5, 8), (3, 5, 7, 1)]
    assert all((draw(3, 5, 7) != draw(*key)).any() for key in others)


@pytest.mark.parametrize("options", [{"ratio": 1.0}, {"spacing": "wide"}])
def test_refuses(options):
    with pytest.raises(ValueError, match="Received"):
        masking.span_mask(7, 5, rng=np.random.default_rng(0), **options)
