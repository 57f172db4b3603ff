import keras

from pixmodels.layers import _stacked
from pixmodels.layers.decoder_block import DecoderBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class DecoderStack(keras.layers.Layer):
    """Causal blocks that attend to an encoder's result, and a LayerNorm.

    Args:
        num_layers: blocks.
        num_heads, mlp_dim, dropout_rate, attention_dropout,
        layer_norm_epsilon, activation: as `TransformerBlock`.
        attention: name of a mixer that has a causal form.
        attention_options: dict of further arguments of it; `causal` is True.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D).
        memory: (B, M, D'), the encoder's result.
        memory_mask: (B, M) bool, True = real; None means all are.
        mask: (B, N) bool, True = real; padding is at the end.
        training: bool.

    Returns:
        (B, N, D).

    Raises:
        ValueError: for a mixer without a causal form, or `causal=False`.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.layers.DecoderStack(1, 2, 16)
        >>> stack(np.ones((3, 5, 8)), np.ones((3, 7, 6))).shape
        TensorShape([3, 5, 8])
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
        activation="gelu",
        salt="decoder",
        **kwargs,
    ):
        super().__init__(**kwargs)
        options = {"causal": True, **(attention_options or {})}
        if not options["causal"]:
            raise ValueError(
                "Expected a causal decoder. Received: attention_options="
                f"{attention_options}."
            )
        self.supports_masking = True
        self._width = None  # known once the stack is built
        self.num_layers = num_layers
        self.salt = salt
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention=attention,
            attention_options=options,
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
        )

    def build(self, x_shape, memory_shape):
        self._width = x_shape[-1]
        config = self._block_config
        self.blocks = _stacked.blocks(
            self, DecoderBlock, self.num_layers, config
        )
        for block in self.blocks:
            block.build(x_shape, memory_shape)
        self.norm = keras.layers.LayerNormalization(
            epsilon=config["layer_norm_epsilon"],
            name="norm",
            dtype=self.dtype_policy,
        )
        self.norm.build(x_shape)
        self.built = True

    def call(self, x, memory, memory_mask=None, mask=None, training=None):
        options = {"memory_mask": memory_mask, "mask": mask}
        return self.with_context(x, memory, training=training, **options)[0]

    def with_context(
        self, x, memory, memory_mask=None, mask=None, training=None
    ):
        """As a call, with the input of the last MLP: two of (B, N, D)."""
        state = _stacked.initial_state(self, x)
        context = x
        for block in self.blocks:
            x, context = block.with_context(
                x,
                memory,
                memory_mask=memory_mask,
                mask=mask,
                state=state,
                training=training,
            )
            if state is not None:
                x, state = x
        return self.norm(x), context

    def given(self, memory, memory_mask=None):
        """What steps need of the encoder's result, made once for it.

        Args:
            memory, memory_mask: as a call.

        Returns:
            nested dict of tensors whose first axis is B.
        """
        return {
            f"block_{i}": block.cross.keys_and_values(memory, memory_mask)
            for i, block in enumerate(self.blocks)
        }

    def initial_cache(self, batch_size, length):
        """What `step` starts from; as `TransformerStack.initial_cache`."""
        return _stacked.initial_cache(self, batch_size, length, self._width)

    def step(self, x, cache, index, given, *, training=False):
        """One more token through all blocks; as `TransformerStack.step`.

        Args:
            given: from `given`, of the encoder's result.
        """
        options = {"training": training}
        if "state" in cache:
            options["state"] = cache["state"]
        after = dict(cache)
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            x, after[name] = block.step(
                x, cache[name], index, given[name], **options
            )
        return self.norm(x[:, None])[:, 0], after

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, x_shape, memory_shape):
        return x_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers, salt=self.salt, **self._block_config
        )
        return config
