import keras
from keras import ops

from pixmodels.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class PostNormBlock(TransformerBlock):
    """A transformer block that normalises after each sum.

    `norm(x + drop(mixer(x)))`, then `norm(x + drop(mlp(x)))`, the order of
    Vaswani et al. 2017 (section 3.1), BERT and the encoders of the three-level
    transformer for clinical notes. A stack of such blocks needs no final
    LayerNorm.

    Args, call arguments and result: as `TransformerBlock`.

    Example:
        >>> import numpy as np
        >>> block = pixmodels.layers.PostNormBlock(num_heads=2, mlp_dim=16)
        >>> block(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 5, 8])
    """

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        state=None,
        training=None,
        grid=None,
    ):
        mixed = self.attention_branch(
            x,
            mask=mask,
            positions=positions,
            prefix=prefix,
            state=state,
            training=training,
            grid=grid,
        )
        if state is not None:
            mixed, state = mixed
        x = self.norm_1(x + mixed)
        x = self.norm_2(x + self.mlp_branch(x, training=training))
        return x if state is None else (x, state)

    def attention_branch(self, x, state=None, training=None, **call):
        call = {k: v for k, v in call.items() if k != "grid" or v is not None}
        mixed = self.mixer(x, state=state, training=training, **call)
        if state is not None:
            mixed, state = mixed
        mixed = self._branch(mixed, training)
        return mixed if state is None else (mixed, state)

    def mlp_branch(self, x, training=None):
        return self._mlp(x, training)

    def with_context(self, x, state=None, training=None, **call):
        mixed = self.attention_branch(x, state=state, training=training, **call)
        if state is not None:
            mixed, state = mixed
        context = self.norm_1(x + mixed)
        x = self.norm_2(context + self._mlp(context, training))
        return (x if state is None else (x, state)), context

    def step(self, x, cache, index, *, state=None, training=False):
        x = ops.cast(x, self.compute_dtype)
        options = {} if state is None else {"state": state}
        mixed, cache = self.mixer.step(
            x, cache, index, training=training, **options
        )
        x = self.norm_1((x + self._branch(mixed, training))[:, None])
        x = self.norm_2(x + self._mlp(x, training))
        return x[:, 0], cache

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        return self.mixer.attention_map(
            x, mask=mask, positions=positions, prefix=prefix, grid=grid
        )
