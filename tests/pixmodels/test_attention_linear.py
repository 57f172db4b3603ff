import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention
from pixmodels.attention import _kernels


@pytest.mark.parametrize(
    ("fixture", "heads", "options"),
    [
        ("linear_elu", 4, {}),
        ("linear_elu_causal", 2, {"causal": True}),
        ("linear_elu_causal", 2, {"causal": True, "block": 7}),
    ],
)
def test_golden_numbers(shared, fixture, heads, options):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load("linear", arrays, heads, **options)
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def _plain(layer, x, mask):
    """Every pair of a query and a key, in float64."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    query, key = (np.where(t > 0, t + 1, np.exp(t)) for t in (query, key))
    pairs = query @ key.transpose(0, 1, 3, 2) * mask[:, None, None, :]
    if layer.causal:
        pairs = np.tril(pairs)
    total = query.sum(-1, keepdims=True) * layer.epsilon
    pairs = pairs / (pairs.sum(-1, keepdims=True) + total)
    return pairs, mixer_numbers.output(layer, pairs @ value)


@settings(max_examples=20)
@given(
    st.sampled_from([1, 2, 13, 47]),
    st.sampled_from([1, 5, 64]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(length, block, causal, masked, seed):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made("linear", block=block, causal=causal)
    x = rng.normal(size=(2, length, 15)).astype("float32")
    mask = rng.random((2, length)) < (0.7 if masked else 2)
    pairs, expected = _plain(layer, x, mask)
    mixer_numbers.close(layer(x, mask=mask if masked else None), expected)
    maps = layer.attention_map(x, mask if masked else None)
    mixer_numbers.close(maps, pairs)


def test_more_blocks_than_one_product_adds():
    # 67 blocks: two full groups of 32 and a part of a third.
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made("linear", block=3, causal=True)
    x = rng.normal(size=(1, 199, 15)).astype("float32")
    assert 199 > 2 * 3 * _kernels._FAN
    _, expected = _plain(layer, x, np.ones((1, 199)))
    mixer_numbers.close(layer(x), expected)


def test_order_of_keys_does_not_matter():
    layer = mixer_numbers.made("linear")
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    order = np.random.default_rng(5).permutation(13)
    a, b = (ops.convert_to_numpy(layer(t)) for t in (x, x[:, order]))
    np.testing.assert_allclose(a[:, order], b, rtol=0, atol=1e-5)


def test_sums_of_a_mixed_policy_are_float32():
    # In bfloat16 a sum stands still at 256: 257 is not one of its numbers.
    layer = attention.get("linear")(1, dtype="mixed_bfloat16")
    layer.build((None, None, 2))
    query, key = layer._features(ops.zeros((1, 1031, 2), "bfloat16"))
    value = np.ones((1, 1, 1031, 2), "float32")
    value[:, :, -1] = 0
    value = ops.convert_to_tensor(value, "bfloat16")
    all_keys = layer._all_keys(query, key, value, None)
    past = _kernels.attend_past(query, key, value, size=7)[:, :, -1:]
    for y in (all_keys, past):
        y = ops.convert_to_numpy(y)
        np.testing.assert_allclose(y, 1030 / 1031, rtol=1e-6)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="block=0"):
        attention.get("linear")(3, block=0)
    with pytest.raises(ValueError, match="has no rotary"):
        attention.get("linear")(3, rotary=100.0)
