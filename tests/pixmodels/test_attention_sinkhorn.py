import harness
import keras
import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels import random


@pytest.mark.parametrize(
    ("fixture", "size", "iterations"),
    [("sinkhorn", 16, 7), ("sinkhorn_nomask", 8, 6)],
)
def test_golden_numbers(shared, fixture, size, iterations, monkeypatch):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load(
        "sinkhorn",
        arrays,
        2,
        block=size,
        iterations=iterations,
        temperature=0.7,
    )
    gumbel = ops.convert_to_tensor(arrays["in/gumbel"])
    monkeypatch.setattr(layer, "_noise", lambda count, training: gumbel)
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"], atol=2e-5)
    query, key = (
        ops.reshape(
            layer.split_heads(part(arrays["in/x"])),
            (len(arrays["in/x"]), 2, 64 // size, size, -1),
        )
        for part in (layer.query, layer.key)
    )
    real = np.ones((1, 1, 64 // size, size), bool)
    sort = layer._sort(query, key, real, False)
    mixer_numbers.close(sort, arrays["out/sort_matrix"])


def _balanced(layer, query, key):
    """S of block means (n, E), by quotients instead of logarithms."""
    products = query @ key.T / np.sqrt(query.shape[-1])
    weights = (np.maximum(products, 0) + 1e-6) ** (1 / layer.temperature)
    for _ in range(layer.iterations):
        weights = weights / weights.sum(1, keepdims=True)
        weights = weights / weights.sum(0, keepdims=True)
    return weights


def _one_head(layer, query, key, value, front, places, sort=_balanced):
    """The real tokens of one head of one example, in float64.

    Args:
        query, key, value: (L, E), padding left out.
        front: keys and values of the real tokens of the prefix.
        places: (L,) ints.
    """
    size = layer.block
    blocks = {}
    for t, place in enumerate(places):
        blocks.setdefault(place // size, {})[place % size] = t
    means = [
        np.stack([x[list(b.values())].mean(0) for b in blocks.values()])
        for x in (query, key)
    ]
    matrix = sort(layer, *means)
    out = np.zeros_like(value)
    for row, block in zip(matrix, blocks.values(), strict=True):
        own = list(block.values())
        keys, values = [*front[0], *key[own]], [*front[1], *value[own]]
        bias = [0.0] * len(keys)
        for offset in range(size):
            there = [
                (weight, other[offset])
                for weight, other in zip(row, blocks.values(), strict=True)
                if offset in other
            ]
            share = sum(weight for weight, _ in there) / row.sum()
            if share > 1e-6:
                bias.append(np.log(share))
                for x, found in ((key, keys), (value, values)):
                    found.append(sum(w * x[t] for w, t in there) / share)
        logits = query[own] @ np.stack(keys).T / np.sqrt(query.shape[-1])
        weights = mixer_numbers.softmax(logits + np.array(bias))
        out[own] = weights @ np.stack(values)
    return out


def _plain(layer, x, mask, places, prefix, sort=_balanced):
    """Each example without its padding, in float64."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    out = np.zeros_like(value)
    for b, a in np.ndindex(value.shape[:2]):
        q, k, v = query[b, a], key[b, a], value[b, a]
        logits = q[:prefix] @ k[mask[b]].T / np.sqrt(q.shape[-1])
        if mask[b].any():
            out[b, a, :prefix] = mixer_numbers.softmax(logits) @ v[mask[b]]
        real = mask[b, prefix:]
        first = mask[b, :prefix]
        front = (k[:prefix][first], v[:prefix][first])
        if real.any():
            out[b, a, prefix:][real] = _one_head(
                layer,
                *(part[prefix:][real] for part in (q, k, v)),
                front,
                places[b][real],
                sort,
            )
    return mixer_numbers.output(layer, out)


@settings(max_examples=20)
@given(
    st.sampled_from([1, 2, 13, 29]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 3, 7, 37]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_each_example_alone(length, prefix, size, subset, masked, seed):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made("sinkhorn", block=size, iterations=5)
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.7 if masked else 2)
    positions, places = None, [np.arange(length)] * 2
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(31)[:length]) for _ in range(2)]
        )
        positions = places.astype("int32")
    y = layer(
        x,
        mask=mask if masked else None,
        positions=positions,
        prefix=prefix,
        grid=(1, 31) if subset else None,
    )
    expected = _plain(layer, x, mask, places, prefix)
    mixer_numbers.close(y, expected, where=mask)
    if seed % 3 == 0:
        maps = ops.convert_to_numpy(
            layer.attention_map(x, mask, positions, prefix, (1, 31))
        )
        np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
        row = mask & mask.any(1)[:, None]
        column = np.broadcast_to(~mask[:, None, None], maps.shape)
        assert not (maps * column).transpose(0, 2, 1, 3)[row].any()


def test_the_sort_brings_blocks(monkeypatch):
    # A given permutation: block i sees itself and block `order[i]`.
    layer = mixer_numbers.made("sinkhorn", block=5)
    x = np.random.default_rng(3).normal(size=(1, 23, 15)).astype("float32")
    outputs = []
    for order in ([1, 2, 3, 4, 0], [4, 0, 1, 2, 3]):
        matrix = np.eye(5, dtype="float32")[order]
        monkeypatch.setattr(layer, "_sort", lambda *_, m=matrix: m[None, None])
        found = layer(x)
        # The last block lacks two tokens, wherever it is brought.
        block = np.arange(23) // 5
        seen = np.array(order)[block][:, None] == block[None, :]
        seen = seen | (block[:, None] == block[None, :])
        expected = mixer_numbers.dense_attention(layer, x, seen[None])
        mixer_numbers.close(found, expected)
        maps = layer.attention_map(x)
        value = layer.split_heads(layer.value(x))
        mixed = layer.merge_heads(ops.matmul(maps, value))
        mixer_numbers.close(layer.output_dense(mixed), expected)
        assert not ops.convert_to_numpy(maps)[:, :, ~seen].any()
        outputs.append(ops.convert_to_numpy(found))
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


def test_low_temperature_is_near_a_permutation():
    layer = mixer_numbers.made(
        "sinkhorn", block=3, temperature=0.05, iterations=60, scale=1.0
    )
    rng = np.random.default_rng(3)
    query, key = (rng.normal(size=(1, 3, 7, 3, 5)) for _ in range(2))
    real = np.ones((1, 1, 7, 3), bool)
    sort = layer._sort(np.float32(query), np.float32(key), real, training=False)
    sort = ops.convert_to_numpy(sort)
    np.testing.assert_allclose(sort.sum(-2), 1, rtol=0, atol=1e-5)
    assert np.median(sort.max(-1)) > 0.95


def test_noise_is_a_function_of_step_and_example():
    layer = mixer_numbers.made("sinkhorn", block=3)
    x = np.random.default_rng(3).normal(size=(2, 29, 15)).astype("float32")

    def at(step, training=True, ids=(0, 1)):
        with random.key_scope([5, step], ids):
            return ops.convert_to_numpy(layer(x, training=training))

    np.testing.assert_array_equal(at(2), at(2))
    assert (at(2) != at(3)).any(axis=(1, 2)).all()
    other = at(2, ids=(0, 7))
    np.testing.assert_array_equal(at(2)[0], other[0])
    assert (at(2)[1] != other[1]).any()
    still = ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(at(2, training=False), still)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x, training=True)), still
    )


def test_noise_is_gumbel():
    layer = mixer_numbers.made("sinkhorn")
    with random.key_scope([5, 2], np.arange(7)):
        noise = ops.convert_to_numpy(layer._noise(67, True))
    assert noise.shape == (7, 3, 67, 67)
    # Mean: Euler's constant; variance: pi^2 / 6. About 94,000 numbers.
    assert abs(noise.mean() - 0.57722) < 0.02
    assert abs(noise.var() - np.pi**2 / 6) < 0.05


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="others round float64 on their way through keras 3.15",
)
def test_gradients_are_differences():
    # Of the whole layer in float64, towards one direction.
    layer = mixer_numbers.made(
        "sinkhorn", block=3, iterations=3, dtype="float64"
    )
    rng = np.random.default_rng(3)
    x = ops.convert_to_tensor(rng.normal(size=(2, 11, 15)), "float64")
    mask = np.arange(11) < np.array([[11], [7]])
    weight = ops.convert_to_tensor(
        rng.normal(size=(2, 11, 15)) * mask[..., None], "float64"
    )
    weights = layer.trainable_weights

    def loss():
        return ops.sum(layer(x, mask=mask, prefix=1) * weight)

    _, found = harness.loss_and_gradients(loss, weights)
    first = [ops.convert_to_numpy(w) for w in weights]
    way = [rng.normal(size=w.shape) for w in first]
    values = []
    for step in (-1e-5, 1e-5):
        for w, start, direction in zip(weights, first, way, strict=True):
            value = start + step * direction
            w.assign(ops.convert_to_tensor(value, "float64"))
        values.append(float(ops.convert_to_numpy(loss())))
    slope = (values[1] - values[0]) / 2e-5
    expected = sum((g * d).sum() for g, d in zip(found, way, strict=True))
    assert abs(slope - expected) < 1e-6 * abs(expected)


def test_in_masked_pretraining_blocks_go_by_position():
    keras.utils.set_random_seed(3)
    encoder = pixmodels.PIXELBackbone(
        (2, 2 * 23, 1),
        2,
        num_layers=1,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        attention="sinkhorn",
        attention_options={"block": 5},
    )
    x = np.random.default_rng(3).random((2, 2, 46, 1)).astype("float32")
    kept = np.array([[0, 2, 11, 17, 22], [1, 2, 3, 4, 5]], "int32")
    everything = np.tile(np.arange(23, dtype="int32"), (2, 1))
    assert encoder(x, ids_keep=kept).shape == (2, 6, 12)
    whole = ops.convert_to_numpy(encoder(x))
    mixer_numbers.close(encoder(x, ids_keep=everything), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "block=0"),
        ({"iterations": 0}, "iterations=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"causal": True}, "normalised over all blocks.*causal=True"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("sinkhorn")(3, **options)


def test_positions_need_a_grid():
    layer = attention.get("sinkhorn")(3, block=2)
    with pytest.raises(ValueError, match="a grid with positions"):
        layer(
            np.ones((2, 3, 15), "float32"), positions=np.array([[0, 2, 5]] * 2)
        )
