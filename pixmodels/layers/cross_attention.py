import keras
from keras import ops

from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="pixmodels")
class CrossAttention(keras.layers.Layer):
    """Tokens of one sequence attend to those of another.

    Source: Vaswani et al. 2017, section 3.2.3, with biases.

    Args:
        num_heads: A; must divide the width D of the tokens that attend.
        dropout_rate: on the probabilities.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D), the tokens that attend.
        memory: (B, M, D'), those that are attended.
        mask: (B, M) bool, True = real; None means all are. Padding is not
            attended, whatever stands in it.
        training: bool.

    Returns:
        (B, N, D); the output's bias alone where nothing is real.

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.CrossAttention(num_heads=2)
        >>> x, memory = np.ones((3, 5, 8)), np.ones((3, 7, 6))
        >>> layer(x, memory).shape
        TensorShape([3, 5, 8])
    """

    def __init__(self, num_heads, *, dropout_rate=0.0, salt="", **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.salt = salt

    def build(self, x_shape, memory_shape):
        width = x_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                "Expected num_heads to divide the width of x. Received: "
                f"num_heads={self.num_heads}, width={width}."
            )
        self.query = self._dense(width, "query", width)
        self.key = self._dense(width, "key", memory_shape[-1])
        self.value = self._dense(width, "value", memory_shape[-1])
        self.output_dense = self._dense(width, "output", width)
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/probabilities",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def _dense(self, units, name, width):
        layer = keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, width))
        return layer

    def call(self, x, memory, mask=None, training=None):
        given = self.keys_and_values(memory, mask)
        return self.attend(x, given, training=training)

    def keys_and_values(self, memory, mask=None):
        """What `attend` needs of the other sequence, made once for it.

        Args:
            memory, mask: as a call.

        Returns:
            dict of tensors whose first axis is B.
        """
        memory = ops.cast(memory, self.compute_dtype)
        given = {}
        if mask is not None:
            mask = ops.cast(mask, "bool")
            # Products of zero and NaN would bring padding back.
            memory = ops.where(mask[..., None], memory, ops.zeros_like(memory))
            given["mask"] = mask
        given["key"] = self._split(self.key(memory))
        given["value"] = self._split(self.value(memory))
        return given

    def attend(self, x, given, training=None):
        """(B, N, D), for `given` of `keys_and_values`."""
        query = self._split(self.query(x))
        query = query * ops.cast(query.shape[-1] ** -0.5, query.dtype)
        logits = ops.matmul(query, ops.swapaxes(given["key"], -1, -2))
        allowed = None
        if "mask" in given:
            allowed = given["mask"][:, None, None]  # (B, 1, 1, M)
        weights = masked_softmax(logits, allowed)
        if allowed is not None:
            weights = ops.where(allowed, weights, ops.zeros_like(weights))
        weights = ops.cast(weights, self.compute_dtype)
        weights = self.dropout(weights, training=training)
        mixed = ops.matmul(weights, given["value"])  # (B, A, N, E)
        return self.output_dense(_heads.merged(mixed))

    def _split(self, x):
        """(B, N, D) -> (B, A, N, E)."""
        return _heads.split(x, self.num_heads)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, x_shape, memory_shape):
        return x_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
