import harness
import keras
import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention
from pixmodels import random
from pixmodels.attention import _permutations


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "reformer_lsh")
    layer = attention.get("reformer")(
        2, chunk=8, num_hashes=2, num_buckets=8, qkv_bias=False
    )
    layer.build((None, None, 32))
    layer.query.kernel.assign(arrays["w/qk_kernel"])
    layer.value.kernel.assign(arrays["w/v_kernel"])
    layer.output_dense.kernel.assign(arrays["w/o_kernel"])
    layer.output_dense.bias.assign(arrays["w/o_bias"])
    # (1, E, R, half) -> (R, half, E)
    directions = arrays["in/rotations"][0].transpose(1, 2, 0)
    layer.directions.assign(directions.reshape(-1, 16))
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])
    heads = layer.split_heads(layer.query(arrays["in/x"]))
    found = layer._buckets(heads, np.ones((2, 64), bool), False)
    np.testing.assert_array_equal(found, arrays["out/buckets"])


def _heads(layer, x):
    """The shared heads and the values, (B, A, N, E) in float64."""
    found = []
    for part in (layer.query, layer.value):
        kernel, bias = (np.float64(w) for w in part.get_weights())
        y = np.float64(x) @ kernel + bias
        y = y.reshape(*x.shape[:2], layer.num_heads, -1)
        found.append(y.transpose(0, 2, 1, 3))
    return found


def _sorted_tokens(layer, shared, real):
    """The real tokens of one head of one example, sorted, round by round.

    Returns:
        For each round a list of (bucket, token).
    """
    directions = np.float64(ops.convert_to_numpy(layer.directions))
    directions = directions.reshape(layer.num_hashes, -1, shared.shape[-1])
    rounds = []
    for part in directions:
        products = shared @ part.T
        bucket = np.argmax(np.hstack([products, -products]), axis=-1)
        rounds.append(sorted((bucket[t], t) for t in np.flatnonzero(real)))
    return rounds


def _meetings(layer, rounds, length):
    """How often each pair of tokens meets in chunks, (N, N)."""
    met, size = np.zeros((length, length)), layer.chunk
    for r, pairs in enumerate(rounds):
        for s, (bucket, token) in enumerate(pairs):
            if layer.causal and layer.causal_window == "bucket":
                for b, other in pairs[max(0, s - size) : s + 1]:
                    met[token, other] += b == bucket
                continue
            start = s // size * size
            before = pairs[max(0, start - size) : start]
            if not start:  # the last chunk of the round before
                past = rounds[r - 1]
                before = past[(len(past) - 1) // size * size :]
            for _, other in before + pairs[start : start + size]:
                met[token, other] += 1
    return np.tril(met) if layer.causal else met


def _plain(layer, x, mask, prefix):
    """Every pair as often as it meets, in float64."""
    shared, value = _heads(layer, x)
    total, rounds = x.shape[1], layer.num_hashes
    maps = np.zeros((*shared.shape[:3], total))
    for b, a in np.ndindex(shared.shape[:2]):
        heads = shared[b, a]
        met = np.full((total, total), float(rounds))
        met[prefix:, prefix:] = _meetings(
            layer,
            _sorted_tokens(layer, heads[prefix:], mask[b, prefix:]),
            total - prefix,
        )
        met *= mask[b]
        met = np.tril(met) if layer.causal else met
        key = heads / np.linalg.norm(heads, axis=-1, keepdims=True)
        logits = heads @ key.T / np.sqrt(heads.shape[-1])
        np.fill_diagonal(logits, -5e4)
        with np.errstate(divide="ignore"):
            logits = logits + np.log(met)
        maps[b, a] = mixer_numbers.softmax(logits)
    return maps, mixer_numbers.output(layer, maps @ value)


@settings(max_examples=20)
@given(
    st.sampled_from([1, 2, 13, 29]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 3, 5, 37]),
    st.sampled_from([1, 3]),
    st.sampled_from(["full", "bucket", "chunk"]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(length, prefix, size, rounds, window, masked, seed):
    rng = np.random.default_rng(seed)
    causal = window != "full"
    layer = mixer_numbers.made(
        "reformer",
        scale=0.5,
        chunk=size,
        num_hashes=rounds,
        num_buckets=6,
        causal=causal,
        causal_window=window if causal else "bucket",
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.7 if masked else 2)
    maps, expected = _plain(layer, x, mask, prefix)
    given_mask = mask if masked else None
    y = layer(x, mask=given_mask, prefix=prefix)
    mixer_numbers.close(y, expected, where=mask & maps.any((1, 3)))
    found = layer.attention_map(x, given_mask, prefix=prefix)
    found = np.moveaxis(ops.convert_to_numpy(found), 1, 2)
    rows = mask & maps.any((1, 3))
    np.testing.assert_allclose(
        found[rows], np.moveaxis(maps, 1, 2)[rows], rtol=0, atol=1e-5
    )


def test_one_chunk_is_attention_without_oneself():
    layer = mixer_numbers.made("reformer", chunk=13, num_buckets=2)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    shared, value = _heads(layer, x)
    key = shared / np.linalg.norm(shared, axis=-1, keepdims=True)
    logits = shared @ key.transpose(0, 1, 3, 2) / np.sqrt(5)
    weights = mixer_numbers.softmax(logits, ~np.eye(13, dtype=bool))
    expected = mixer_numbers.output(layer, weights @ value)
    mixer_numbers.close(layer(x), expected)


def test_near_tokens_meet_more_often():
    # Charikar 2002: the nearer two vectors, the more often they share a hash.
    layer = mixer_numbers.made("reformer", num_hashes=400, num_buckets=8)
    rng = np.random.default_rng(3)
    one = rng.normal(size=5)
    steps = (0.1, 0.7, 2.0)
    others = [one + s * rng.normal(size=5) for s in steps]
    heads = np.float32([one, *others])[None, None]
    found = layer._buckets(
        ops.convert_to_tensor(heads), np.ones((1, 4), bool), False
    )
    found = ops.convert_to_numpy(found)[0, 0]  # (R, 4)
    same = (found[:, 1:] == found[:, :1]).mean(0)
    assert same[0] > same[1] + 0.1 > same[2] + 0.2


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_all_pairs(causal):
    layer = mixer_numbers.made(
        "reformer", chunk=3, num_buckets=4, causal=causal
    )
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 11, 15)).astype("float32")
    mask = np.arange(11) < np.array([[11], [7]])
    weight = rng.normal(size=(2, 11, 15)) * mask[..., None]
    weight = ops.convert_to_tensor(weight, "float32")

    def loss(output):
        return lambda: ops.sum(output() * weight)

    def plain():
        maps = layer.attention_map(x, mask, prefix=1)
        mixed = ops.matmul(maps, layer.split_heads(layer.value(x)))
        return layer.output_dense(layer.merge_heads(mixed))

    weights = layer.trainable_weights
    _, found = harness.loss_and_gradients(
        loss(lambda: layer(x, mask=mask, prefix=1)), weights
    )
    _, expected = harness.loss_and_gradients(loss(plain), weights)
    for a, b in zip(found, expected, strict=True):
        # Sums over 22 tokens of products of a few units.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_positions_matter_by_their_order_only():
    layer = mixer_numbers.made("reformer", chunk=3, causal=True)
    x = np.random.default_rng(3).normal(size=(2, 11, 15)).astype("float32")
    places = np.stack([np.arange(10) * 3, np.arange(10) ** 2]).astype("int32")
    a = layer(x, positions=places, prefix=1)
    b = layer(x, prefix=1)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))


def test_hashes_are_a_function_of_the_step():
    layer = mixer_numbers.made("reformer", chunk=3, redraw_interval=2)
    x = np.random.default_rng(3).normal(size=(2, 29, 15)).astype("float32")

    def at(step, training=True, seed=5):
        with random.key_scope([seed, step], [0, 1]):
            return ops.convert_to_numpy(layer(x, training=training))

    np.testing.assert_array_equal(at(2), at(3))
    assert (at(3) != at(4)).any()
    assert (at(2) != at(2, seed=6)).any()
    still = ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(at(2, training=False), still)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x, training=True)), still
    )
    assert (at(2) != still).any()


def test_hashes_are_saved_and_not_trained():
    layer = mixer_numbers.made("reformer", num_hashes=3, num_buckets=14)
    assert [w.name for w in layer.non_trainable_weights] == ["directions"]
    assert layer.directions.shape == (21, 5)
    again = type(layer).from_config(layer.get_config())
    again.build((None, None, 15))
    np.testing.assert_array_equal(layer.directions, again.directions)
    other = attention.get("reformer")(
        3, num_hashes=3, num_buckets=14, salt="other"
    )
    other.build((None, None, 15))
    one, two = (ops.convert_to_numpy(x.directions) for x in (layer, other))
    assert (one != two).all()


def test_gradients_of_moved_rows():
    rng = np.random.default_rng(3)
    buckets = rng.integers(0, 3, size=(2, 3, 5, 11)).astype("int32")
    order, slot, found = _permutations.sorted_by(
        ops.convert_to_tensor(buckets), 3
    )
    moves = (order, slot)
    order, slot, found = map(ops.convert_to_numpy, (order, slot, found))
    np.testing.assert_array_equal(
        order, np.argsort(buckets, axis=-1, kind="stable")
    )
    np.testing.assert_array_equal(slot, np.argsort(order, axis=-1))
    np.testing.assert_array_equal(found, np.sort(buckets, axis=-1))
    x = rng.normal(size=(2, 3, 11, 7)).astype("float32")
    weight = rng.normal(size=(2, 3, 5, 11, 7)).astype("float32")
    factor = ops.convert_to_tensor(weight)
    variable = keras.Variable(x)

    def loss():
        moved = _permutations.taken(variable.value, *moves)
        return ops.sum(moved * factor)

    value, (gradient,) = harness.loss_and_gradients(loss, [variable])
    moved = np.stack(
        [
            np.take_along_axis(x, o[..., None], 2)
            for o in np.moveaxis(order, 2, 0)
        ],
        axis=2,
    )
    expected = np.zeros_like(x)
    for b, a, r, s in np.ndindex(order.shape):
        expected[b, a, order[b, a, r, s]] += weight[b, a, r, s]
    np.testing.assert_allclose(value, (moved * weight).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)
    variable = keras.Variable(moved)

    def loss():
        back = _permutations.returned(variable.value, *moves)
        return ops.sum(back * factor)

    value, (gradient,) = harness.loss_and_gradients(loss, [variable])
    back = np.broadcast_to(x[:, :, None], moved.shape)
    np.testing.assert_allclose(value, (back * weight).sum(), rtol=1e-5)
    expected = np.take_along_axis(weight, order[..., None], axis=3)
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "chunk=0"),
        ({"num_hashes": 0}, "num_hashes=0"),
        ({"num_buckets": 7}, "an even num_buckets.*num_buckets=7"),
        ({"num_buckets": 0}, "num_buckets=0"),
        ({"redraw_interval": 0}, "redraw_interval=0"),
        ({"causal_window": "past"}, "causal_window='past'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("reformer")(3, **options)


def test_too_many_pairs_are_refused():
    with pytest.raises(ValueError, match="1000000000 buckets, 3 tokens"):
        _permutations.sorted_by(np.zeros((2, 3), "int32"), 10**9)
