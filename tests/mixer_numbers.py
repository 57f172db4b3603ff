"""Mixers against float64 numpy and against golden numbers, for tests.

Here: loading of weights, projections and the plain forms. Not here: any use
of the code under test beyond its weights."""

import harness
import keras
import numpy as np
import pixel_weights
from keras import ops

from pixmodels import attention


def golden(shared, fixture):
    """The arrays of a layer fixture, a dict; skips where there is none."""
    return dict(np.load(shared(f"fixtures/layers/{fixture}.npz")))


def load(name, arrays, heads, **options):
    """A mixer with the projections of a fixture."""
    biased = {p: f"w/{p}_bias" in arrays for p in "qkvo"}
    options.setdefault("qkv_bias", biased["q"])
    options.setdefault("use_bias", biased["o"])
    layer = attention.get(name)(heads, **options)
    layer.build((None, *arrays["in/x"].shape[1:]))
    parts = (layer.query, layer.key, layer.value, layer.output_dense)
    for part, mine in zip("qkvo", parts, strict=True):
        if biased[part]:
            pixel_weights.load_dense(mine, arrays, f"w/{part}")
        else:
            mine.kernel.assign(arrays[f"w/{part}_kernel"])
    return layer


def made(name, heads=3, width=15, length=None, scale=0.3, **options):
    """A mixer with weights far from their initial values."""
    rng = np.random.default_rng(5)
    layer = attention.get(name)(heads, **options)
    layer.build((None, length, width))
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * scale)
    return layer


def close(actual, expected, where=None, atol=1e-5):
    """Asserts equality within `atol`, at the real tokens `where`."""
    actual, expected = map(ops.convert_to_numpy, (actual, expected))
    assert np.isfinite(actual).all()
    if where is not None:
        actual, expected = actual[where], expected[where]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def float64(x):
    """A weight, tensor or array of any backend as float64 numpy."""
    return np.float64(ops.convert_to_numpy(x))


def _dense(part, x):
    weights = [float64(w) for w in part.weights]
    return x @ weights[0] + (weights[1] if len(weights) > 1 else 0)


def heads_of(layer, x):
    """Queries, keys and values (B, A, N, E) in float64."""
    x = np.float64(x)

    def split(part):
        y = _dense(part, x).reshape(*x.shape[:2], layer.num_heads, -1)
        return y.transpose(0, 2, 1, 3)

    return [split(part) for part in (layer.query, layer.key, layer.value)]


def output(layer, heads):
    """(B, A, N, E) -> (B, N, D), through the output projection."""
    x = heads.transpose(0, 2, 1, 3)
    return _dense(layer.output_dense, x.reshape(*x.shape[:2], -1))


def softmax(logits, allowed=True):
    """Over the last axis, in float64; rows without a pair are 0."""
    logits = np.where(allowed, logits, -np.inf)
    top = logits.max(-1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def dense_attention(layer, x, allowed):
    """Softmax attention over the pairs of (B, [A,] N, N) bool, in float64."""
    if allowed.ndim == 3:
        allowed = allowed[:, None]
    query, key, value = heads_of(layer, x)
    logits = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    return output(layer, softmax(logits, allowed) @ value)


def check_gradient(layer, plain, x, **call):
    """The derivative by `x` equals that of the plain form.

    Args:
        layer: a mixer.
        plain: x float64 -> its outputs in float64 numpy.
        x: (B, N, D) float32.
        call: further call arguments of the layer.
    """
    rng = np.random.default_rng(7)
    weight, along = rng.normal(size=(2, *x.shape)).astype("float32")
    variable = keras.Variable(x)
    _, found = harness.loss_and_gradients(
        lambda: ops.sum(ops.multiply(layer(variable.value, **call), weight)),
        [variable],
    )
    step = 1e-5 * along
    x = np.float64(x)
    expected = ((plain(x + step) - plain(x - step)) * weight).sum() / 2e-5
    found = np.float64(found[0])
    # Rounding of float32 in as many terms as there are numbers.
    scale = np.linalg.norm(found) * np.linalg.norm(along)
    assert abs((found * along).sum() - expected) <= 2e-6 * scale
    assert abs(expected) > 1e-3 * scale


def check_weight_gradients(layer, x, step=1e-2, tolerance=2e-2, **call):
    """Asserts that gradients of all weights are slopes of the output."""
    rng = np.random.default_rng(11)
    weight = rng.normal(size=x.shape).astype("float32")

    def loss():
        return ops.sum(ops.multiply(layer(x, **call), weight))

    weights = layer.trainable_weights
    _, gradients = harness.loss_and_gradients(loss, weights)
    start = [ops.convert_to_numpy(w) for w in weights]
    moves = [rng.normal(size=w.shape).astype("float32") for w in weights]
    slope = sum(float((g * m).sum()) for g, m in zip(gradients, moves))
    ends = []
    for sign in (step, -step):
        for w, value, move in zip(weights, start, moves):
            w.assign(value + sign * move)
        ends.append(float(ops.convert_to_numpy(loss())))
    for w, value in zip(weights, start):
        w.assign(value)
    measured = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(measured, slope, rtol=tolerance)
