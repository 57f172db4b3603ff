"""The dtype of sums and of what must not be rounded; nothing else."""

import keras
from keras import ops


def at_least_float32(x):
    """`x` as float32, or as it is if it is float64."""
    x = ops.convert_to_tensor(x)
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return x
    return ops.cast(x, "float32")
