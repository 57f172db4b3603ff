"""The Keras dtype policy of a block of code; the range of a loss scale."""

import contextlib

# Below this, it is not the range of float16 that gradients are too large for.
LEAST_LOSS_SCALE = 2.0**-24


@contextlib.contextmanager
def dtype_policy(name):
    """Sets the global Keras dtype policy inside a block.

    Args:
        name: `"float32"`, `"float64"`, or `"mixed_bfloat16"` and
            `"mixed_float16"` (weights stay float32).
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
