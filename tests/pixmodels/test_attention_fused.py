"""Fused attention against the plain form; the routing between the two.

Where a backend has no kernel for this machine, keras computes the same call
in plain ops: then the masks, layouts and scale of the call are tested."""

import contextlib

import harness
import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels.attention import _fused
from pixmodels.layers._masked_softmax import masked_softmax

BACKEND = keras.backend.backend()
LENGTH, WIDTH, SIZE = 13, 24, 8


@pytest.fixture
def calls(monkeypatch):
    """A list that grows by one with each use of the fused form."""
    found, real = [], _fused.attend

    def attend(*args, **options):
        found.append(1)
        return real(*args, **options)

    monkeypatch.setattr(_fused, "attend", attend)
    return found


@contextlib.contextmanager
def _plain():
    keras.config.disable_flash_attention()
    try:
        yield
    finally:
        keras.config.enable_flash_attention()


def _case(**options):
    """A layer with every weight away from zero, inputs and a key mask."""
    rng = np.random.default_rng(3)
    layer = attention.get("softmax")(3, **options)
    layer.build((None, None, WIDTH))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.3)
    x = rng.normal(size=(2, LENGTH, WIDTH)).astype("float32")
    return layer, x, _mask(rng)


def _mask(rng, length=LENGTH):
    mask = rng.random((2, length)) < 0.7
    mask[:, 0] = True
    return mask


def _heads(length=LENGTH):
    """Queries, keys and values as variables."""
    rng = np.random.default_rng(7)
    shape = (2, 3, length, SIZE)
    return [keras.Variable(rng.normal(size=shape)) for _ in range(3)]


def _run(form, heads):
    """Outputs of `form`, and gradients of queries, keys and values."""
    target = np.linspace(-1, 1, SIZE, dtype="float32")
    found = []

    def loss():
        found[:] = [form(*map(ops.convert_to_tensor, heads))]
        return ops.sum(ops.square(ops.subtract(found[0], target)))

    _, gradients = harness.loss_and_gradients(loss, heads)
    if BACKEND == "jax":  # what it saw inside was no array
        loss()
    found = ops.convert_to_numpy(ops.stop_gradient(found[0]))
    # One key has weight 1 whatever the query: TensorFlow then gives None.
    gradients = [np.zeros(1) if g is None else g for g in gradients]
    return found, gradients


@pytest.mark.parametrize(
    ("causal", "masked", "length"),
    [
        (False, False, 13),
        (False, True, 13),
        (False, True, 12),
        (True, False, 13),
        (True, True, 13),
        (False, True, 1),
    ],
)
def test_equals_the_plain_form(causal, masked, length):
    heads, allowed = _heads(length), None
    if masked:
        mask = ops.convert_to_tensor(_mask(np.random.default_rng(3), length))
        allowed = mask[:, None, None]

    def plain(query, key, value):
        pairs = allowed
        if causal:
            past = ops.convert_to_tensor(np.tril(np.ones((length,) * 2, bool)))
            pairs = past if allowed is None else past & allowed
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2)) * SIZE**-0.5
        return ops.matmul(masked_softmax(logits, pairs), value)

    def fused(query, key, value):
        return _fused.attend(
            query, key, value, allowed, causal=causal, scale=SIZE**-0.5
        )

    expected, gradients = _run(plain, heads)
    found, ours = _run(fused, heads)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    for a, b in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(a, np.broadcast_to(b, a.shape), atol=1e-5)


def test_rows_in_which_nothing_is_attended():
    mask = np.stack([np.zeros(LENGTH, bool), np.ones(LENGTH, bool)])
    allowed = ops.convert_to_tensor(mask[:, None, None])
    found, gradients = _run(lambda *x: _fused.attend(*x, allowed), _heads())
    assert np.isfinite(found).all()
    assert np.isfinite(gradients).all()


def test_halves():
    layer, x, mask = _case(dtype="mixed_bfloat16")
    exact, _, _ = _case()
    with _plain():
        expected = ops.convert_to_numpy(exact(x, mask=mask))
    ours = layer(x, mask=mask)
    assert keras.backend.standardize_dtype(ours.dtype) == "bfloat16"
    ours = ops.convert_to_numpy(ops.cast(ours, "float32"))
    # 2**-8 of the largest number, for each of four products and three sums.
    np.testing.assert_allclose(
        ours, expected, rtol=0, atol=7 * 2**-8 * np.abs(expected).max()
    )


def test_where_it_is_used(calls):
    layer, x, mask = _case(dropout_rate=0.5, causal=True)
    fused = ops.convert_to_numpy(layer(x, mask=mask))
    count = len(calls)
    assert count == (BACKEND == "torch")
    with pixmodels.random.key_scope([1, 2], [3, 4]):
        layer(x, mask=mask, training=True)  # dropout needs the pairs
    weights = layer.attention_map(x, mask=mask)
    with _plain():
        plain = ops.convert_to_numpy(layer(x, mask=mask))
    assert len(calls) == count
    np.testing.assert_allclose(fused, plain, rtol=0, atol=1e-5)
    mixed = ops.matmul(weights, layer.split_heads(layer.value(x)))
    mixed = ops.convert_to_numpy(layer.output_dense(layer.merge_heads(mixed)))
    np.testing.assert_allclose(fused, mixed, rtol=0, atol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="kernels of jax")
def test_what_goes_to_cudnn(monkeypatch):
    half, single = (
        ops.zeros((2, 3, 13, 16), dtype) for dtype in ("bfloat16", "float32")
    )
    for device, expected in (("gpu:0", True), ("tpu:0", False)):
        monkeypatch.setattr(
            keras.distribution, "list_devices", lambda device=device: [device]
        )
        assert _fused.offered(half) is expected
        assert not _fused.offered(single)
        assert not _fused.offered(half[..., :13])
        assert not _fused.offered(half[None])
