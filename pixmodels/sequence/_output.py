import keras
from keras import ops

from pixmodels.layers.dropout import Dropout

FORMS = ("glu", "half_glu", "dense")


@keras.saving.register_keras_serializable(package="pixmodels")
class SequenceOutput(keras.layers.Layer):
    """What a state-space layer makes of its system's output.

    Exact gelu and dropout, then one of the forms. Source: `S4Block` of
    state-spaces/s4 ("glu"), `DSS` of ag1988/dss ("dense") and Smith et al.
    2023, "Simplified State Space Layers", sec. 5 ("half_glu").

    Args:
        units: D.
        form: "glu" (a dense layer of 2 D units whose second half opens the
            first by a sigmoid), "half_glu" (`a * sigmoid(dense(a))`) or
            "dense".
        use_bias: of the dense layer.
        dropout_rate: before the dense layer.
        tie_dropout: the same features are dropped at all tokens.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D).
        training: bool.
    """

    def __init__(
        self,
        units,
        *,
        form="glu",
        use_bias=True,
        dropout_rate=0.0,
        tie_dropout=False,
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(
                f"Expected output among {FORMS}. Received: output={form!r}."
            )
        self.units = units
        self.form = form
        self.use_bias = use_bias
        self.dropout_rate = dropout_rate
        self.tie_dropout = tie_dropout
        self.salt = salt

    def build(self, input_shape):
        self.dense = keras.layers.Dense(
            self.units * (2 if self.form == "glu" else 1),
            use_bias=self.use_bias,
            name="dense",
            dtype=self.dtype_policy,
        )
        self.dense.build((None, None, self.units))
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/mixed",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def call(self, x, training=None):
        x = ops.gelu(x, approximate=False)
        if self.tie_dropout:
            kept = self.dropout(ops.ones_like(x[:, :1]), training=training)
            x = x * kept
        else:
            x = self.dropout(x, training=training)
        mixed = self.dense(x)
        if self.form == "dense":
            return mixed
        if self.form == "half_glu":
            return x * ops.sigmoid(mixed)
        return mixed[..., : self.units] * ops.sigmoid(mixed[..., self.units :])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            units=self.units,
            form=self.form,
            use_bias=self.use_bias,
            dropout_rate=self.dropout_rate,
            tie_dropout=self.tie_dropout,
            salt=self.salt,
        )
        return config
