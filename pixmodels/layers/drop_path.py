import keras
from keras import ops

from pixmodels import random
from pixmodels.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="pixmodels")
class DropPath(Dropout):
    """Drops a whole residual branch for some examples (stochastic depth).

    Inside `pixmodels.random.key_scope` one hash of (seed, step, example id,
    salt) decides for an example; outside a scope a Keras `SeedGenerator`
    does, as in `Dropout`. Source: Huang et al. 2016, "Deep Networks with
    Stochastic Depth", scaled in training as timm's `DropPath`.

    Args:
        rate: share of examples whose branch is set to zero, in [0, 1). The
            others are scaled by `1 / (1 - rate)`.
        salt: str, the layer's place in the model.
        seed: int or None, for the `SeedGenerator` outside a scope.

    Call arguments:
        x: (B, ...) floating point.
        training: bool; nothing happens unless it is True.

    Returns:
        As `x`.

    Raises:
        ValueError: for a rate outside [0, 1).

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.DropPath(0.5, salt="block")
        >>> with pixmodels.random.key_scope([1, 2], np.arange(31)):
        ...     y = layer(np.ones((31, 5)), training=True)
        >>> sorted(set(np.array(y).ravel().tolist()))
        [0.0, 2.0]
    """

    def call(self, x, training=None):
        if not training or not self.rate:
            return x
        ones = (1,) * (len(x.shape) - 1)
        if random.in_key_scope():
            salt = random.salt_of(self.salt)
            keep = random.keep_mask(self.rate, salt, 1)
        else:
            drawn = keras.random.uniform(
                (ops.shape(x)[0], 1), seed=self.seed_generator
            )
            keep = drawn >= self.rate
        keep = ops.reshape(keep, (-1, *ones))
        scaled = x * ops.cast(1.0 / (1.0 - self.rate), x.dtype)
        # `where`, not a product: a dropped branch may hold anything.
        return ops.where(keep, scaled, ops.zeros_like(scaled))
