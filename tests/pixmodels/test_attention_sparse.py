import harness
import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "sparse_fixed")
    layer = mixer_numbers.load(
        "sparse", arrays, 4, block=16, summary=4, causal=True
    )
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def test_patterns_by_hand():
    cls = attention.get("sparse")
    fixed = cls(2, block=3, summary=1).dense_mask(7, prefix=1)
    np.testing.assert_array_equal(fixed[0], [1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(fixed[1], [1, 1, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(fixed[5], [1, 0, 0, 1, 1, 1, 1])
    strided = cls(2, pattern="strided", block=2, causal=True).dense_mask(8)
    np.testing.assert_array_equal(strided[7], [0, 1, 0, 1, 0, 1, 1, 1])
    both = cls(2, pattern="strided", block=2).dense_mask(8)
    np.testing.assert_array_equal(both[2], [1, 1, 1, 1, 1, 0, 1, 0])
    places = cls(2, block=3, summary=1).dense_mask(3, positions=[0, 4, 5])
    np.testing.assert_array_equal(places, [[1, 0, 1], [0, 1, 1], [0, 1, 1]])


@settings(max_examples=24)
@given(
    st.sampled_from([1, 2, 13, 37]),
    st.sampled_from([0, 2]),
    st.sampled_from([(1, 1), (5, 2), (7, 7), (41, 3)]),
    st.sampled_from(["fixed", "strided"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_dense_mask(
    length, prefix, sizes, pattern, causal, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    block, summary = sizes
    layer = mixer_numbers.made(
        "sparse", pattern=pattern, block=block, summary=summary, causal=causal
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8 if masked else None
    places, options = [None, None], {}
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(43)[:length]) for _ in range(2)]
        )
        options = {"positions": places.astype("int32"), "grid": (1, 43)}
    allowed = np.stack([layer.dense_mask(total, prefix, p) for p in places])
    if masked:
        allowed &= mask[:, None, :]
    y = layer(x, mask=mask, prefix=prefix, **options)
    expected = mixer_numbers.dense_attention(layer, x, allowed)
    mixer_numbers.close(y, expected, allowed.any(-1))
    maps = layer.attention_map(x, mask, prefix=prefix, **options)
    maps = ops.convert_to_numpy(maps)
    pairs = np.broadcast_to(allowed[:, None], maps.shape)
    rows = np.broadcast_to(allowed.any(-1)[:, None], maps.shape[:3])
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
    assert not maps[rows][~pairs[rows]].any()


@pytest.mark.parametrize("pattern", ["fixed", "strided"])
def test_gradients(pattern):
    """Those of softmax over all pairs and the dense mask."""
    options = {"causal": True, "pattern": pattern}
    layer = mixer_numbers.made("sparse", block=5, summary=2, **options)
    softmax = mixer_numbers.made("softmax")
    softmax.set_weights(layer.get_weights())
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    allowed = ops.convert_to_tensor(layer.dense_mask(13, 1))
    x = ops.convert_to_tensor(x)

    def dense():
        query, key = softmax.queries_and_keys(x, None, 1, None)
        value = softmax.split_heads(softmax.value(x))
        mixed = softmax.attend(query, key, value, allowed[None, None])
        y = softmax.output_dense(softmax.merge_heads(mixed))
        return ops.mean(ops.square(y))

    def sparse():
        return ops.mean(ops.square(layer(x, prefix=1)))

    a, ours = harness.loss_and_gradients(sparse, layer.trainable_weights)
    b, theirs = harness.loss_and_gradients(dense, softmax.trainable_weights)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for gradient, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pattern", ["fixed", "strided"])
def test_no_table_of_all_pairs(pattern):
    """Four times the length, eight times the pairs: N sqrt(N)."""
    counts = []
    for length in (1024, 4096):
        block = int(length**0.5)
        layer = attention.get("sparse")(
            1, block=block, summary=1, pattern=pattern
        )
        counts.append(_largest(layer, length))
    assert counts[0] < 5 * 1024**1.5
    assert counts[1] <= 8 * counts[0]


def _largest(layer, length):
    """Numbers in the largest table of weights of a call."""
    layer.build((None, length, 2))
    found = []
    real = layer.dropout.call

    def call(x, training=None):
        found.append(int(np.prod(x.shape)))
        return real(x, training=training)

    layer.dropout.call = call
    layer(np.ones((1, length, 2), "float32"))
    return max(found)


def test_weights_of_softmax_load():
    softmax = mixer_numbers.made("softmax")
    sparse = mixer_numbers.made("sparse", block=13)
    sparse.set_weights(softmax.get_weights())
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mixer_numbers.close(sparse(x), ops.convert_to_numpy(softmax(x)))


def test_what_cannot_be_is_refused():
    cls = attention.get("sparse")
    with pytest.raises(ValueError, match="pattern='stride'"):
        cls(3, pattern="stride")
    with pytest.raises(ValueError, match="block=0"):
        cls(3, block=0)
    for summary in (0, 6):
        with pytest.raises(ValueError, match=f"summary={summary}"):
            cls(3, block=5, summary=summary)
    with pytest.raises(ValueError, match="Expected grid with positions"):
        cls(3)(np.ones((1, 4, 15)), positions=np.array([[0, 3, 5, 9]], "int32"))
