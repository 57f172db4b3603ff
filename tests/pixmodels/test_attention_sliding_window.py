import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention


@pytest.mark.parametrize(
    ("fixture", "options"),
    [
        ("window_block3", {"window": 8, "exact": False}),
        ("window_exact", {"window": 8}),
        ("window_exact_causal", {"window": 16, "causal": True}),
    ],
)
def test_golden_numbers(shared, fixture, options):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load("sliding_window", arrays, 2, **options)
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def test_pattern_by_hand():
    cls = attention.get("sliding_window")
    band = cls(2, window=1).dense_mask(4, prefix=1)
    np.testing.assert_array_equal(
        band, [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1]]
    )
    blocks = cls(2, window=2, exact=False, causal=True).dense_mask(6)
    np.testing.assert_array_equal(blocks[5], [0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(blocks[2], [1, 1, 1, 0, 0, 0])
    places = cls(2, window=3).dense_mask(3, positions=[0, 3, 7])
    np.testing.assert_array_equal(places, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 13, 37, 83]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 2, 11, 37]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_dense_mask(
    length, prefix, window, exact, causal, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "sliding_window", window=window, exact=exact, causal=causal
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8 if masked else None
    positions, places = None, [None, None]
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(131)[:length]) for _ in range(2)]
        )
        positions = places.astype("int32")
    allowed = np.stack([layer.dense_mask(total, prefix, p) for p in places])
    if masked:
        allowed &= mask[:, None, :]
    y = layer(x, mask=mask, positions=positions, prefix=prefix)
    expected = mixer_numbers.dense_attention(layer, x, allowed)
    mixer_numbers.close(y, expected, allowed.any(-1))
    maps = layer.attention_map(x, mask, positions, prefix)
    maps = ops.convert_to_numpy(maps)
    pairs = np.broadcast_to(allowed[:, None], maps.shape)
    rows = np.broadcast_to(allowed.any(-1)[:, None], maps.shape[:3])
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
    assert not maps[rows][~pairs[rows]].any()


def test_weights_of_softmax_load():
    softmax = mixer_numbers.made("softmax")
    band = mixer_numbers.made("sliding_window", window=13)
    band.set_weights(softmax.get_weights())
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mixer_numbers.close(band(x), ops.convert_to_numpy(softmax(x)))


def test_what_cannot_be_is_refused():
    cls = attention.get("sliding_window")
    with pytest.raises(ValueError, match="window=0"):
        cls(3, window=0)
    with pytest.raises(ValueError, match=r"mask of shape \(B, 7\)"):
        cls(3)(np.ones((2, 7, 15)), mask=np.ones((2, 5), bool))
