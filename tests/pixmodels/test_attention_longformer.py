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


@pytest.mark.parametrize(
    ("fixture", "prefix"), [("longformer_window", 0), ("longformer_global", 1)]
)
def test_golden_numbers(shared, fixture, prefix):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load("longformer", arrays, 4, window=8)
    if prefix:
        np.testing.assert_array_equal(np.argwhere(arrays["in/global"])[:, 1], 0)
        for part in ("query", "key", "value"):
            mine = getattr(layer, f"{part}_global")
            pixel_weights.load_dense(mine, arrays, f"w/{part[0]}g")
    y = layer(arrays["in/x"])
    if prefix:  # position 0 is the global token: told in either way
        whole = mixer_numbers.load(
            "longformer", arrays, 4, window=8, num_global=1
        )
        whole.set_weights(layer.get_weights())
        y = whole(arrays["in/x"])
        places = np.tile(np.arange(1, 64, dtype="int32"), (2, 1))
        other = layer(arrays["in/x"], positions=places, prefix=1)
        mixer_numbers.close(other, arrays["out/y"])
    mixer_numbers.close(y, arrays["out/y"])


def _plain(layer, x, allowed, rows):
    """Both sets of projections over all pairs, in float64."""
    near = mixer_numbers.dense_attention(layer, x, allowed)
    usual = layer.query, layer.key, layer.value
    layer.query, layer.key = layer.query_global, layer.key_global
    layer.value = layer.value_global
    far = mixer_numbers.dense_attention(layer, x, allowed)
    layer.query, layer.key, layer.value = usual
    return np.where(rows[..., None], far, near)


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 13, 37, 83]),
    st.sampled_from([0, 2]),
    st.sampled_from([0, 3]),
    st.sampled_from([1, 11]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_all_pairs(
    length, prefix, chosen, window, causal, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "longformer", window=window, num_global=chosen, causal=causal
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8 if masked else None
    positions, places = None, np.stack([np.arange(length)] * 2)
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(89)[:length]) for _ in range(2)]
        )
        positions = places.astype("int32")
    allowed = np.stack([layer.dense_mask(total, prefix, p) for p in places])
    if masked:
        allowed &= mask[:, None, :]
    rows = np.pad(places < chosen, ((0, 0), (prefix, 0)), constant_values=True)
    y = layer(x, mask=mask, positions=positions, prefix=prefix)
    expected = _plain(layer, x, allowed, rows)
    mixer_numbers.close(y, expected, allowed.any(-1))
    maps = layer.attention_map(x, mask, positions, prefix)
    maps = ops.convert_to_numpy(maps)
    real = np.broadcast_to(allowed.any(-1)[:, None], maps.shape[:3])
    pairs = np.broadcast_to(allowed[:, None], maps.shape)
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
    assert not maps[real][~pairs[real]].any()


def test_pattern_by_hand():
    cls = attention.get("longformer")
    pairs = cls(2, window=1, num_global=3).dense_mask(
        5, prefix=1, positions=[2, 5, 6, 8]
    )
    np.testing.assert_array_equal(
        pairs,
        [
            [1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1],
            [1, 1, 1, 1, 0],
            [1, 1, 1, 1, 0],
            [1, 1, 0, 0, 1],
        ],
    )
    past = cls(2, window=1, num_global=1, causal=True).dense_mask(4)
    np.testing.assert_array_equal(past[3], [1, 0, 1, 1])
    np.testing.assert_array_equal(past[0], [1, 0, 0, 0])


@pytest.mark.parametrize("chosen", [0, 3])
def test_attention_map_is_what_is_computed(chosen):
    layer = mixer_numbers.made("longformer", window=2, num_global=chosen)
    x = np.random.default_rng(7).normal(size=(2, 13, 15)).astype("float32")
    maps = ops.convert_to_numpy(layer.attention_map(x, prefix=1))
    value = mixer_numbers.heads_of(layer, x)[2]
    layer.value, usual = layer.value_global, layer.value
    far = mixer_numbers.heads_of(layer, x)[2]
    layer.value = usual
    rows = (np.arange(13) < 1 + chosen)[:, None]
    mixed = np.where(rows, maps @ far, maps @ value)
    expected = mixer_numbers.output(layer, mixed)
    mixer_numbers.close(layer(x, prefix=1), expected)


def test_gradients():
    layer = mixer_numbers.made("longformer", window=2, num_global=2)
    x = np.random.default_rng(7).normal(size=(2, 13, 15)).astype("float32")
    mixer_numbers.check_weight_gradients(layer, x, prefix=1)


def _backbone(mixer, **options):
    keras.utils.set_random_seed(3)
    return pixmodels.ViTBackbone(
        (4, 44, 1),
        4,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        attention=mixer,
        attention_options=options,
    )


def test_weights_of_softmax_begin_as_copies(tmp_path):
    softmax = _backbone("softmax")
    softmax.save_to_preset(tmp_path / "softmax")
    images = np.random.default_rng(3).random((2, 4, 44, 1)).astype("float32")
    found = pixmodels.from_preset(
        tmp_path / "softmax",
        attention="longformer",
        attention_options={"window": 11},
    )
    # A window of everything: the same model.
    mixer_numbers.close(found(images), ops.convert_to_numpy(softmax(images)))
    mixer = found.encoder.blocks[1].mixer
    np.testing.assert_array_equal(mixer.value_global.kernel, mixer.value.kernel)
    # From then on they are weights of their own.
    mixer.value_global.kernel.assign(mixer.value.kernel + 1)
    found.save_to_preset(tmp_path / "longformer")
    again = pixmodels.from_preset(tmp_path / "longformer")
    for a, b in zip(found.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="leave the architecture as it is"):
        pixmodels.from_preset(
            tmp_path / "longformer", attention="softmax", attention_options={}
        )


def test_published_weights_begin_as_copies(tmp_path):
    softmax = _backbone("softmax")
    softmax.to_hf(tmp_path / "hf")
    found = pixmodels.from_preset(tmp_path / "hf", attention="longformer")
    mixer = found.encoder.blocks[0].mixer
    for part in ("query", "key", "value"):
        mine, other = getattr(mixer, f"{part}_global"), getattr(mixer, part)
        np.testing.assert_array_equal(mine.kernel, other.kernel)
        np.testing.assert_array_equal(
            other.kernel, getattr(softmax.encoder.blocks[0].mixer, part).kernel
        )


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_int8():
    model = _backbone("longformer")
    model.quantize("int8")
    images = np.random.default_rng(3).random((2, 4, 44, 1)).astype("float32")
    assert np.isfinite(ops.convert_to_numpy(model(images))).all()
    assert model.encoder.blocks[0].mixer.key_global.quantization_mode == "int8"


def test_what_cannot_be_is_refused():
    cls = attention.get("longformer")
    with pytest.raises(ValueError, match="window=0"):
        cls(3, window=0)
    with pytest.raises(ValueError, match="num_global=-1"):
        cls(3, num_global=-1)


@pytest.mark.parity
def test_beside_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.longformer import modeling_longformer

    config = transformers.LongformerConfig(
        attention_window=[8],
        hidden_size=30,
        num_attention_heads=3,
        attention_probs_dropout_prob=0.0,
    )
    theirs = modeling_longformer.LongformerSelfAttention(config, 0).eval()
    layer = mixer_numbers.made("longformer", 3, 30, window=4, num_global=2)
    for part in ("query", "key", "value"):
        for end in ("", "_global"):
            mine = getattr(layer, part + end)
            there = getattr(theirs, part + end)
            kernel, bias = (
                torch.tensor(ops.convert_to_numpy(w)) for w in mine.weights
            )
            there.weight.data, there.bias.data = kernel.T, bias
    x = np.random.default_rng(3).normal(size=(2, 40, 30)).astype("float32")
    real = np.arange(40) < np.array([[40], [29]])
    states = np.where(real, 0.0, -10000.0).astype("float32")
    states[:, :2] = 10000.0
    with torch.no_grad():
        mixed = theirs(
            torch.tensor(x),
            attention_mask=torch.tensor(states),
            is_index_masked=torch.tensor(states < 0),
            is_index_global_attn=torch.tensor(states > 0),
            is_global_attn=True,
        )[0].numpy()
    kernel, bias = (ops.convert_to_numpy(w) for w in layer.output_dense.weights)
    mixer_numbers.close(layer(x, mask=real), mixed @ kernel + bias, real)
