import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pixmodels")
class PatchEmbedding(keras.layers.Layer):
    """Patches to tokens: a linear projection and a class token in front.

    Patches are flat vectors, so that a masked autoencoder's encoder projects
    only those that it keeps; the projection equals ViT's strided convolution
    with the kernel reshaped to (P, D).

    Args:
        hidden_dim: width D of the tokens.

    Call arguments:
        patches: (B, N, P) floating point.

    Returns:
        (B, 1 + N, D).
    """

    def __init__(self, hidden_dim, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim

    def build(self, input_shape):
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.projection = keras.layers.Dense(
            self.hidden_dim,
            kernel_initializer=normal,
            name="projection",
            dtype=self.dtype_policy,
        )
        self.projection.build((None, None, input_shape[-1]))
        self.class_token = self.add_weight(
            name="class_token",
            shape=(1, 1, self.hidden_dim),
            initializer=normal,
        )
        self.built = True

    def call(self, patches):
        x = self.projection(patches)
        token = ops.cast(self.class_token, x.dtype)
        token = ops.broadcast_to(token, (ops.shape(x)[0], 1, self.hidden_dim))
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape):
        length = input_shape[1]
        length = None if length is None else length + 1
        return (input_shape[0], length, self.hidden_dim)

    def get_config(self):
        config = super().get_config()
        config.update(hidden_dim=self.hidden_dim)
        return config
