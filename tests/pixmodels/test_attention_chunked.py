"""Softmax attention by tiles against the form with all pairs at once."""

import json
import subprocess
import sys

import harness
import keras
import mixer_numbers
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels.attention import _chunked
from pixmodels.layers._masked_softmax import masked_softmax

BACKEND = keras.backend.backend()
SIZE = 7


@pytest.fixture
def plain_kernels():
    """No fused kernel while a test runs: torch would prefer its own."""
    keras.config.disable_flash_attention()
    yield
    keras.config.enable_flash_attention()


def _heads(length, dtype="float32"):
    rng = np.random.default_rng(7)
    shape = (2, 3, length, SIZE)
    return [
        keras.Variable(rng.normal(size=shape), dtype=dtype) for _ in range(3)
    ]


def _mask(length, share=0.6):
    mask = np.random.default_rng(11).random((2, length)) < share
    mask[:, 0] = True
    return mask


def _plain(mask, causal):
    def run(query, key, value):
        allowed = None
        if mask is not None:
            allowed = ops.convert_to_tensor(mask)[:, None, None]
        if causal:
            past = np.tri(query.shape[2], dtype=bool)
            past = ops.convert_to_tensor(past)
            allowed = past if allowed is None else past & allowed
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2)) * SIZE**-0.5
        weights = ops.cast(masked_softmax(logits, allowed), value.dtype)
        return ops.matmul(weights, value)

    return run


def _tiles(mask, causal, size):
    def run(query, key, value):
        given = None if mask is None else ops.convert_to_tensor(mask)
        options = {"causal": causal, "scale": SIZE**-0.5, "size": size}
        return _chunked.attend(query, key, value, given, **options)

    return run


def _compiled(form, jit):
    """A compiled function with outputs and gradients for results."""

    def squares(*heads):
        y = ops.cast(form(*heads), "float32")
        return ops.sum(ops.square(y)), y

    if BACKEND == "jax":
        import jax

        whole = jax.value_and_grad(squares, (0, 1, 2), has_aux=True)
        return jax.jit(lambda *x: (whole(*x)[0][1], *whole(*x)[1]))
    import tensorflow as tf

    def whole(*heads):
        with tf.GradientTape() as tape:
            tape.watch(heads)
            loss, y = squares(*heads)
        return y, *tape.gradient(loss, heads)

    return tf.function(whole, jit_compile=jit)


def _outputs_and_gradients(form, heads):
    """The output and the gradients of all three inputs, float32 numpy."""
    if BACKEND == "jax":  # each loop would be compiled by itself
        found = _compiled(form, True)(*map(ops.convert_to_tensor, heads))
        return [np.float32(x) for x in found]
    found = form(*map(ops.convert_to_tensor, heads))

    def loss():
        y = ops.cast(form(*map(ops.convert_to_tensor, heads)), "float32")
        return ops.sum(ops.square(y))

    _, gradients = harness.loss_and_gradients(loss, heads)
    # Of one key alone the weight is 1: TensorFlow then gives None.
    zero = np.zeros(1, "float32")
    gradients = [zero if g is None else np.float32(g) for g in gradients]
    found = ops.cast(ops.stop_gradient(found), "float32")
    return [ops.convert_to_numpy(found), *gradients]


@pytest.mark.parametrize(
    ("length", "size", "masked", "causal"),
    [
        (1, 5, False, False),
        (5, 5, True, False),
        (6, 2, False, True),
        (13, 5, False, False),
        (13, 5, True, False),
        (13, 5, False, True),
        (37, 16, True, True),
    ],
)
def test_equals_the_plain_form(length, size, masked, causal):
    heads, mask = _heads(length), _mask(length) if masked else None
    expected = _outputs_and_gradients(_plain(mask, causal), heads)
    found = _outputs_and_gradients(_tiles(mask, causal, size), heads)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, np.broadcast_to(b, a.shape), atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others: always so")
@pytest.mark.parametrize(("causal", "jit"), [(False, False), (True, True)])
def test_compiled(causal, jit):
    heads = [ops.convert_to_tensor(x) for x in _heads(13)]
    expected = _compiled(_plain(_mask(13), causal), jit)(*heads)
    found = _compiled(_tiles(_mask(13), causal, 5), jit)(*heads)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_rows_in_which_nothing_is_attended():
    mask = np.stack([np.zeros(13, bool), np.ones(13, bool)])
    expected = _outputs_and_gradients(_plain(mask, False), _heads(13))
    found = _outputs_and_gradients(_tiles(mask, False, 5), _heads(13))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    late = np.arange(13) >= np.array([[11], [3]])  # the first rows see none
    found = _outputs_and_gradients(_tiles(late, True, 5), _heads(13))
    assert all(np.isfinite(a).all() for a in found)


@pytest.mark.parametrize("causal", [False, True])
def test_huge_logits(causal):
    """Rows whose maximum grows from tile to tile, beyond exp's range."""
    heads = _heads(13)
    heads[1].assign(
        ops.convert_to_numpy(heads[1].value)
        * np.linspace(1, 300, 13, dtype="float32")[:, None]
    )
    expected = _outputs_and_gradients(_plain(None, causal), heads)
    found = _outputs_and_gradients(_tiles(None, causal, 5), heads)
    for a, b in zip(found, expected, strict=True):
        # The logits, up to 1e3, are exact to 1e3 * 2**-24, and so, relative
        # to their own size, are the weights and all that is made of them.
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * scale)


def test_halves():
    halves, same = _heads(37, "bfloat16"), _heads(37)
    for rounded, exact in zip(halves, same, strict=True):
        exact.assign(ops.cast(rounded.value, "float32"))
    expected = _outputs_and_gradients(_plain(_mask(37), True), same)
    found = _outputs_and_gradients(_tiles(_mask(37), True, 16), halves)
    for a, b in zip(found, expected, strict=True):
        # Eight roundings by 2**-8 lie between a query and its gradient:
        # logits, weights, output and the gradient that comes in, its product
        # with the values, slopes, their product with the keys, the result.
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * 2**-8 * scale)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="doubles are rare")
def test_doubles():
    heads = [ops.convert_to_tensor(x) for x in _heads(13, "float64")]
    found, expected = _tiles(None, False, 5), _plain(None, False)
    found, expected = found(*heads), expected(*heads)
    assert found.dtype == "float64"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rotary", [None, 100.0])
def test_layer(causal, rotary, monkeypatch):
    """The layer by tiles is the layer at once, in a training step too."""
    calls, real = [], _chunked.attend

    def attend(*args, **options):
        calls.append(options["size"])
        return real(*args, **options)

    monkeypatch.setattr(_chunked, "attend", attend)
    options = {"causal": causal, "rotary": rotary, "head_dim": 8}
    x = np.random.default_rng(3).normal(size=(2, 23, 15)).astype("float32")
    mask = np.arange(23) < np.array([[23], [17]])

    def results(chunk):
        layer = mixer_numbers.made("softmax", chunk=chunk, **options)

        def loss():
            y = layer(x, mask=mask, prefix=2, training=True)
            return ops.mean(ops.square(y))

        value, gradients = harness.loss_and_gradients(
            loss, layer.trainable_weights
        )
        return [value, *gradients]

    expected = results(None)
    assert not calls
    found = results(11)
    assert set(calls) == {11}
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("plain_kernels")
def test_when_it_is_used(monkeypatch):
    used = []

    def attend(query, *args, size, **options):
        used.append(size)
        return query

    monkeypatch.setattr(_chunked, "attend", attend)
    layer = attention.get("softmax")(1, head_dim=1, dropout_rate=0.5)
    assert layer.chunk == "auto"
    short, long = (np.ones((1, n, 1), "float32") for n in (4095, 4096))
    layer(long)
    assert used == [512]
    attention.get("softmax")(1, chunk=5)(short[:, :5])
    attention.get("softmax")(1, chunk=None)(short[:, :7])
    layer(short[:, :7])
    with pixmodels.random.key_scope([1, 2], [3]):
        attention.get("softmax")(1, chunk=5, dropout_rate=0.5)(
            short[:, :7], training=True
        )
    assert used == [512]
    attention.get("softmax")(1, chunk=5)(short[:, :7])
    assert used == [512, 5]


def test_what_cannot_be_is_refused():
    for chunk in (0, 2.5, "none"):
        with pytest.raises(ValueError, match=f"chunk={chunk!r}"):
            attention.get("softmax")(3, chunk=chunk)


# Prints how many kilobytes a step takes at most beyond what is there before.
_STEP = """
import resource, sys
import numpy as np
import tensorflow as tf
from pixmodels import attention

length, chunk = int(sys.argv[1]), {"tiles": "auto", "pairs": None}[sys.argv[2]]
layer = attention.get("softmax")(1, chunk=chunk)
layer.build((None, length, 64))

@tf.function
def step(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.square(layer(x)))
    return tape.gradient(loss, [x, *[w.value for w in layer.weights]])

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

x = tf.constant(np.ones((1, length, 64), "float32"))
before = most()
step(x)
print(most() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="measured on one backend")
def test_memory_of_a_step():
    def kilobytes(form):
        command = [sys.executable, "-c", _STEP, "16384", form]
        return json.loads(subprocess.check_output(command))

    pairs = kilobytes("pairs")
    assert pairs > 2 * 16384**2 * 4 / 1024  # logits and weights at least
    assert kilobytes("tiles") < pairs / 8
