import itertools

import harness
import keras
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels.layers import TransformerBlock
from pixmodels.layers import TransformerStack
from pixmodels.remat import remat_scope


def _load(arrays, **options):
    """A mixer with the projections of a fixture; keys are values there."""
    layer = attention.get("luna")(
        4, packed_length=arrays["in/p"].shape[1], **options
    )
    layer.build((None, None, 32))
    for part, mine in {
        "q": layer.query,
        "c": layer.packed_key,
        "pq": layer.packed_query,
        "pc": layer.key,
        "out": layer.output_dense,
    }.items():
        pixel_weights.load_dense(mine, arrays, f"w/{part}")
    return layer


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "luna")
    layer = _load(arrays, packed_norm=None)
    y, state = layer(arrays["in/x"], state=arrays["in/p"])
    mixer_numbers.close(y, arrays["out/y"], atol=2e-5)
    mixer_numbers.close(state, arrays["in/p"] + arrays["out/p"])


def test_golden_numbers_of_a_layer(shared):
    arrays = mixer_numbers.golden(shared, "luna_layer")
    layer = _load(arrays, packed_norm="after", packed_norm_epsilon=1e-5)
    pixel_weights.load_norm(layer.norm, arrays, "w/lnp")
    x = arrays["in/x"]
    y, state = layer(x, state=arrays["in/p"])
    mixer_numbers.close(state, arrays["out/p"])

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * arrays[f"w/{name}_gain"] + arrays[f"w/{name}_bias"]

    x = norm(x + ops.convert_to_numpy(y), "lnx")
    hidden = np.maximum(x @ arrays["w/fc1_kernel"] + arrays["w/fc1_bias"], 0)
    hidden = hidden @ arrays["w/fc2_kernel"] + arrays["w/fc2_bias"]
    mixer_numbers.close(norm(x + hidden, "lnf"), arrays["out/y"])


@pytest.mark.parametrize("block", [7, 128])
def test_golden_numbers_of_the_causal_form(shared, block):
    arrays = mixer_numbers.golden(shared, "luna_causal")
    layer = _load(arrays, causal=True, packed_norm=None, block=block)
    y, state = layer(arrays["in/x"], state=arrays["in/p"])
    mixer_numbers.close(y, arrays["out/y"], atol=3e-5)
    np.testing.assert_array_equal(state, arrays["in/p"])


def _dense(part, x, heads):
    """(B, N, D) -> (B, heads, N, E), in float64."""
    kernel, bias = (np.float64(ops.convert_to_numpy(w)) for w in part.weights)
    y = (x @ kernel + bias).reshape(*x.shape[:2], heads, -1)
    return y.transpose(0, 2, 1, 3)


def _plain(layer, x, mask, packed):
    """The layer's output and P', or None, in float64."""
    x, heads = np.float64(x), layer.num_heads
    pack = layer.pack_heads or heads
    if layer.packed_norm == "before" and layer.carry:
        gain, bias = (np.float64(w) for w in layer.norm.get_weights())
        packed = packed - packed.mean(-1, keepdims=True)
        packed = packed / np.sqrt(packed.var(-1, keepdims=True) + 1e-6)
        packed = packed * gain + bias
    near = _dense(layer.packed_query, packed, pack)
    far = _dense(layer.key, x, pack)
    scores = near @ far.transpose(0, 1, 3, 2) / np.sqrt(near.shape[-1])
    if layer.causal:
        return _plain_past(layer, x, mask, scores), None
    value = far if layer.tie_kv else _dense(layer.value, x, pack)
    weights = mixer_numbers.softmax(scores, mask[:, None, None])
    found = (weights @ value).transpose(0, 2, 1, 3).reshape(packed.shape)
    query = _dense(layer.query, x, heads)
    key = _dense(layer.packed_key, found, heads)
    value = key if layer.tie_kv else _dense(layer.packed_value, found, heads)
    logits = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    mixed = mixer_numbers.softmax(logits) @ value
    return mixer_numbers.output(layer, mixed), found


def _plain_past(layer, x, mask, scores):
    """Token by token."""
    heads = layer.num_heads
    pattern = np.log2(1 + 2.0**scores)  # softplus of slope ln 2
    query, key = (_dense(p, x, heads) for p in (layer.query, layer.packed_key))
    query = query / np.sqrt(query.shape[-1])
    value = key if layer.tie_kv else _dense(layer.packed_value, x, heads)
    out = np.zeros_like(value)
    for b, a, t in np.ndindex(value.shape[:3]):
        past = np.flatnonzero(mask[b, : t + 1])
        if not len(past):
            continue
        seen = pattern[b, a][:, past]  # (r, past)
        logits = seen @ (key[b, a, past] @ query[b, a, t]) / len(past)
        weights = mixer_numbers.softmax(logits) @ seen / len(past)
        out[b, a, t] = weights @ value[b, a, past]
    return mixer_numbers.output(layer, out)


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 13, 29]),
    st.sampled_from([1, 7]),
    st.sampled_from([None, 1, 5]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_plain_sums(
    length, size, pack_heads, tie_kv, causal, carry, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "luna",
        packed_length=size,
        pack_heads=None if causal else pack_heads,
        tie_kv=tie_kv,
        causal=causal,
        carry=carry,
        block=5,
    )
    x = rng.normal(size=(2, length, 15)).astype("float32")
    mask = rng.random((2, length)) < (0.7 if masked else 2)
    given_mask = mask if masked else None
    own = np.float64(ops.convert_to_numpy(layer.packed))
    own = np.stack([own, own])
    expected, _ = _plain(layer, x, mask, own)
    where = mask & mask.any(1)[:, None]
    # Sums over 29 tokens of values of some ten.
    mixer_numbers.close(
        layer(x, mask=given_mask, prefix=1), expected, where, atol=3e-5
    )
    if not carry:
        assert layer.initial_state(x) is None
        return
    packed = rng.normal(size=(2, size, 15)).astype("float32")
    expected, found = _plain(layer, x, mask, np.float64(packed))
    y, state = layer(x, mask=given_mask, state=packed)
    mixer_numbers.close(y, expected, where, atol=3e-5)
    rows = mask.any(1)
    after = packed if causal else packed + found
    mixer_numbers.close(state, after, rows, atol=3e-5)


def test_attention_map_is_the_product_of_both():
    layer = mixer_numbers.made("luna", packed_length=5, carry=False)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mask = np.arange(13) < np.array([[13], [7]])
    packed = np.float64(ops.convert_to_numpy(layer.packed))
    packed = np.stack([packed, packed])
    _, found = _plain(layer, x, mask, packed)
    near = _dense(layer.packed_query, packed, 3)
    far = _dense(layer.key, np.float64(x), 3).transpose(0, 1, 3, 2)
    first = mixer_numbers.softmax(near @ far / 5**0.5, mask[:, None, None])
    query = _dense(layer.query, np.float64(x), 3)
    key = _dense(layer.packed_key, found, 3).transpose(0, 1, 3, 2)
    second = mixer_numbers.softmax(query @ key / 5**0.5)
    mixer_numbers.close(layer.attention_map(x, mask), second @ first)
    with pytest.raises(ValueError, match="causal=False for an attention map"):
        mixer_numbers.made("luna", causal=True).attention_map(x)


def _stack(layers=3, **options):
    keras.utils.set_random_seed(3)
    stack = TransformerStack(
        layers, 3, 17, attention="luna", attention_options=options
    )
    stack.build((None, None, 15))
    rng = np.random.default_rng(5)
    for weight in stack.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape) * 0.2)
    return stack


def test_the_first_layer_of_a_stack_has_what_is_carried():
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mask = np.arange(13) < np.array([[13], [7]])
    stack = _stack(packed_length=5)
    learned = [hasattr(block.mixer, "packed") for block in stack.blocks]
    assert learned == [True, False, False]
    y, state = x, stack.blocks[0].initial_state(x)
    assert state.shape == (2, 5, 15)
    states = [ops.convert_to_numpy(state)]
    for block in stack.blocks:
        y, state = block(y, mask=mask, state=state)
        states.append(ops.convert_to_numpy(state))
    found = stack(x, mask=mask)
    found = ops.convert_to_numpy(found)
    np.testing.assert_array_equal(found, ops.convert_to_numpy(stack.norm(y)))
    assert all((a != b).any() for a, b in itertools.pairwise(states))
    inner = stack.intermediates(x, ["block_1", "output"], mask=mask)
    np.testing.assert_array_equal(ops.convert_to_numpy(inner["output"]), found)
    with pytest.raises(ValueError, match="Expected a state.*state=None"):
        stack.blocks[1](x)
    # Padding reaches nothing through P.
    changed = np.where(mask[..., None], x, 9)
    again = ops.convert_to_numpy(stack(changed, mask=mask))
    np.testing.assert_array_equal(again[mask], found[mask])


def test_without_carrying_each_layer_has_its_own():
    stack = _stack(packed_length=5, carry=False)
    assert all(hasattr(block.mixer, "packed") for block in stack.blocks)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    assert stack.blocks[1](x).shape == x.shape
    with pytest.raises(ValueError, match="state=None without carry"):
        stack.blocks[1](x, state=np.ones((2, 5, 15), "float32"))


def test_the_causal_form_carries_p_as_it_is():
    stack = _stack(packed_length=5, causal=True)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    changed = x.copy()
    changed[:, 7] += 1
    a, b = (ops.convert_to_numpy(stack(t)) for t in (x, changed))
    np.testing.assert_array_equal(a[:, :7], b[:, :7])
    assert (a[:, 7:] != b[:, 7:]).any(axis=(0, 2)).all()


def test_gradients_reach_p_through_every_layer():
    # Central differences towards one direction, through three layers.
    stack = _stack(packed_length=5)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    weight = np.random.default_rng(5).normal(size=x.shape)
    weight = ops.convert_to_tensor(weight, "float32")
    packed = stack.blocks[0].mixer.packed

    def loss():
        return ops.sum(stack(x, training=True) * weight)

    _, (plain,) = harness.loss_and_gradients(loss, [packed])
    first = ops.convert_to_numpy(packed)
    way = np.sign(plain)
    values = []
    for step in (-1e-2, 1e-2):
        packed.assign(first + step * way)
        values.append(float(ops.convert_to_numpy(loss())))
    packed.assign(first)
    slope = (values[1] - values[0]) / 2e-2
    # float32 sums of 390 products of a few units, and the third derivative.
    assert abs(slope - np.abs(plain).sum()) < 0.02 * np.abs(plain).sum()
    if keras.backend.backend() != "jax":
        with remat_scope():
            _, (again,) = harness.loss_and_gradients(loss, [packed])
        np.testing.assert_allclose(again, plain, rtol=0, atol=1e-4)


def test_masked_pretraining_with_luna():
    encoder = pixmodels.PIXELBackbone(
        (2, 2 * 23, 1),
        2,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        attention="luna",
        attention_options={"packed_length": 5},
    )
    model = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=2,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=11,
    )
    shapes = [w.shape for w in model.weights if w.path.endswith("/packed")]
    assert shapes == [(5, 12), (5, 8)]
    pixels = np.random.default_rng(3).integers(0, 256, (2, 2, 46), "uint8")
    assert model({"pixels": pixels})["logits"].shape == (2, 23, 4)


def test_a_block_alone_round_trips():
    block = TransformerBlock(
        3, 17, attention="luna", attention_options={"first": False}
    )
    block.build((None, None, 15))
    again = TransformerBlock.from_config(block.get_config())
    assert again.get_config() == block.get_config()
    stack = _stack(packed_length=5)
    assert stack.get_config()["attention_options"] == {"packed_length": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packed_length": 0}, "packed_length=0"),
        ({"pack_heads": 0}, "pack_heads=0"),
        ({"block": 0}, "block=0"),
        ({"packed_norm": "layer"}, "packed_norm='layer'"),
        ({"first": False, "carry": False}, "first=False, carry=False"),
        ({"causal": True, "pack_heads": 5}, "pack_heads=5, num_heads=3"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("luna")(3, **options)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"to divide the width.*Received: 4"):
        attention.get("luna")(3, pack_heads=4).build((None, None, 15))
