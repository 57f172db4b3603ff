import keras
from keras import ops

from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax


@keras.saving.register_keras_serializable(package="pixmodels")
class AttentionPooling(keras.layers.Layer):
    """One vector from many: a learned query attends to them (PMA).

    `o = q + attention(q, k, v)`, then `o + relu(W o + b)`, where q is the
    projection of a learned vector. Logits are divided by the root of the whole
    width D, not of a head's.

    Source: Lee et al. 2019, "Set Transformer", eqs. 6 to 11 with one seed and
    without LayerNorm; xplip/pixel `pooling.py` (`PMA`). Difference: there,
    keys of padding are set to zero instead of being left out, so that padding
    takes part with logit 0 and its values reach the result;
    `leaky=True` does the same.

    Args:
        num_heads: A; must divide the width D.
        leaky: whether padding takes part, as in PIXEL.

    Call arguments:
        x: (B, N, D) floating point.
        mask: (B, N) bool, True = real; None means all are.

    Returns:
        (B, D).

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:
        >>> import numpy as np
        >>> pool = pixmodels.layers.AttentionPooling(num_heads=2)
        >>> pool(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 8])
    """

    def __init__(self, num_heads, *, leaky=False, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.leaky = leaky
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                "Expected num_heads to divide the width of the input. "
                f"Received: num_heads={self.num_heads}, width={width}."
            )
        self.seed = self.add_weight(
            name="seed",
            shape=(1, 1, width),
            initializer=keras.initializers.GlorotUniform(),
        )
        self.query = self._dense(width, "query")
        self.key = self._dense(width, "key")
        self.value = self._dense(width, "value")
        self.output_dense = self._dense(width, "output")
        self.built = True

    def _dense(self, width, name):
        layer = keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, width))
        return layer

    def call(self, x, mask=None):
        query = self.query(ops.cast(self.seed, self.compute_dtype))
        key, value = self.key(x), self.value(x)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            if self.leaky:
                key = ops.where(mask[..., None], key, ops.zeros_like(key))
        width = key.shape[-1]
        scaled = _heads.split(query, self.num_heads) * ops.cast(
            width**-0.5, query.dtype
        )
        key = ops.transpose(_heads.split(key, self.num_heads), (0, 1, 3, 2))
        allowed = None
        if mask is not None and not self.leaky:
            allowed = mask[:, None, None]
        # (B, A, 1, N)
        weights = masked_softmax(ops.matmul(scaled, key), allowed)
        weights = ops.cast(weights, self.compute_dtype)
        mixed = ops.matmul(weights, _heads.split(value, self.num_heads))
        mixed = ops.reshape(mixed, (-1, width))  # one query: heads side by side
        pooled = query[:, 0] + mixed
        return pooled + ops.relu(self.output_dense(pooled))

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        config.update(num_heads=self.num_heads, leaky=self.leaky)
        return config
