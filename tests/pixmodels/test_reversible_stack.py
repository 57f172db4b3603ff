"""Reversible blocks: plain gradients, and memory that depth does not need."""

import gc
import weakref

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import random
from pixmodels.layers import ReversibleStack
from pixmodels.layers import TransformerStack

REFORMER = {
    "attention": "reformer",
    "attention_options": {"chunk": 3, "num_buckets": 4},
}


def made(cls=ReversibleStack, layers=3, **options):
    keras.utils.set_random_seed(3)
    stack = cls(layers, 3, 17, **options)
    stack.build((None, None, 15))
    rng = np.random.default_rng(5)
    for weight in stack.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape) * 0.1)
    return stack


def plain(stack, x, **call):
    """The two streams without a gradient of their own."""
    first = second = x
    for block in stack.blocks:
        first = first + block.attention_branch(second, **call)
        second = second + block.mlp_branch(first, training=call["training"])
    return stack.norm(0.5 * (first + second))


@pytest.mark.parametrize(
    "options",
    [{}, REFORMER, {"dropout_rate": 0.3, "drop_path_rate": 0.2}],
    ids=["softmax", "reformer", "dropout"],
)
def test_outputs_and_gradients_are_the_plain_ones(options):
    stack = made(**options)
    rng = np.random.default_rng(3)
    x = keras.Variable(rng.normal(size=(2, 11, 15)).astype("float32"))
    mask = np.arange(11) < np.array([[11], [7]])
    weight = ops.convert_to_tensor(rng.normal(size=(2, 11, 15)), "float32")
    call = {"mask": mask, "prefix": 1, "training": True}
    variables = [x, *stack.trainable_weights]

    def loss(function):
        def run():
            with random.key_scope([3, 5], [7, 11]):
                return ops.sum(function(ops.convert_to_tensor(x)) * weight)

        return run

    value, found = harness.loss_and_gradients(
        loss(lambda x: stack(x, **call)), variables
    )
    other, expected = harness.loss_and_gradients(
        loss(lambda x: plain(stack, x, **call)), variables
    )
    assert abs(value - other) < 1e-4 * max(1, abs(other))
    for a, b, variable in zip(found, expected, variables, strict=True):
        # Roundings of inputs computed back through six branches.
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(
            a, b, rtol=0, atol=3e-5 * scale, err_msg=variable.path
        )


@pytest.mark.slow
def test_compiled():
    stack = made(**REFORMER)
    x = np.random.default_rng(3).normal(size=(2, 11, 15)).astype("float32")
    weights = stack.trainable_weights

    def loss(x):
        return ops.sum(ops.square(stack(x, training=True)))

    _, expected = harness.loss_and_gradients(lambda: loss(x), weights)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def gradients(x):
            with tf.GradientTape() as tape:
                value = loss(x)
            return tape.gradient(value, [w.value for w in weights])

        run = harness.compiled(gradients, True)
        found = run(ops.convert_to_tensor(x))
    elif keras.backend.backend() == "jax":
        import jax

        def function(values, x):
            mapping = list(zip(weights, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return loss(x)

        found = jax.jit(jax.grad(function))([w.value for w in weights], x)
    else:
        pytest.skip("torch compiles nothing")
    for a, b in zip(found, expected, strict=True):
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-5 * scale)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="values of a trace live on"
)
@pytest.mark.parametrize("cls", [ReversibleStack, TransformerStack])
def test_nothing_inside_is_kept(cls):
    stack, alive = made(cls), []
    for block in stack.blocks:

        def record(x, inner=block._activation):
            y = inner(x)
            alive.append(weakref.ref(y))
            return y

        block._activation = record
    x = np.ones((2, 11, 15), "float32")
    seen = []

    def loss():
        value = ops.sum(ops.square(stack(x, training=True)))
        gc.collect()
        seen.append(sum(r() is not None for r in alive))
        return value

    harness.loss_and_gradients(loss, stack.trainable_weights)
    assert seen == [0 if cls is ReversibleStack else 3]
    # The reversible ones were computed once more for their gradients.
    assert len(alive) == (6 if cls is ReversibleStack else 3)


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="jax tells what a step needs"
)
def test_memory_does_not_grow_with_depth():
    import jax

    def temporary(cls, layers):
        stack = made(cls, layers)
        weights = stack.trainable_weights

        def loss(values, x):
            mapping = list(zip(weights, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return ops.sum(ops.square(stack(x, training=True)))

        x = np.ones((2, 211, 15), "float32")
        lowered = jax.jit(jax.grad(loss)).lower([w.value for w in weights], x)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    few, many = (temporary(ReversibleStack, n) for n in (2, 7))
    assert many < 1.3 * few
    few, many = (temporary(TransformerStack, n) for n in (2, 7))
    assert many > 2 * few


def test_mixed_precision_keeps_streams_in_float32():
    x = np.random.default_rng(3).normal(size=(2, 11, 15)).astype("float32")
    exact = ops.convert_to_numpy(made()(x))
    stack = made(dtype="mixed_bfloat16")

    def loss():
        return ops.sum(ops.cast(stack(x, training=True), "float32"))

    _, found = harness.loss_and_gradients(loss, stack.trainable_weights)
    assert all(np.isfinite(g).all() for g in found)
    y = stack(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    y = ops.convert_to_numpy(ops.cast(y, "float32"))
    # bfloat16 keeps 8 bits: 2**-8 a product, about sixteen in a row.
    assert np.abs(y - exact).max() < 0.06 * np.abs(exact).max()


def test_config_and_errors():
    stack = made(dropout_rate=0.1, attention_dropout=0.2)
    config = stack.get_config()
    assert ReversibleStack.from_config(config).get_config() == config
    x = np.ones((2, 3, 15), "float32")
    stack(x)
    with pytest.raises(ValueError, match="key_scope.*'dropout_rate': 0.1"):
        stack(x, training=True)
    with pytest.raises(ValueError, match="num_layers=0"):
        ReversibleStack(0, 3, 17)
