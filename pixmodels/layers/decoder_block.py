import keras
from keras import ops

from pixmodels.layers.cross_attention import CrossAttention
from pixmodels.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class DecoderBlock(TransformerBlock):
    """A pre-norm block that also attends to what an encoder has read.

    `x + drop(mixer(norm(x)))`, `x + drop(cross(norm(x), memory))`, then
    `x + drop(mlp(norm(x)))`.

    Args:
        As `TransformerBlock`; the mixer is to be causal.

    Call arguments:
        x: (B, N, D).
        memory: (B, M, D'), the encoder's result.
        memory_mask: (B, M) bool, True = real; None means all are.
        mask, state, training: as `TransformerBlock`.

    Returns:
        (B, N, D); with a `state` the pair of it and the next state.

    Example:
        >>> import numpy as np
        >>> block = pixmodels.layers.DecoderBlock(
        ...     2, 16, attention_options={"causal": True})
        >>> block(np.ones((3, 5, 8)), np.ones((3, 7, 6))).shape
        TensorShape([3, 5, 8])
    """

    def build(self, x_shape, memory_shape):
        super().build(x_shape)
        self.cross = CrossAttention(
            self.num_heads,
            dropout_rate=self.attention_dropout,
            salt=f"{self.salt}/cross",
            name="cross",
            dtype=self.dtype_policy,
        )
        self.cross.build(x_shape, memory_shape)
        self.norm_3 = self._norm("norm_3")
        self.norm_3.build(x_shape)
        self.dropout_3 = self._dropout("dropout_3")

    def call(
        self,
        x,
        memory,
        memory_mask=None,
        mask=None,
        state=None,
        training=None,
    ):
        y, _ = self.with_context(
            x,
            memory,
            memory_mask=memory_mask,
            mask=mask,
            state=state,
            training=training,
        )
        return y

    def with_context(
        self,
        x,
        memory,
        memory_mask=None,
        mask=None,
        state=None,
        training=None,
    ):
        mixed = self.attention_branch(
            x, mask=mask, state=state, training=training
        )
        if state is not None:
            mixed, state = mixed
        given = self.cross.keys_and_values(memory, memory_mask)
        x = self._crossed(x + mixed, given, training)
        context = self.norm_2(x)
        x = x + self._mlp(context, training)
        return (x if state is None else (x, state)), context

    def _crossed(self, x, given, training):
        y = self.cross.attend(self.norm_3(x), given, training=training)
        return x + self.dropout_3(y, training=training)

    def step(self, x, cache, index, given, *, state=None, training=False):
        """One more token; as `TransformerBlock.step`.

        Args:
            given: `cross.keys_and_values` of the memory.
        """
        x = ops.cast(x, self.compute_dtype)[:, None]
        options = {} if state is None else {"state": state}
        mixed, cache = self.mixer.step(
            self.norm_1(x)[:, 0], cache, index, training=training, **options
        )
        x = x + self._branch(mixed[:, None], training)
        x = self._crossed(x, given, training)
        return (x + self.mlp_branch(x, training=training))[:, 0], cache

    def compute_output_shape(self, x_shape, memory_shape):
        return x_shape
