import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pixmodels")
class PatchEmbedding(keras.layers.Layer):
    """Patches to tokens: a linear projection, with learned tokens in front.

    Patches are flat vectors, so that a masked autoencoder's encoder projects
    only those that it keeps; the projection equals ViT's strided convolution
    with the kernel reshaped to (P, D).

    Args:
        hidden_dim: width D of the tokens.
        class_token: whether a class token is the first token.
        num_registers: learned tokens after the class token, in which a model
            may keep what belongs to no patch (Darcet et al. 2024, "Vision
            Transformers Need Registers"; DINOv2's order).

    Call arguments:
        patches: (B, N, P) floating point.

    Returns:
        (B, prefix + N, D), `prefix` being the number of tokens in front.

    Raises:
        ValueError: for a negative number of registers.
    """

    def __init__(
        self, hidden_dim, *, class_token=True, num_registers=0, **kwargs
    ):
        super().__init__(**kwargs)
        if num_registers < 0:
            raise ValueError(
                "Expected num_registers >= 0. Received: "
                f"num_registers={num_registers}."
            )
        self.hidden_dim = hidden_dim
        self.has_class_token = bool(class_token)
        self.num_registers = num_registers
        self.prefix = int(self.has_class_token) + num_registers

    def build(self, input_shape):
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.projection = keras.layers.Dense(
            self.hidden_dim,
            kernel_initializer=normal,
            name="projection",
            dtype=self.dtype_policy,
        )
        self.projection.build((None, None, input_shape[-1]))
        if self.has_class_token:
            self.class_token = self.add_weight(
                name="class_token",
                shape=(1, 1, self.hidden_dim),
                initializer=normal,
            )
        if self.num_registers:
            self.registers = self.add_weight(
                name="registers",
                shape=(1, self.num_registers, self.hidden_dim),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
        self.built = True

    def call(self, patches):
        x = self.projection(patches)
        parts = []
        if self.has_class_token:
            parts.append(self._repeated(self.class_token, x))
        if self.num_registers:
            parts.append(self._repeated(self.registers, x))
        return ops.concatenate([*parts, x], axis=1) if parts else x

    def _repeated(self, token, x):
        shape = (ops.shape(x)[0], token.shape[1], self.hidden_dim)
        return ops.broadcast_to(ops.cast(token, x.dtype), shape)

    def compute_output_shape(self, input_shape):
        length = input_shape[1]
        length = None if length is None else length + self.prefix
        return (input_shape[0], length, self.hidden_dim)

    def get_config(self):
        config = super().get_config()
        config.update(
            hidden_dim=self.hidden_dim,
            class_token=self.has_class_token,
            num_registers=self.num_registers,
        )
        return config
