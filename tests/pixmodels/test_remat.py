"""Rematerialised blocks: the same gradients, from the same dropout."""

import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import random
from pixmodels.layers import TransformerStack
from pixmodels.remat import remat_scope
from pixmodels.remat import rematerialized

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.GradientTape"
)


def gradients(stack, x, active, key, calls=None):
    """dict of gradients of a scalar of the stack's output, and the output."""
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def run(x):
        with tf.GradientTape() as tape, remat_scope(active):
            tape.watch(x)
            with random.key_scope(key, np.arange(3)):
                y = stack(x, training=True)
            loss = ops.sum(ops.square(y) * ops.cast(ops.arange(7), "float32"))
        return y, tape.gradient(loss, [x, *stack.trainable_variables])

    y, found = run(ops.convert_to_tensor(x))
    return [np.asarray(y), *map(np.asarray, found)]


@pytest.mark.slow
@needs_tensorflow
def test_same_gradients_and_dropout():
    keras.utils.set_random_seed(3)
    stack = TransformerStack(2, 1, 11, dropout_rate=0.5, attention_dropout=0.3)
    x = np.random.default_rng(5).normal(size=(3, 5, 7)).astype("float32")
    stack.build(x.shape)
    plain = gradients(stack, x, False, [1, 2])
    again = gradients(stack, x, True, [1, 2])
    for a, b in zip(plain, again):
        # The forward pass is fused otherwise: a few units in the last place.
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
    other = gradients(stack, x, True, [1, 3])
    assert abs(other[0] - again[0]).max() > 1e-3  # dropout was there


@needs_tensorflow
def test_blocks_are_called_again_for_gradients():
    import tensorflow as tf

    calls, scopes = [], []

    class Block(keras.layers.Layer):
        def call(self, x, factor):
            calls.append(factor)
            scopes.append(ops.convert_to_numpy(random.scope_key()).tolist())
            return ops.square(x) * factor

    x = tf.constant([3.0])
    for active, expected in ((False, 1), (True, 2)):
        calls.clear()
        with tf.GradientTape() as tape, remat_scope(active):
            tape.watch(x)
            with random.key_scope([5, 7], [0]):
                y = rematerialized(Block())(x, factor=2.0)
        assert tape.gradient(y, x).numpy() == [12.0]
        assert calls == [2.0] * expected
    # The second call stands in the key scope of the first.
    assert scopes == [[5, 7]] * 3


def test_only_in_training_and_in_the_scope():
    layer = keras.layers.Identity()
    assert rematerialized(layer) is layer
    with pixmodels.remat.remat_scope():
        assert rematerialized(layer, training=False) is layer
        assert rematerialized(layer) is not layer
        with remat_scope(False):
            assert rematerialized(layer) is layer
