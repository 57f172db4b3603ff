import keras
from keras import ops

from pixmodels._precision import at_least_float32


@keras.saving.register_keras_serializable(package="pixmodels")
class ScaleNorm(keras.layers.Layer):
    """`g x / sqrt(mean(x^2) + epsilon)` over the features, with one gain g.

    Source: Nguyen and Salazar 2019, "Transformers without Tears", eq. 6, in
    the form of Mega (facebookresearch/mega, `scale_norm.py`), whose mean takes
    the place of the sum. Computed in float32 at least.

    Args:
        epsilon: added to the mean of the squares.

    Call arguments:
        x: (..., D) floating point.

    Returns:
        As `x`.
    """

    def __init__(self, *, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gain = self.add_weight(
            name="gain", shape=(), initializer="ones", autocast=False
        )
        self.built = True

    def call(self, x):
        dtype, x = x.dtype, at_least_float32(x)
        mean = ops.mean(ops.square(x), axis=-1, keepdims=True)
        gain = ops.cast(ops.convert_to_tensor(self.gain), x.dtype)
        return ops.cast(x * ops.rsqrt(mean + self.epsilon) * gain, dtype)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
