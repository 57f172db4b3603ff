import keras
from keras import ops

from pixmodels.sequence._normed_block import NormedBlock
from pixmodels.sequence.mega import Mega


@keras.saving.register_keras_serializable(package="pixmodels")
class MegaBlock(NormedBlock):
    """The paper's whole block: `Mega`, a small network, a norm with each.

    `y = x + u (h - x)` and `z = y + dense(silu(dense(y)))`. With `norm_first`
    h and the network are computed from what the norm gives, and x and y are
    added as they are; else the norms stand behind the two sums. Source: Ma et
    al. 2022, "Mega", section 3.5 and its Long-Range Arena settings
    (`pixmodels.sequence.settings`); numbers as transformers 4.57.1
    (`MegaBlock`), which has no chunks of another length than a divisor of N.

    Encoders take `Mega` by `attention="mega"`, inside our own block; this one
    is for who needs the paper's numbers.

    Args:
        mlp_dim: width of the network's hidden layer.
        options: dict of arguments of `Mega`.
        norm: "layer", "scale" (`ScaleNorm`) or "batch" (statistics of real
            tokens).
        norm_first: whether norms stand before.
        epsilon: of the norms.
        dropout_rate: on h, in the network and on its result.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D).
        mask, positions, prefix, training, grid: as `Mixer`.

    Returns:
        (B, N, D).

    Raises:
        ValueError: for an unknown norm, and as `Mega`.

    Example:
        >>> import numpy as np
        >>> block = pixmodels.sequence.MegaBlock(
        ...     11, options={"shared_dim": 5, "chunk": 4}, norm="scale")
        >>> block(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    norms = ("layer", "scale", "batch")

    def __init__(self, mlp_dim, **kwargs):
        super().__init__(**kwargs)
        self.mlp_dim = mlp_dim

    @property
    def mixing(self):
        """The layer that mixes positions."""
        return self.mega

    def build(self, input_shape):
        shape = tuple(input_shape)
        self.mega = Mega(
            1,
            name="mega",
            dtype=self.dtype_policy,
            salt=f"{self.salt}/attention",
            **{"hidden_dropout": self.dropout_rate, **self.options},
        )
        self.norm_1, self.norm_2 = self._norm("norm_1"), self._norm("norm_2")
        self.dense_1 = self._dense(self.mlp_dim, "dense_1")
        self.dense_2 = self._dense(shape[-1], "dense_2")
        self.dropout_1 = self._dropout("dropout_1")
        self.dropout_2 = self._dropout("dropout_2")
        for layer in (self.mega, self.norm_1, self.norm_2, self.dense_1):
            layer.build(shape)
        self.dense_2.build((*shape[:-1], self.mlp_dim))
        self.built = True

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )

    def _mixed(self, normed, x, **call):
        return self.mega.change(normed, x, **call)

    def _mixed_step(self, normed, x, cache, index, training):
        return self.mega.change_step(normed, x, cache, index, training=training)

    def _block(self, x, mixed, mask, training):
        def norm_1(x):
            return self._normed(self.norm_1, x, mask, training)

        def norm_2(x):
            return self._normed(self.norm_2, x, mask, training)

        if self.norm_first:
            x = x + mixed(norm_1(x), x)
            return x + self._mlp(norm_2(x), training)
        x = norm_1(x + mixed(x, x))
        return norm_2(x + self._mlp(x, training))

    def _mlp(self, x, training):
        hidden = self.dropout_1(ops.silu(self.dense_1(x)), training=training)
        return self.dropout_2(self.dense_2(hidden), training=training)

    def get_config(self):
        return {**super().get_config(), "mlp_dim": self.mlp_dim}
