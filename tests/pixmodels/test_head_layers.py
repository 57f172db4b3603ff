"""Layers of heads, against sums written out in numpy."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import erf
from scipy.special import softmax

import pixmodels
from pixmodels.layers import AttentionPooling
from pixmodels.layers import Biaffine
from pixmodels.layers import MAPPooling

B, N, D, HEADS = 3, 7, 10, 5


def _made(layer, *shapes, seed=3):
    keras.utils.set_random_seed(seed)
    layer.build(*shapes)
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return layer


def _x(*shape, seed=5):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _numpy(x):
    return ops.convert_to_numpy(x).astype("float64")


def _dense(layer, x):
    return x @ _numpy(layer.kernel) + _numpy(layer.bias)


def _mask():
    return np.arange(N) < np.array([[7], [4], [1]])


def _attention(query, key, value, scale, mask):
    """One example, head by head: query (D,), key and value (N, D)."""
    size = D // HEADS
    parts = []
    for a in range(HEADS):
        part = slice(a * size, (a + 1) * size)
        logits = key[:, part] @ query[part] * scale
        logits = np.where(mask, logits, -np.inf)
        parts.append(softmax(logits) @ value[:, part])
    return np.concatenate(parts)


@pytest.mark.parametrize("leaky", [False, True])
def test_attention_pooling_by_hand(leaky):
    layer = _made(AttentionPooling(HEADS, leaky=leaky), (None, None, D))
    x, mask = _x(B, N, D), _mask()
    query = _dense(layer.query, _numpy(layer.seed)[0, 0])
    expected = []
    for row, real in zip(x.astype("float64"), mask):
        key, value = _dense(layer.key, row), _dense(layer.value, row)
        if leaky:
            key, real = np.where(real[:, None], key, 0), np.ones(N, bool)
        o = query + _attention(query, key, value, D**-0.5, real)
        expected.append(o + np.maximum(_dense(layer.output_dense, o), 0))
    found = _numpy(layer(x, mask=mask))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_attention_pooling_and_padding():
    x, mask = _x(B, N, D), _mask()
    other = np.where(mask[..., None], x, _x(B, N, D, seed=11))
    for leaky in (False, True):
        layer = _made(AttentionPooling(HEADS, leaky=leaky), (None, None, D))
        same = _numpy(layer(x, mask=mask)) == _numpy(layer(other, mask=mask))
        assert same[0].all()  # has no padding
        assert same.all() != leaky
        # The order of the vectors does not matter.
        order = np.random.default_rng(7).permutation(N)
        np.testing.assert_allclose(
            _numpy(layer(x[:, order], mask=mask[:, order])),
            _numpy(layer(x, mask=mask)),
            rtol=0,
            atol=1e-5,
        )


@pytest.mark.parametrize("activation", ["gelu", "gelu_approximate"])
def test_map_pooling_by_hand(activation):
    layer = MAPPooling(HEADS, mlp_dim=13, activation=activation)
    layer = _made(layer, (None, None, D))
    x, mask = _x(B, N, D), _mask()
    query = _dense(layer.query, _numpy(layer.probe)[0, 0])
    scale = (D // HEADS) ** -0.5
    expected = []
    for row, real in zip(x.astype("float64"), mask):
        key, value = _dense(layer.key, row), _dense(layer.value, row)
        o = _attention(query, key, value, scale, real)
        o = _dense(layer.output_dense, o)
        y = (o - o.mean()) / np.sqrt(o.var() + 1e-6)
        y = y * _numpy(layer.norm.gamma) + _numpy(layer.norm.beta)
        y = _dense(layer.dense_1, y)
        if activation == "gelu":
            y = y * (1 + erf(y / np.sqrt(2))) / 2
        else:
            inner = np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)
            y = y * (1 + np.tanh(inner)) / 2
        expected.append(o + _dense(layer.dense_2, y))
    found = _numpy(layer(x, mask=mask))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    # Without a mask everything is real: the first example.
    np.testing.assert_allclose(
        _numpy(layer(x[:1])), expected[:1], rtol=0, atol=2e-5
    )


def test_map_pooling_of_equal_tokens():
    """A mean of equal values is that value, whatever the probe asks."""
    layer = _made(MAPPooling(HEADS), (None, None, D))
    one = _x(1, 1, D)
    many = np.repeat(one, N, axis=1)
    np.testing.assert_allclose(
        _numpy(layer(many)), _numpy(layer(one)), rtol=0, atol=1e-5
    )
    assert layer.dense_1.kernel.shape == (D, 4 * D)


@pytest.mark.parametrize("bias_x", [False, True])
@pytest.mark.parametrize("bias_y", [False, True])
def test_biaffine_by_hand(bias_x, bias_y):
    layer = Biaffine(2, bias_x=bias_x, bias_y=bias_y)
    layer = _made(layer, (None, None, D), (None, None, 3))
    x, y = _x(B, N, D), _x(B, 11, 3, seed=7)
    kernel = _numpy(layer.kernel)
    expected = np.zeros((B, N, 11, 2))
    for b, i, j, o in np.ndindex(expected.shape):
        left = np.append(x[b, i], 1) if bias_x else x[b, i]
        right = np.append(y[b, j], 1) if bias_y else y[b, j]
        expected[b, i, j, o] = left @ kernel[o] @ right
    np.testing.assert_allclose(_numpy(layer(x, y)), expected, rtol=0, atol=2e-5)
    symbolic = layer.compute_output_shape(x.shape, y.shape)
    assert symbolic == expected.shape


def test_biaffine_begins_at_zero():
    layer = Biaffine(3)
    assert not _numpy(layer(_x(1, 2, D), _x(1, 5, D))).any()


@pytest.mark.parametrize(
    "layer",
    [
        AttentionPooling(HEADS, leaky=True),
        MAPPooling(HEADS, mlp_dim=13, activation="relu"),
        Biaffine(3, bias_y=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config


def test_bad_arguments():
    for cls in (AttentionPooling, MAPPooling):
        with pytest.raises(ValueError, match="num_heads=3, width=10"):
            cls(3).build((None, None, D))
    with pytest.raises(ValueError, match="activation='sine'"):
        MAPPooling(HEADS, activation="sine").build((None, None, D))
    with pytest.raises(ValueError, match="units=0"):
        pixmodels.layers.Biaffine(0)
