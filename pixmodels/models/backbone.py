import keras
from keras import ops

from pixmodels import patches as patch_ops
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.patch_embedding import PatchEmbedding
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.layers.transformer_stack import TransformerStack


class PatchBackbone(keras.Model):
    """What the encoders of patches share; use `ViTBackbone`, `PIXELBackbone`.

    Args:
        image_shape: (H, W, C) of the largest image; narrower ones may be
            given where the position table allows it.
        patch_size: int or (height, width) in pixels.
        num_layers, num_heads, hidden_dim, mlp_dim: ints.
        attention: name of a mixer (`pixmodels.attention.names()`).
        attention_options: dict of further arguments of the mixer.
        dropout_rate: on branch outputs and, unless only some patches are
            encoded (`ids_keep`), after the embedding: PIXEL is pre-trained
            without the latter and fine-tuned with it.
        attention_dropout: on attention probabilities.
        layer_norm_epsilon: of every LayerNorm.
        activation: of the MLPs, "gelu" is exact.
        positions: "learned", "sincos" or "none".
        position_grid: (R, C) of the position table; the patch grid of
            `image_shape` by default.
        trainable_positions: None means learned tables only.
        pixel_offset: subtracted from the pixels. Published models have 0;
            with 1 white paper is zero, a blank patch is the projection's bias,
            and small models bear higher learning rates.

    Call arguments:
        images: (B, H, W, C) floating point in [0, 1].
        mask: (B, N) bool, True = real patch; None means all are.
        ids_keep: (B, K) int32, ascending: only these patches are encoded.
        training: bool.

    Returns:
        (B, 1 + N, D), or (B, 1 + K, D) with `ids_keep`: the final LayerNorm's
        output, class token first.
    """

    def __init__(
        self,
        image_shape,
        patch_size,
        *,
        num_layers,
        num_heads,
        hidden_dim,
        mlp_dim,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="gelu",
        positions="learned",
        position_grid=None,
        trainable_positions=None,
        pixel_offset=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        if isinstance(patch_size, int):
            patch_size = (patch_size, patch_size)
        # === Config ===
        self.image_shape = _image_shape(image_shape)
        self.patch_size = tuple(patch_size)
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention = attention
        self.attention_options = dict(attention_options or {})
        self.dropout_rate = dropout_rate
        self.attention_dropout = attention_dropout
        self.layer_norm_epsilon = layer_norm_epsilon
        self.activation = activation
        self.positions = positions
        grid = patch_ops.grid_shape(self.image_shape, self.patch_size)
        self.position_grid = tuple(position_grid or grid)
        self.trainable_positions = trainable_positions
        self.pixel_offset = pixel_offset
        # === Layers ===
        self.embedding = PatchEmbedding(
            hidden_dim, name="embedding", dtype=self.dtype_policy
        )
        self.position_embedding = PositionEmbedding(
            self.position_grid,
            positions=positions,
            trainable_positions=trainable_positions,
            name="position_embedding",
            dtype=self.dtype_policy,
        )
        self.embedding_dropout = Dropout(
            dropout_rate,
            salt="embedding",
            name="embedding_dropout",
            dtype=self.dtype_policy,
        )
        self.encoder = TransformerStack(
            num_layers,
            num_heads,
            mlp_dim,
            attention=attention,
            attention_options=attention_options,
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
            salt="encoder",
            name="encoder",
            dtype=self.dtype_policy,
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        height, width = self.patch_size
        values = height * width * self.image_shape[-1]
        self.embedding.build((None, None, values))
        self.position_embedding.build((None, None, self.hidden_dim))
        self.encoder.build((None, None, self.hidden_dim))
        self.built = True

    def call(self, images, mask=None, ids_keep=None, training=None):
        self._check(images)
        x = patch_ops.patchify(images, self.patch_size)  # (B, N, P)
        if ids_keep is not None:
            x = ops.take_along_axis(x, ids_keep[..., None], axis=1)
            if mask is not None:
                mask = ops.take_along_axis(mask, ids_keep, axis=1)
        if self.pixel_offset:
            x = x - self.pixel_offset
        x = self.position_embedding(self.embedding(x), positions=ids_keep)
        if ids_keep is None:
            x = self.embedding_dropout(x, training=training)
        if mask is not None:
            real = ops.ones_like(mask[:, :1], dtype="bool")
            mask = ops.concatenate([real, ops.cast(mask, "bool")], axis=1)
        return self.encoder(
            x, mask=mask, positions=ids_keep, prefix=1, training=training
        )

    def _check(self, images):
        shape = tuple(images.shape)
        height, width, channels = self.image_shape
        fits = len(shape) == 4 and shape[1] == height
        fits = fits and shape[3] == channels
        if fits and shape[2] is not None:
            fits = not shape[2] % self.patch_size[1]
        if fits and self.position_grid[0] > 1 and height > self.patch_size[0]:
            # Rows of the table are as long as rows of patches.
            fits = shape[2] in (width, None)
        if not fits:
            raise ValueError(
                f"Expected images of shape (B, {height}, {width}, "
                f"{channels}) for patches of {self.patch_size}. Received: "
                f"images.shape={shape}."
            )

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        names = (
            "image_shape patch_size num_layers num_heads hidden_dim mlp_dim "
            "attention attention_options dropout_rate attention_dropout "
            "layer_norm_epsilon activation positions position_grid "
            "trainable_positions pixel_offset"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        return config


def _image_shape(image_shape):
    shape = tuple(image_shape)
    if len(shape) != 3 or not all(isinstance(n, int) for n in shape):
        raise ValueError(
            "Expected image_shape as three ints (height, width, channels). "
            f"Received: image_shape={image_shape!r}."
        )
    return shape
