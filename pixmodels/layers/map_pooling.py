import keras
from keras import ops

from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.layers.transformer_block import activation


@keras.saving.register_keras_serializable(package="pixmodels")
class MAPPooling(keras.layers.Layer):
    """Multihead attention pooling of Vision Transformers (MAP).

    A learned probe attends to the tokens: `x = attention(probe, tokens)`, then
    `x + mlp(norm(x))`; the probe itself is not added.

    Source: Zhai et al. 2022, "Scaling Vision Transformers", section 3.2;
    google-research/big_vision `models/vit.py` (`MAPHead`), whose MLP has the
    tanh GELU.

    Args:
        num_heads: A; must divide the width D.
        mlp_dim: width of the MLP's hidden layer; 4 D by default.
        layer_norm_epsilon: of the LayerNorm.
        activation: "gelu_approximate" (big_vision's), "gelu" (exact), "relu"
            or "silu".

    Call arguments:
        x: (B, N, D) floating point.
        mask: (B, N) bool, True = real; None means all are.

    Returns:
        (B, D).

    Raises:
        ValueError: if `num_heads` does not divide D, or for an unknown
            activation.

    Example:
        >>> import numpy as np
        >>> pool = pixmodels.layers.MAPPooling(num_heads=2)
        >>> pool(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 8])
    """

    def __init__(
        self,
        num_heads,
        *,
        mlp_dim=None,
        layer_norm_epsilon=1e-6,
        activation="gelu_approximate",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.layer_norm_epsilon = layer_norm_epsilon
        self.activation = activation
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                "Expected num_heads to divide the width of the input. "
                f"Received: num_heads={self.num_heads}, width={width}."
            )
        self._activation = activation(self.activation)
        hidden = self.mlp_dim or 4 * width
        self.probe = self.add_weight(
            name="probe",
            shape=(1, 1, width),
            initializer=keras.initializers.GlorotUniform(),
        )
        self.query = self._dense(width, width, "query")
        self.key = self._dense(width, width, "key")
        self.value = self._dense(width, width, "value")
        self.output_dense = self._dense(width, width, "output")
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon,
            name="norm",
            dtype=self.dtype_policy,
        )
        self.norm.build((None, width))
        self.dense_1 = self._dense(width, hidden, "dense_1")
        self.dense_2 = self._dense(hidden, width, "dense_2")
        self.built = True

    def _dense(self, inputs, units, name):
        layer = keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, inputs))
        return layer

    def call(self, x, mask=None):
        probe = ops.cast(self.probe, self.compute_dtype)
        query = _heads.split(self.query(probe), self.num_heads)
        query = query * ops.cast(query.shape[-1] ** -0.5, query.dtype)
        key = ops.transpose(
            _heads.split(self.key(x), self.num_heads), (0, 1, 3, 2)
        )
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, None, None]
        weights = masked_softmax(ops.matmul(query, key), mask)  # (B, A, 1, N)
        weights = ops.cast(weights, self.compute_dtype)
        mixed = ops.matmul(weights, _heads.split(self.value(x), self.num_heads))
        # One query: its heads stand side by side.
        pooled = self.output_dense(ops.reshape(mixed, (-1, x.shape[-1])))
        hidden = self._activation(self.dense_1(self.norm(pooled)))
        return pooled + self.dense_2(hidden)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            mlp_dim=self.mlp_dim,
            layer_norm_epsilon=self.layer_norm_epsilon,
            activation=self.activation,
        )
        return config
