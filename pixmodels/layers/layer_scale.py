import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pixmodels")
class LayerScale(keras.layers.Layer):
    """A learned gain per feature on the output of a residual branch.

    Source: Touvron et al. 2021, "Going deeper with Image Transformers",
    section 2; DINOv2 spells the gain `lambda1`, timm `gamma`.

    Args:
        initial_value: float, what every gain starts from (1e-5 in DINOv2 and
            for depths above 24 in the paper).

    Call arguments:
        x: (..., D) floating point.

    Returns:
        As `x`.

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.LayerScale(0.5)
        >>> float(layer(np.ones((2, 3, 5)))[1, 2, 4])
        0.5
    """

    def __init__(self, initial_value=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = initial_value
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
        )
        self.built = True

    def call(self, x):
        return x * ops.cast(self.gamma, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(initial_value=self.initial_value)
        return config
