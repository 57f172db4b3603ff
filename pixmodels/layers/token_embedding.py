import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.layers._sinusoids import sinusoids
from pixmodels.layers.dropout import Dropout

POSITIONS = ("sinusoid", "learned", "none")


@keras.saving.register_keras_serializable(package="pixmodels")
class TokenEmbedding(keras.layers.Layer):
    """Vectors of tokens (bytes, words, letters) with their positions.

    Source: Vaswani et al. 2017, sections 3.4 and 3.5.

    Args:
        vocabulary_size: V, ids are 0, ..., V - 1.
        hidden_dim: D.
        positions: "sinusoid" (any length), "learned" or "none" (for mixers
            that know the order themselves).
        max_length: rows of the learned table.
        scale: whether vectors are multiplied by the root of D.
        dropout_rate: after the sum.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        ids: (B, N) ints.
        training: bool.

    Returns:
        (B, N, D).

    Raises:
        ValueError: for another kind of positions, learned positions without
            `max_length`, or a sequence that is longer.

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.TokenEmbedding(11, 8)
        >>> layer(np.array([[3, 5, 7]])).shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        *,
        positions="sinusoid",
        max_length=None,
        scale=False,
        dropout_rate=0.0,
        salt="tokens",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if positions not in POSITIONS:
            raise ValueError(
                f"Expected positions to be one of {POSITIONS}. Received: "
                f"positions={positions!r}."
            )
        if positions == "learned" and not max_length:
            raise ValueError(
                "Expected max_length for learned positions. Received: "
                f"max_length={max_length}."
            )
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.positions = positions
        self.max_length = max_length
        self.scale = scale
        self.dropout_rate = dropout_rate
        self.salt = salt

    def build(self, input_shape=None):
        # Scaled vectors begin with unit variance, as those of positions.
        deviation = self.hidden_dim**-0.5 if self.scale else 0.02
        normal = keras.initializers.RandomNormal(stddev=deviation)
        self.table = self.add_weight(
            name="table",
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=normal,
        )
        if self.positions == "learned":
            self.position_table = self.add_weight(
                name="position_table",
                shape=(self.max_length, self.hidden_dim),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/embedding",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def call(self, ids, training=None):
        if len(ids.shape) != 2:
            raise ValueError(
                f"Expected ids of shape (B, N). Received: ids.shape="
                f"{tuple(ids.shape)}."
            )
        length = ids.shape[1]
        if self.max_length and length is not None and length > self.max_length:
            raise ValueError(
                f"Expected at most max_length={self.max_length} tokens. "
                f"Received: ids.shape={tuple(ids.shape)}."
            )
        x = self._embedded(ids)
        if self.positions != "none":
            x = x + self._places(ops.arange(ops.shape(ids)[1], dtype="int32"))
        return self.dropout(x, training=training)

    def step(self, ids, index):
        """The vectors (B, D) of the tokens (B,) at one position.

        Args:
            ids: (B,) ints.
            index: int or int scalar tensor, the position from 0.
        """
        x = self._embedded(ids)
        if self.positions != "none":
            x = x + self._places(ops.cast(index, "int32"))
        return x

    def _embedded(self, ids):
        table = ops.cast(self.table, self.compute_dtype)
        x = ops.take(table, ops.cast(ids, "int32"), axis=0)
        return x * ops.cast(self.hidden_dim**0.5, x.dtype) if self.scale else x

    def _places(self, places):
        if self.positions == "learned":
            rows = ops.take(self.position_table, places, axis=0)
        else:
            rows = sinusoids(places, self.hidden_dim)
        return ops.cast(rows, self.compute_dtype)

    def logits(self, x):
        """Scores of all tokens by the same table, at least float32.

        Args:
            x: (..., D).

        Returns:
            (..., V), products with the rows of the table.
        """
        table = ops.transpose(ops.cast(self.table, self.compute_dtype))
        logits = ops.matmul(ops.cast(x, self.compute_dtype), table)
        return at_least_float32(logits)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.hidden_dim)

    def get_config(self):
        config = super().get_config()
        config.update(
            vocabulary_size=self.vocabulary_size,
            hidden_dim=self.hidden_dim,
            positions=self.positions,
            max_length=self.max_length,
            scale=self.scale,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
