import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.layers.dropout import Dropout

NORMS = ("layer", "batch")


@keras.saving.register_keras_serializable(package="pixmodels")
class StateSpaceBlock(keras.layers.Layer):
    """The papers' whole block: a mixer and one norm, without an MLP.

    `x + dropout(mixer(norm(x)))` with `norm_first`, else `norm(x +
    dropout(mixer(x)))`. Source: Gu et al. 2022, "Efficiently Modeling Long
    Sequences with Structured State Spaces", appendix D, and Mehta et al.
    2022, "Long Range Language Modeling via Gated State Spaces", figure 2;
    sizes are in `pixmodels.sequence.settings`. Encoders take the mixers by
    `attention="s4"`, inside our own block, which has an MLP.

    Args:
        mixer: its name, such as "s4", "s4d", "dss", "s5" or "gss".
        options: dict of arguments of the mixer.
        norm: "layer" or "batch" (statistics of real tokens).
        norm_first: whether the norm stands before the mixer.
        epsilon: of the norm.
        dropout_rate: in the mixer and on its result; tied over the tokens
            where the options tie the mixer's.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D).
        mask, positions, prefix, training, grid: as `Mixer`.

    Returns:
        (B, N, D).

    Raises:
        ValueError: for an unknown norm or mixer, and as the mixer.

    Example:
        >>> import numpy as np
        >>> found = pixmodels.sequence.settings.get("s4d_text")["block"]
        >>> block = pixmodels.sequence.StateSpaceBlock(**found)
        >>> block(np.ones((3, 7, 256), "float32")).shape
        TensorShape([3, 7, 256])
    """

    def __init__(
        self,
        mixer,
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
        self.mixer_name = mixer
        self.options = dict(options or {})
        self.norm_name = norm
        self.norm_first = norm_first
        self.epsilon = epsilon
        self.dropout_rate = dropout_rate
        self.salt = salt
        self.mixer = MIXERS.get(mixer)(
            1,
            name="mixer",
            dtype=self.dtype_policy,
            salt=f"{salt}/attention",
            **{"dropout_rate": dropout_rate, **self.options},
        )

    def build(self, input_shape):
        common = {
            "epsilon": self.epsilon,
            "name": "norm",
            "dtype": self.dtype_policy,
        }
        if self.norm_name == "batch":
            self.norm = keras.layers.BatchNormalization(momentum=0.9, **common)
        else:
            self.norm = keras.layers.LayerNormalization(**common)
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/result",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.norm.build(input_shape)
        self.mixer.build(input_shape)
        self.built = True

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

        def mixed(x):
            return self.mixer(
                x,
                mask=mask,
                positions=positions,
                prefix=prefix,
                training=training,
                grid=grid,
            )

        return self._block(x, mixed, mask, training)

    def _block(self, x, mixed, mask, training):
        if self.norm_first:
            return x + self._dropped(
                mixed(self._normed(x, mask, training)), training
            )
        x = x + self._dropped(mixed(x), training)
        return self._normed(x, mask, training)

    def _normed(self, x, mask, training):
        if self.norm_name == "batch":
            return self.norm(x, training=training, mask=mask)
        return self.norm(x)

    def _dropped(self, x, training):
        if not self.options.get("tie_dropout"):
            return self.dropout(x, training=training)
        return x * self.dropout(ops.ones_like(x[:, :1]), training=training)

    def initial_cache(self, batch_size, length):
        """As the mixer's."""
        return self.mixer.initial_cache(batch_size, length)

    def step(self, x, cache, index, *, training=False):
        """One more token, x (B, D): as `Mixer.step`."""
        kept = []

        def mixed(x):
            y, after = self.mixer.step(x[:, 0], cache, index, training=training)
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
            mixer=self.mixer_name,
            options=self.options,
            norm=self.norm_name,
            norm_first=self.norm_first,
            epsilon=self.epsilon,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
