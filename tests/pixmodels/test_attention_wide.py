import keras
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from keras import ops

import pixmodels
from pixmodels import attention


def test_golden_numbers(shared):
    """One layer of many heads, normalised, with its MLP."""
    arrays = mixer_numbers.golden(shared, "wide_attention")
    block = pixmodels.layers.TransformerBlock(
        12,
        32,
        attention="wide",
        attention_options={"head_dim": 4},
        activation="gelu_approximate",
        layer_norm_epsilon=1e-6,
    )
    block.build((None, None, 16))
    mixer = block.mixer
    parts = (mixer.query, mixer.key, mixer.value, mixer.output_dense)
    for name, part in zip("qkvo", parts, strict=True):
        pixel_weights.load_dense(part, arrays, f"w/{name}")
    pixel_weights.load_dense(block.dense_1, arrays, "w/fc1")
    pixel_weights.load_dense(block.dense_2, arrays, "w/fc2")
    norm = keras.layers.LayerNormalization(epsilon=1e-6)
    norm.build((None, None, 16))
    for name, part in (("1", block.norm_1), ("2", block.norm_2), ("f", norm)):
        part.gamma.assign(arrays[f"w/ln{name}_gain"])
        part.beta.assign(arrays[f"w/ln{name}_bias"])
    y = norm(block(arrays["in/x"]))
    mixer_numbers.close(y, arrays["out/y"])
    mixer_numbers.close(ops.mean(y, axis=1), arrays["out/pooled"])


@pytest.mark.parametrize("causal", [False, True])
def test_equals_its_pairs(causal):
    layer = mixer_numbers.made("wide", 5, 11, head_dim=7, causal=causal)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 13, 11)).astype("float32")
    mask = rng.random((2, 13)) < 0.7
    mask[:, 0] = True
    allowed = layer.dense_mask(13)[None] & mask[:, None]

    def plain(x):
        return mixer_numbers.dense_attention(layer, x, allowed)

    mixer_numbers.close(layer(x, mask=mask), plain(x), atol=1e-6)
    mixer_numbers.check_gradient(layer, plain, x, mask=mask)


def test_is_softmax_but_for_the_width_of_its_heads():
    x = np.random.default_rng(3).normal(size=(2, 13, 12)).astype("float32")
    wide, softmax = (
        mixer_numbers.made(name, 3, 12, head_dim=8, rotary=100.0)
        for name in ("wide", "softmax")
    )
    options = {"grid": (2, 6), "prefix": 1}
    a, b = (ops.convert_to_numpy(m(x, **options)) for m in (wide, softmax))
    np.testing.assert_array_equal(a, b)
    default = attention.get("wide")(5)
    default.build((None, None, 7))
    assert default.query.kernel.shape == (7, 5 * 64)
    assert default.output_dense.kernel.shape == (5 * 64, 7)


@pytest.mark.parametrize("head_dim", [None, 0])
def test_what_cannot_be_is_refused(head_dim):
    with pytest.raises(ValueError, match=f"head_dim={head_dim}"):
        attention.get("wide")(3, head_dim=head_dim)
