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


def _beit(rows, columns, count, rng):
    """BEiT's own rules, block by block; may stop below `count`."""
    mask, bound = np.zeros((rows, columns), bool), np.log(0.3)
    while (left := count - mask.sum()) > 0:
        for _ in range(10):
            area, aspect = (
                rng.uniform(*sorted((16, left))),
                np.exp(rng.uniform(bound, -bound)),
            )
            height = int(round(np.sqrt(area * aspect)))
            width = int(round(np.sqrt(area / aspect)))
            if height >= rows or width >= columns:
                continue
            top = rng.integers(0, rows - height + 1)
            start = rng.integers(0, columns - width + 1)
            block = mask[top : top + height, start : start + width]
            if 0 < height * width - block.sum() <= left:
                block[:] = True
                break
        else:
            break
    return mask


def _edges(mask):
    """Neighbours of which one is hidden."""
    return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()


def test_blocks_are_as_ragged_as_those_of_beit():
    ours, theirs = [], []
    for seed in range(307):
        rng = masking.example_rng(seed, 0, 0)
        mask = masking.block_mask((14, 14), ratio=0.38, rng=rng)
        assert mask.sum() == 75
        ours.append(_edges(mask.reshape(14, 14)))
        rng = np.random.default_rng(seed)
        theirs.append(_edges(_beit(14, 14, 75, rng)))
    spread = np.sqrt((np.var(ours) + np.var(theirs)) / 307)
    assert abs(np.mean(ours) - np.mean(theirs)) < 5 * spread
    # 75 single cells drawn uniformly have 2 * 14 * 13 * 2 * .38 * .62 = 172.
    assert np.mean(ours) < 80


def test_blocks_lie_everywhere_alike():
    total = np.zeros((6, 11))
    for seed in range(1009):
        rng = masking.example_rng(seed, 1, 0)
        total += masking.block_mask((6, 11), min_patches=4, rng=rng).reshape(
            6, 11
        )
    share = total / 1009
    # No side is preferred: the picture equals its mirror images.
    for other in (share[::-1], share[:, ::-1]):
        assert abs(share - other).max() < 5 * np.sqrt(2 * 0.25 / 1009)


@given(
    st.integers(2, 13),
    st.integers(2, 13),
    st.integers(1, 169),
    st.sampled_from([0.25, 0.4, 0.75]),
    st.integers(0, 2**32 - 1),
)
def test_blocks_hide_an_exact_count_and_some_text(
    rows, columns, text, ratio, seed
):
    rng = masking.example_rng(seed, 1, 2)
    try:
        mask = masking.block_mask((rows, columns), text, ratio=ratio, rng=rng)
    except ValueError as error:
        assert min(rows, columns) < 3, error
        return
    assert mask.sum() == masking.num_masked(rows * columns, ratio)
    assert mask[:text].any()


@pytest.mark.parametrize("strategy", masking.STRATEGIES)
def test_masks_of_a_batch(strategy):
    def draw(ids, **options):
        return masking.draw_masks(strategy, (7, 11), ids, seed=3, **options)

    masks = draw([2, 3, 5])
    assert masks.shape == (3, 77)
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks.sum(1), [20, 20, 20])
    np.testing.assert_array_equal(draw([5, 2]), masks[[2, 0]])
    assert (draw([2, 3, 5], epoch=1) != masks).any()
    short = draw([2, 3, 5], num_text_patches=[1, 2, 80])
    assert short[0, 0] == 1
    assert short[1, :2].any()


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'block'"):
        masking.draw_masks("blocks", (7, 11), [2])
    with pytest.raises(ValueError, match="one for each example"):
        masking.draw_masks("span", (7, 11), [2], num_text_patches=[3, 5])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"grid=\(1, 529\)"):
        masking.block_mask((1, 529), rng=rng)
    with pytest.raises(ValueError, match="min_aspect=2"):
        masking.block_mask((7, 7), min_aspect=2, rng=rng)
    with pytest.raises(ValueError, match="ratio=1.0"):
        masking.block_mask((7, 7), ratio=1.0, rng=rng)
