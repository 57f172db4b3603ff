import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pixmodels")
class Biaffine(keras.layers.Layer):
    """Scores of all pairs of two sequences: `x W_o y` for each output o.

    A one is appended to each vector of a side that has a bias, so the last row
    or column of W is that bias.

    Source: Dozat and Manning 2017, "Deep Biaffine Attention for Neural
    Dependency Parsing", eqs. 6 to 9; xplip/pixel `biaffine.py`, whose weights
    have the same shape and start from zero.

    Args:
        units: O, scores of each pair.
        bias_x, bias_y: whether a side has a bias.

    Call arguments:
        x: (B, N, D) floating point.
        y: (B, M, E) floating point.

    Returns:
        (B, N, M, O).

    Raises:
        ValueError: for fewer than one unit.

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.Biaffine(7)
        >>> x, y = np.ones((2, 3, 8), "float32"), np.ones((2, 5, 8), "float32")
        >>> layer(x, y).shape
        TensorShape([2, 3, 5, 7])
    """

    def __init__(self, units, *, bias_x=True, bias_y=True, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"Expected units >= 1. Received: units={units}.")
        self.units = units
        self.bias_x = bias_x
        self.bias_y = bias_y

    def build(self, x_shape, y_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(
                self.units,
                x_shape[-1] + int(self.bias_x),
                y_shape[-1] + int(self.bias_y),
            ),
            initializer="zeros",
        )
        self.built = True

    def call(self, x, y):
        x = _with_one(x) if self.bias_x else x
        y = _with_one(y) if self.bias_y else y
        # (B, N, D), (O, D, E) -> (B, N, O, E), which is far smaller than all
        # pairs would be.
        left = ops.einsum("bxi,oij->bxoj", x, self.kernel)
        return ops.einsum("bxoj,byj->bxyo", left, y)

    def compute_output_shape(self, x_shape, y_shape):
        return (x_shape[0], x_shape[1], y_shape[1], self.units)

    def get_config(self):
        config = super().get_config()
        config.update(units=self.units, bias_x=self.bias_x, bias_y=self.bias_y)
        return config


def _with_one(x):
    return ops.concatenate([x, ops.ones_like(x[..., :1])], axis=-1)
