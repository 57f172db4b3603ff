import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.sequence._normed_block import NormedBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class StateSpaceBlock(NormedBlock):
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

    norms = ("layer", "batch")

    def __init__(self, mixer, **kwargs):
        super().__init__(**kwargs)
        self.mixer_name = mixer
        self.mixer = MIXERS.get(mixer)(
            1,
            name="mixer",
            dtype=self.dtype_policy,
            salt=f"{self.salt}/attention",
            **{"dropout_rate": self.dropout_rate, **self.options},
        )

    @property
    def mixing(self):
        """The layer that mixes positions."""
        return self.mixer

    def build(self, input_shape):
        self.norm = self._norm("norm")
        self.dropout = self._dropout("dropout", "result")
        self.norm.build(input_shape)
        self.mixer.build(input_shape)
        self.built = True

    def _block(self, x, mixed, mask, training):
        if self.norm_first:
            normed = self._normed(self.norm, x, mask, training)
            return x + self._dropped(mixed(normed, x), training)
        x = x + self._dropped(mixed(x, x), training)
        return self._normed(self.norm, x, mask, training)

    def _dropped(self, x, training):
        if not self.options.get("tie_dropout"):
            return self.dropout(x, training=training)
        return x * self.dropout(ops.ones_like(x[:, :1]), training=training)

    def get_config(self):
        return {**super().get_config(), "mixer": self.mixer_name}
