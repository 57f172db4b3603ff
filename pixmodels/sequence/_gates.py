"""Gates between an old state and what shall take its place."""

import keras
from keras import ops

GATES = ("fixed", "lstm")


def gate(kind, units, **kwargs):
    """An unbuilt gate layer of a kind in `GATES`, for states of a width."""
    return {"fixed": FixedGate, "lstm": LSTMGate}[kind](units, **kwargs)


@keras.saving.register_keras_serializable(package="pixmodels")
class FixedGate(keras.layers.Layer):
    """`g old + (1 - g) new` with `g = sigmoid(b)`, b learned.

    Args:
        units: D.

    Call arguments:
        old, new: (B, S, D).
        hidden: (B, S, any), not used.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, hidden_shape):
        self.gate_bias = self.add_weight(
            name="gate_bias",
            shape=(self.units,),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
        )
        self.built = True

    def call(self, old, new, hidden):
        share = ops.sigmoid(ops.cast(self.gate_bias, old.dtype))
        return share * old + (1.0 - share) * new

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="pixmodels")
class LSTMGate(keras.layers.Layer):
    """`sigmoid(F h + 1) old + sigmoid(I h - 1) new`, F and I learned.

    Args:
        units: D.

    Call arguments:
        old, new: (B, S, D).
        hidden: h, (B, S, any), what `new` was computed from.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, hidden_shape):
        for name in ("forget", "input"):
            layer = keras.layers.Dense(
                self.units,
                kernel_initializer=keras.initializers.VarianceScaling(0.1),
                bias_initializer=keras.initializers.RandomNormal(stddev=0.1),
                name=name,
                dtype=self.dtype_policy,
            )
            layer.build(hidden_shape)
            setattr(self, f"{name}_gate", layer)
        self.built = True

    def call(self, old, new, hidden):
        keep = ops.sigmoid(self.forget_gate(hidden) + 1.0)
        write = ops.sigmoid(self.input_gate(hidden) - 1.0)
        return keep * old + write * new

    def get_config(self):
        return {**super().get_config(), "units": self.units}
