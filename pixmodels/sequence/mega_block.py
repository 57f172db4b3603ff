import keras
from keras import ops

from pixmodels.layers.dropout import Dropout
from pixmodels.sequence.mega import Mega
from pixmodels.sequence.scale_norm import ScaleNorm

NORMS = ("layer", "scale", "batch")


@keras.saving.register_keras_serializable(package="pixmodels")
class MegaBlock(keras.layers.Layer):
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

    def __init__(
        self,
        mlp_dim,
        *,
        options=None,
        norm="layer",
        norm_first=True,
        epsilon=1e-5,
        dropout_rate=0.0,
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if norm not in NORMS:
            raise ValueError(
                f"Expected norm among {NORMS}. Received: norm={norm!r}."
            )
        self.supports_masking = True
        self.mlp_dim = mlp_dim
        self.options = dict(options or {})
        self.norm = norm
        self.norm_first = norm_first
        self.epsilon = epsilon
        self.dropout_rate = dropout_rate
        self.salt = salt

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

    def _norm(self, name):
        common = {
            "epsilon": self.epsilon,
            "name": name,
            "dtype": self.dtype_policy,
        }
        if self.norm == "scale":
            return ScaleNorm(**common)
        if self.norm == "batch":
            return keras.layers.BatchNormalization(momentum=0.9, **common)
        return keras.layers.LayerNormalization(**common)

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )

    def _dropout(self, name):
        return Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/{name}",
            name=name,
            dtype=self.dtype_policy,
        )

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        training=None,
        grid=None,
    ):
        if mask is not None:
            mask = ops.convert_to_tensor(mask)

        def change(normed, x):
            return self.mega.change(
                normed,
                x,
                mask=mask,
                positions=positions,
                prefix=prefix,
                training=training,
                grid=grid,
            )

        return self._block(x, change, mask, training)

    def _block(self, x, change, mask, training):
        norm_1, norm_2 = (
            self._normed(layer, mask, training)
            for layer in (self.norm_1, self.norm_2)
        )
        if self.norm_first:
            x = x + change(norm_1(x), x)
            return x + self._mlp(norm_2(x), training)
        x = norm_1(x + change(x, x))
        return norm_2(x + self._mlp(x, training))

    def _normed(self, layer, mask, training):
        if self.norm == "batch":
            return lambda x: layer(x, training=training, mask=mask)
        return layer

    def _mlp(self, x, training):
        hidden = self.dropout_1(ops.silu(self.dense_1(x)), training=training)
        return self.dropout_2(self.dense_2(hidden), training=training)

    def initial_cache(self, batch_size, length):
        """As `Mega.initial_cache`."""
        return self.mega.initial_cache(batch_size, length)

    def step(self, x, cache, index, *, training=False):
        """One more token, x (B, D): as `Mixer.step`."""
        kept = []

        def change(normed, x):
            found, cache_after = self.mega.change_step(
                normed[:, 0], x[:, 0], cache, index, training=training
            )
            kept.append(cache_after)
            return found[:, None]

        y = self._block(x[:, None], change, None, training)
        return y[:, 0], kept[0]

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            mlp_dim=self.mlp_dim,
            options=self.options,
            norm=self.norm,
            norm_first=self.norm_first,
            epsilon=self.epsilon,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
