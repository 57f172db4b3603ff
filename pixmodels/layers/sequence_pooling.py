import keras
from keras import ops

from pixmodels._precision import at_least_float32

POOLINGS = ("first", "mean", "max", "mean_max", "last")
# Below any activation, finite so that a row without real tokens stays finite.
_LOW = -1e9


@keras.saving.register_keras_serializable(package="pixmodels")
class SequencePooling(keras.layers.Layer):
    """One vector from the real tokens of a sequence, through `tanh(W v + b)`.

    Source: BERT's pooled output ("first"); the five ways of `Encoder` in
    `models/BertTransformer.py` of the three-level transformer for clinical
    notes. Difference: there "first" and "last" are the ends of the padded
    sequence and padding takes part in means; here only real tokens do, and a
    sequence without any gives zeros.

    Args:
        pooling: "first", "mean", "max", "mean_max" (both, side by side) or
            "last".
        hidden_dim: width of the result; the input's by default.

    Call arguments:
        x: (B, N, D) floating point.
        mask: (B, N) bool, True = real; None means all are.
        prefix: int, tokens in front (class, registers): "first" takes the
            first of them, the other ways leave them out.

    Returns:
        (B, hidden_dim).

    Raises:
        ValueError: for another `pooling`, or a sequence of no tokens.

    Example:
        >>> import numpy as np
        >>> pool = pixmodels.layers.SequencePooling("mean_max")
        >>> pool(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 8])
    """

    def __init__(self, pooling="first", *, hidden_dim=None, **kwargs):
        super().__init__(**kwargs)
        if pooling not in POOLINGS:
            raise ValueError(
                f"Expected pooling to be one of {POOLINGS}. Received: "
                f"pooling={pooling!r}."
            )
        self.pooling = pooling
        self.hidden_dim = hidden_dim
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        self.dense = keras.layers.Dense(
            self.hidden_dim or width,
            activation="tanh",
            name="dense",
            dtype=self.dtype_policy,
        )
        pooled = width * (2 if self.pooling == "mean_max" else 1)
        self.dense.build((None, pooled))
        self.built = True

    def call(self, x, mask=None, prefix=0):
        if x.shape[1] is not None and x.shape[1] <= prefix:
            raise ValueError(
                "Expected a sequence of at least one token. Received: "
                f"x.shape={tuple(x.shape)}, prefix={prefix}."
            )
        if mask is None:
            mask = ops.ones(ops.shape(x)[:2], "bool")
        mask = ops.cast(mask, "bool")[:, prefix:]
        real = ops.any(mask, axis=1, keepdims=True)
        if prefix and self.pooling == "first":
            pooled = x[:, 0]
        else:
            pooled = self._pooled(x[:, prefix:], mask)
        pooled = ops.where(real, pooled, ops.zeros_like(pooled))
        pooled = self.dense(ops.cast(pooled, self.compute_dtype))
        return ops.where(real, pooled, ops.zeros_like(pooled))

    def _pooled(self, x, mask):
        if self.pooling in ("first", "last"):
            return _end(x, mask, self.pooling == "last")
        x, mask = at_least_float32(x), mask[..., None]
        parts = []
        if "mean" in self.pooling:
            total = ops.sum(ops.where(mask, x, ops.zeros_like(x)), axis=1)
            count = ops.sum(ops.cast(mask, x.dtype), axis=1)
            parts.append(total / ops.maximum(count, 1))
        if "max" in self.pooling:
            low = ops.full_like(x, _LOW)
            parts.append(ops.max(ops.where(mask, x, low), axis=1))
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.hidden_dim or input_shape[-1])

    def get_config(self):
        config = super().get_config()
        config.update(pooling=self.pooling, hidden_dim=self.hidden_dim)
        return config


def _end(x, mask, last):
    """The first or the last real token, (B, D)."""
    place = ops.arange(ops.shape(x)[1], dtype="int32")[None]
    if last:
        place = ops.max(ops.where(mask, place, 0), axis=1)
    else:
        place = ops.argmax(ops.cast(mask, "int32"), axis=1)
    return ops.take_along_axis(x, place[:, None, None], axis=1)[:, 0]
