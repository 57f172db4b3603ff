"""What the papers' blocks share: a layer that mixes, norms before or behind.

Here: norms of three kinds, calls and steps. Not here: what is added to what
(`MegaBlock`, `StateSpaceBlock`)."""

import keras
from keras import ops

from pixmodels.layers.dropout import Dropout
from pixmodels.sequence.scale_norm import ScaleNorm


class NormedBlock(keras.layers.Layer):
    """A block around one layer that mixes positions.

    A subclass has `norms`, the kinds that it takes; builds `mixing`, that
    layer, and defines `_block`, and `_mixed` and `_mixed_step` where these are
    not calls of `mixing` on what the norm gives.

    Args:
        options: dict of arguments of the layer that mixes.
        norm: "layer", "scale" (`ScaleNorm`) or "batch" (statistics of real
            tokens), of those in `norms`.
        norm_first, epsilon, dropout_rate, salt: as the subclass.
    """

    norms = ()

    def __init__(
        self,
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
        if norm not in self.norms:
            raise ValueError(
                f"Expected norm among {self.norms}. Received: norm={norm!r}."
            )
        self.supports_masking = True
        self.options = dict(options or {})
        self.norm_name = norm
        self.norm_first = norm_first
        self.epsilon = epsilon
        self.dropout_rate = dropout_rate
        self.salt = salt

    def _norm(self, name):
        common = {
            "epsilon": self.epsilon,
            "name": name,
            "dtype": self.dtype_policy,
        }
        if self.norm_name == "scale":
            return ScaleNorm(**common)
        if self.norm_name == "batch":
            return keras.layers.BatchNormalization(momentum=0.9, **common)
        return keras.layers.LayerNormalization(**common)

    def _normed(self, layer, x, mask, training):
        if self.norm_name == "batch":
            return layer(x, training=training, mask=mask)
        return layer(x)

    def _dropout(self, name, place=None):
        return Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/{place or name}",
            name=name,
            dtype=self.dtype_policy,
        )

    def _block(self, x, mixed, mask, training):
        """The whole block; `mixed` is a function of (normed x, x)."""
        raise NotImplementedError

    def _mixed(self, normed, x, **call):
        return self.mixing(normed, **call)

    def _mixed_step(self, normed, x, cache, index, training):
        return self.mixing.step(normed, cache, index, training=training)

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

        def mixed(normed, x):
            return self._mixed(
                normed,
                x,
                mask=mask,
                positions=positions,
                prefix=prefix,
                training=training,
                grid=grid,
            )

        return self._block(x, mixed, mask, training)

    def initial_cache(self, batch_size, length):
        """As `Mixer.initial_cache`, of the layer that mixes."""
        return self.mixing.initial_cache(batch_size, length)

    def step(self, x, cache, index, *, training=False):
        """One more token, x (B, D): as `Mixer.step`."""
        kept = []
        x = ops.cast(x, self.compute_dtype)

        def mixed(normed, x):
            y, after = self._mixed_step(
                normed[:, 0], x[:, 0], cache, index, training
            )
            kept.append(after)
            return y[:, None]

        y = self._block(x[:, None], mixed, None, training)
        return y[:, 0], kept[0]

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            options=self.options,
            norm=self.norm_name,
            norm_first=self.norm_first,
            epsilon=self.epsilon,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
