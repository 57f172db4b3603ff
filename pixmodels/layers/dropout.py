import keras
from keras import ops

from pixmodels import random


@keras.saving.register_keras_serializable(package="pixmodels")
class Dropout(keras.layers.Layer):
    """Dropout whose draws depend on the example, not on hidden state.

    Inside `pixmodels.random.key_scope` an element is dropped by a hash of
    (seed, step, example id, salt, element index), so that one device, several
    replicas and a resumed run drop the same elements. Outside a scope (plain
    `fit`) it draws from a Keras `SeedGenerator`, as `keras.layers.Dropout`.

    Args:
        rate: share of elements set to zero, in [0, 1). The others are scaled
            by `1 / (1 - rate)`.
        salt: str, the layer's place in the model; layers with equal salts
            drop equal elements.
        seed: int or None, for the `SeedGenerator` outside a scope.

    Call arguments:
        x: (B, ...) floating point.
        training: bool; nothing happens unless it is True.

    Raises:
        ValueError: for a rate outside [0, 1).
    """

    def __init__(self, rate, *, salt="", seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"Expected 0 <= rate < 1. Received: rate={rate}.")
        self.rate = rate
        self.salt = salt
        self.seed = seed
        self.supports_masking = True
        if rate:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x, training=None):
        if not training or not self.rate:
            return x
        if not random.in_key_scope():
            return keras.random.dropout(x, self.rate, seed=self.seed_generator)
        shape = ops.shape(x)
        size = 1
        for length in shape[1:]:
            size = size * length
        keep = random.keep_mask(self.rate, random.salt_of(self.salt), size)
        keep = ops.reshape(keep, (-1,) + tuple(shape[1:]))
        scaled = x * ops.cast(1.0 / (1.0 - self.rate), x.dtype)
        return ops.where(keep, scaled, ops.zeros_like(scaled))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(rate=self.rate, salt=self.salt, seed=self.seed)
        return config
