import keras

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

    def _mixer_input(self, x):
        return x

    def mlp_branch(self, x, training=None):
        return self._mlp(x, training)

    def _joined(self, x, mixed, training):
        context = self.norm_1(x + mixed)
        return self.norm_2(context + self._mlp(context, training)), context
