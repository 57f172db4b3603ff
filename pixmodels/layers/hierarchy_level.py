import keras
from keras import ops

from pixmodels.layers import _stacked
from pixmodels.layers._sinusoids import sinusoids
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.post_norm_block import PostNormBlock
from pixmodels.layers.sequence_pooling import SequencePooling


@keras.saving.register_keras_serializable(package="pixmodels")
class HierarchyLevel(keras.layers.Layer):
    """One level of a hierarchy: vectors of the parts to a vector of the whole.

    Sinusoids are added to the vectors (Vaswani et al. 2017, section 3.5; the
    vectors are not scaled), post-norm blocks mix them, and a pooling with a
    tanh layer makes one vector. Padded parts are not attended, whatever stands
    in them.

    Source: `Encoder` in `models/BertTransformer.py` of the three-level
    transformer for clinical notes, which attends to padding.

    Args:
        num_layers, num_heads, mlp_dim: ints.
        pooling: as `SequencePooling`.
        positions: False leaves the sinusoids out.
        attention, attention_options: the mixer, as `TransformerBlock`.
        dropout_rate: after the positions and on branch outputs.
        attention_dropout, layer_norm_epsilon, activation: as
            `TransformerBlock`.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D) floating point, vectors of the N parts.
        mask: (B, N) bool, True = real part; None means all are.
        training: bool.

    Returns:
        (B, D); zeros for a whole without a real part.

    Raises:
        ValueError: for no parts at all (N = 0), or an unknown pooling.

    Example:
        >>> import numpy as np
        >>> level = pixmodels.layers.HierarchyLevel(1, 2, 16)
        >>> level(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 8])
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        pooling="first",
        positions=True,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="relu",
        salt="level",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_layers = num_layers
        self.pooling = pooling
        self.positions = positions
        self.salt = salt
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention=attention,
            attention_options=dict(attention_options or {}),
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
        )

    def build(self, input_shape):
        shape = (None, *tuple(input_shape)[1:])
        config = self._block_config
        self.dropout = Dropout(
            config["dropout_rate"],
            salt=f"{self.salt}/positions",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.blocks = _stacked.blocks(
            self, PostNormBlock, self.num_layers, config
        )
        self.pool = SequencePooling(
            self.pooling, name="pool", dtype=self.dtype_policy
        )
        for layer in (*self.blocks, self.pool):
            layer.build(shape)
        self.built = True

    def call(self, x, mask=None, training=None):
        if x.shape[1] == 0:
            raise ValueError(
                "Expected at least one part. Received: "
                f"x.shape={tuple(x.shape)}."
            )
        if mask is not None:
            mask = ops.cast(mask, "bool")
            # Products of zero and NaN would bring padding back.
            x = ops.where(mask[..., None], x, ops.zeros_like(x))
        if self.positions:
            places = ops.arange(ops.shape(x)[1])
            x = x + ops.cast(sinusoids(places, x.shape[-1]), x.dtype)
        x = self.dropout(x, training=training)
        state = _stacked.initial_state(self, x)
        for block in self.blocks:
            if state is None:
                x = block(x, mask=mask, training=training)
            else:
                x, state = block(x, mask=mask, state=state, training=training)
        return self.pool(x, mask=mask)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            pooling=self.pooling,
            positions=self.positions,
            salt=self.salt,
            **self._block_config,
        )
        return config
