"""A pre-norm block of causal attention at given places, in one layer.

Here: attention of latents to inputs, or to themselves, with rotary positions.
Not here: which inputs there are (`perceiver_ar_stack`)."""

import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.transformer_block import activation


def rotary_table(length, features, base):
    """Cosines and sines of places: two of (length, features / 2) float32."""
    turns = float(base) ** (-np.arange(0, features, 2) / max(features, 1))
    angles = np.arange(length)[:, None] * turns  # float64
    return np.cos(angles).astype("float32"), np.sin(angles).astype("float32")


def turned(heads, cos, sin):
    """Heads whose first features are turned by halves.

    Args:
        heads: (B, A, N, E).
        cos, sin: (N, R / 2) or (B, N, R / 2); feature i < R / 2 turns with
            feature R / 2 + i. The features from R on stay.
    """
    half = cos.shape[-1]
    if not half:
        return heads
    x = at_least_float32(heads)
    if len(cos.shape) == 3:
        cos, sin = cos[:, None], sin[:, None]
    cos, sin = ops.cast(cos, x.dtype), ops.cast(sin, x.dtype)
    first, second = x[..., :half], x[..., half : 2 * half]
    parts = [first * cos - second * sin, second * cos + first * sin]
    if 2 * half < x.shape[-1]:
        parts.append(x[..., 2 * half :])
    return ops.cast(ops.concatenate(parts, axis=-1), heads.dtype)


@keras.saving.register_keras_serializable(package="pixmodels")
class LatentBlock(keras.layers.Layer):
    """`x + attention(norm(x), keys)`, then `x + mlp(norm(x))`.

    Args:
        num_heads, mlp_dim, head_dim, dropout_rate, attention_dropout,
        layer_norm_epsilon, activation, salt: as `PerceiverARStack`.
        cross: whether keys come from other inputs, with a norm of their own.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        head_dim=None,
        cross=False,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="gelu",
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.head_dim = head_dim
        self.cross = cross
        self.dropout_rate = dropout_rate
        self.attention_dropout = attention_dropout
        self.layer_norm_epsilon = layer_norm_epsilon
        self.activation = activation
        self.salt = salt

    def build(self, input_shape):
        width = input_shape[-1]
        self._activation = activation(self.activation)
        self.head_size = _heads.size(self.num_heads, self.head_dim, input_shape)
        inner = self.num_heads * self.head_size
        norms = ("norm_1", "norm_2", *(["norm_keys"] if self.cross else []))
        for name in norms:
            layer = keras.layers.LayerNormalization(
                epsilon=self.layer_norm_epsilon,
                name=name,
                dtype=self.dtype_policy,
            )
            layer.build((None, None, width))
            setattr(self, name, layer)
        for name, units, source in (
            ("query", inner, width),
            ("key", inner, width),
            ("value", inner, width),
            ("output_dense", width, inner),
            ("dense_1", self.mlp_dim, width),
            ("dense_2", width, self.mlp_dim),
        ):
            layer = keras.layers.Dense(
                units,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
                name=name.removesuffix("_dense"),
                dtype=self.dtype_policy,
            )
            layer.build((None, None, source))
            setattr(self, name, layer)
        for name, rate in (
            ("probabilities", self.attention_dropout),
            ("dropout_1", self.dropout_rate),
            ("dropout_2", self.dropout_rate),
        ):
            salt = f"{self.salt}/{name}"
            layer = Dropout(rate, salt=salt, name=name, dtype=self.dtype_policy)
            setattr(self, name, layer)
        self.built = True

    def split_heads(self, x):
        """(B, N, A * E) -> (B, A, N, E)."""
        return _heads.split(x, self.num_heads)

    def keys_and_values(self, inputs, turns):
        """Keys, turned, and values of inputs (B, N, D): (B, A, N, E) each."""
        norm = self.norm_keys if self.cross else self.norm_1
        x = norm(inputs)
        key = turned(self.split_heads(self.key(x)), *turns)
        return key, self.split_heads(self.value(x))

    def call(self, x, key, value, allowed, turns, training=None):
        query = self.split_heads(self.query(self.norm_1(x)))
        query = turned(query, *turns)
        query = query * ops.cast(self.head_size**-0.5, query.dtype)
        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = masked_softmax(logits, allowed)
        weights = ops.cast(weights, value.dtype)
        weights = self.probabilities(weights, training=training)
        mixed = _heads.merged(ops.matmul(weights, value))
        mixed = self.output_dense(mixed)
        x = x + self.dropout_1(mixed, training=training)
        hidden = self._activation(self.dense_1(self.norm_2(x)))
        return x + self.dropout_2(self.dense_2(hidden), training=training)

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return input_shape

    def get_config(self):
        config = super().get_config()
        names = (
            "num_heads mlp_dim head_dim cross dropout_rate attention_dropout "
            "layer_norm_epsilon activation salt"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        return config
