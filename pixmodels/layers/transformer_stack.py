import keras

from pixmodels.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class TransformerStack(keras.layers.Layer):
    """Transformer blocks and a final LayerNorm: an encoder or a decoder.

    Args:
        num_layers: blocks.
        final_norm_epsilon: of the final LayerNorm; `layer_norm_epsilon` by
            default (PIXEL's decoder has 1e-5 there and 1e-12 in its blocks).
        Others, call arguments and result: as `TransformerBlock`; `salt` is
            extended by the number of the block.
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        final_norm_epsilon=None,
        activation="gelu",
        salt="stack",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_layers = num_layers
        self.final_norm_epsilon = final_norm_epsilon
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
        self.blocks = [
            TransformerBlock(
                **self._block_config,
                salt=f"{self.salt}/{i}",
                name=f"block_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(self.num_layers)
        ]
        epsilon = self.final_norm_epsilon
        if epsilon is None:
            epsilon = self._block_config["layer_norm_epsilon"]
        self.norm = keras.layers.LayerNormalization(
            epsilon=epsilon, name="norm", dtype=self.dtype_policy
        )
        for layer in (*self.blocks, self.norm):
            layer.build(input_shape)
        self.built = True

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        training=None,
    ):
        for block in self.blocks:
            x = block(
                x,
                mask=mask,
                positions=positions,
                prefix=prefix,
                training=training,
            )
        return self.norm(x)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            final_norm_epsilon=self.final_norm_epsilon,
            salt=self.salt,
            **self._block_config,
        )
        return config
