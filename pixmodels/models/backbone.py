import keras
from keras import ops

from pixmodels import _lora
from pixmodels import _quantized
from pixmodels import patches as patch_ops
from pixmodels import positions as position_tables
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.patch_embedding import PatchEmbedding
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.layers.transformer_stack import TransformerStack
from pixmodels.models import _mask_checks


class PatchBackbone(keras.Model):
    """What the encoders of patches share; use `ViTBackbone`, `PIXELBackbone`.

    Args:
        image_shape: (H, W, C). Of images that are one patch high, narrower
            ones may be given; other sizes only with `resample_positions`.
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
        positions: "learned", "sincos", "rotary" (mixers that can turn queries
            and keys by row and column, as `pixmodels.positions.rotary_2d`)
            or "none".
        position_grid: (R, C) of the position table; the patch grid of
            `image_shape` by default.
        trainable_positions: None means learned tables only.
        pixel_offset: subtracted from the pixels. Published models have 0;
            with 1 white paper is zero, a blank patch is the projection's bias,
            and small models bear higher learning rates.
        class_token: whether a class token is the first token.
        num_registers: learned tokens after it, without a position.
        qkv_bias: biases in the projections of queries, keys and values.
        layer_scale: None, or the initial gain of every branch's output.
        drop_path_rate: stochastic depth of the last block; it rises in equal
            steps from 0 at the first one.
        final_norm: False leaves the final LayerNorm out.
        rotary_base: of the frequencies of rotary positions.
        resample_positions: True (bicubic) or a method of
            `pixmodels.positions.resampling_matrix`: images of any grid of
            patches are taken, and the position table is resampled for them.
            A row of patches on a backbone for rows reads the front of the
            table (PIXEL truncates it), which grows for a longer row.

    Call arguments:
        images: (B, H, W, C) floating point in [0, 1].
        mask: (B, N) bool, True = real patch; None means all are.
        ids_keep: (B, K) int32, ascending: only these patches are encoded.
        training: bool.

    Returns:
        (B, prefix + N, D), or (B, prefix + K, D) with `ids_keep`: the final
        LayerNorm's output, `prefix` tokens (class token, registers) first.

    Raises:
        ValueError: for arguments that do not fit; in a call, for images of
            another size or channel count, or a mask of another length.
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
        class_token=True,
        num_registers=0,
        qkv_bias=True,
        layer_scale=None,
        drop_path_rate=0.0,
        final_norm=True,
        rotary_base=100.0,
        resample_positions=False,
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
        self.class_token = bool(class_token)
        self.num_registers = num_registers
        self.qkv_bias = qkv_bias
        self.layer_scale = layer_scale
        self.drop_path_rate = drop_path_rate
        self.final_norm = final_norm
        self.rotary_base = rotary_base
        self.resample_positions = resample_positions
        # === Layers ===
        self.embedding = PatchEmbedding(
            hidden_dim,
            class_token=class_token,
            num_registers=num_registers,
            name="embedding",
            dtype=self.dtype_policy,
        )
        named = isinstance(resample_positions, str)
        self.position_embedding = PositionEmbedding(
            self.position_grid,
            positions=positions,
            trainable_positions=trainable_positions,
            prefix=int(self.class_token),
            num_registers=num_registers,
            method=resample_positions if named else "bicubic",
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
            final_norm=final_norm,
            activation=activation,
            qkv_bias=qkv_bias,
            layer_scale=layer_scale,
            drop_path_rate=drop_path_rate,
            rotary=rotary_base if positions == "rotary" else None,
            salt="encoder",
            name="encoder",
            dtype=self.dtype_policy,
        )
        self.build(None)

    @property
    def prefix(self):
        """Tokens in front of the patches: class token and registers, int."""
        return int(self.class_token) + self.num_registers

    @property
    def grid(self):
        """(R, C), the patches of an image of `image_shape`."""
        return patch_ops.grid_shape(self.image_shape, self.patch_size)

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
        x, options = self._embed(images, mask, ids_keep, training)
        return self.encoder(x, training=training, **options)

    def _embed(self, images, mask, ids_keep, training):
        """Tokens with positions, and the call arguments of the encoder."""
        grid = self.check_images(images, mask)
        x = patch_ops.patchify(images, self.patch_size)  # (B, N, P)
        if ids_keep is not None:
            x = ops.take_along_axis(x, ids_keep[..., None], axis=1)
            if mask is not None:
                mask = ops.take_along_axis(mask, ids_keep, axis=1)
        if self.pixel_offset:
            x = x - self.pixel_offset
        x = self.position_embedding(
            self.embedding(x), positions=ids_keep, grid=self.table_grid(grid)
        )
        if ids_keep is None:
            x = self.embedding_dropout(x, training=training)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            if self.prefix:
                front = ((0, 0), (self.prefix, 0))
                mask = ops.pad(mask, front, constant_values=True)
        options = {"mask": mask, "positions": ids_keep, "prefix": self.prefix}
        return x, {**options, "grid": grid}

    def table_grid(self, grid):
        """The grid that positions of an image are read from.

        Args:
            grid: (R, C) of the image, or None for one of unknown size.

        Returns:
            `position_grid`, or with `resample_positions` the grid for which
            the table is resampled.
        """
        if grid is None or grid == self.grid or not self.resample_positions:
            return self.position_grid
        return self._grid_after_resampling(grid)

    def _grid_after_resampling(self, grid):
        if grid[0] == self.grid[0] == 1:
            return position_tables.grid_of_row(grid[1], self.position_grid)
        return grid

    def check_images(self, images, mask=None):
        """Whether images, and a mask of their patches, fit this backbone.

        Args:
            images, mask: as in a call; only shapes are looked at.

        Returns:
            (R, C), the grid of patches; None if height or width is unknown.

        Raises:
            ValueError: if they do not fit.
        """
        shape = tuple(images.shape)
        height, width, channels = self.image_shape
        fits = len(shape) == 4 and shape[3] == channels
        grid = None
        if fits and None not in shape[1:3]:
            fits = not (shape[1] % self.patch_size[0])
            fits = fits and not shape[2] % self.patch_size[1]
            fits = fits and min(shape[1:3]) > 0
            grid = tuple(n // p for n, p in zip(shape[1:3], self.patch_size))
        if fits and not self.resample_positions:
            fits = shape[1] == height
            if self.position_grid[0] > 1 and height > self.patch_size[0]:
                # Rows of the table are as long as rows of patches.
                fits = fits and shape[2] in (width, None)
        if not fits:
            size = f"(B, {height}, {width}, {channels})"
            if self.resample_positions:
                size = f"(B, H, W, {channels}), H and W in whole patches,"
            raise ValueError(
                f"Expected images of shape {size} for patches of "
                f"{self.patch_size}. Received: images.shape={shape}."
            )
        if grid is not None:
            _mask_checks.check_length("mask", mask, grid)
        return grid

    def intermediate_names(self):
        """What `intermediates` can give, in the order of computation.

        Returns:
            tuple of str: "embedding", "block_0/attention", "block_0", ...,
            "output".
        """
        return ("embedding", *self.encoder.intermediate_names())

    def intermediates(
        self, images, names=None, *, mask=None, ids_keep=None, training=None
    ):
        """Values inside the model, by name.

        Args:
            images, mask, ids_keep, training: as in a call.
            names: some of `intermediate_names()`; None means all but the
                attention maps.

        Returns:
            dict name -> tensor: "embedding", tokens before the first block,
            "block_0", ..., tokens after each block, and "output" are
            (B, prefix + N, D), "block_0/attention", ... are the attention
            maps (B, A, prefix + N, prefix + N) float32, rows are queries.

        Raises:
            ValueError: for an unknown name, or maps of a mechanism that has
                none.
        """
        known = self.intermediate_names()
        if names is None:
            names = [n for n in known if not n.endswith("/attention")]
        names = [names] if isinstance(names, str) else list(names)
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ValueError(
                f"Expected names among {known}. Received: names={unknown}."
            )
        images = ops.cast(ops.convert_to_tensor(images), self.compute_dtype)
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
        if ids_keep is not None:
            ids_keep = ops.convert_to_tensor(ids_keep, "int32")
        x, options = self._embed(images, mask, ids_keep, training)
        found = {"embedding": x} if "embedding" in names else {}
        inner = [name for name in names if name != "embedding"]
        found.update(
            self.encoder.intermediates(x, inner, training=training, **options)
        )
        return {name: found[name] for name in names}

    def with_image_shape(self, image_shape, method="bicubic"):
        """The same weights for images of another size.

        Args:
            image_shape: (H, W, C) with the C of this backbone.
            method: how the position table is resampled, as
                `pixmodels.positions.resampling_matrix`. A backbone for rows
                of patches keeps its table as long as that is long enough.

        Returns:
            A new backbone of the same class with copies of the weights.

        Raises:
            ValueError: for another number of channels, a size that the
                patches do not tile, an unknown method, or LoRA weights.
        """
        _lora.refuse(self, "another image_shape")
        image_shape = _image_shape(image_shape)
        if image_shape[-1] != self.image_shape[-1]:
            raise ValueError(
                f"Expected an image_shape with {self.image_shape[-1]} "
                f"channels. Received: image_shape={image_shape}."
            )
        grid = patch_ops.grid_shape(image_shape, self.patch_size)
        if grid == self.grid:
            new_grid = self.position_grid
        else:
            new_grid = self._grid_after_resampling(grid)
        config = self.get_config()
        config.update(image_shape=image_shape, position_grid=new_grid)
        other = type(self).from_config(config)
        table = getattr(self.position_embedding, "table", None)
        for old, new in zip(self.weights, other.weights, strict=True):
            value = ops.convert_to_numpy(old)
            if old is table:
                value = position_tables.resample_positions(
                    value,
                    self.position_grid,
                    new_grid,
                    int(self.class_token),
                    method,
                )
            new.assign(value)
        return other

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        names = (
            "image_shape patch_size num_layers num_heads hidden_dim mlp_dim "
            "attention attention_options dropout_rate attention_dropout "
            "layer_norm_epsilon activation positions position_grid "
            "trainable_positions pixel_offset class_token num_registers "
            "qkv_bias layer_scale drop_path_rate final_norm rotary_base "
            "resample_positions"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        config.update(_quantized.recorded(self))
        return config

    @classmethod
    def from_config(cls, config):
        return _quantized.remade(super().from_config, config)


def _image_shape(image_shape):
    shape = tuple(image_shape)
    if len(shape) != 3 or not all(isinstance(n, int) for n in shape):
        raise ValueError(
            "Expected image_shape as three ints (height, width, channels). "
            f"Received: image_shape={image_shape!r}."
        )
    return shape
