import keras
from keras import ops

from pixmodels import _quantized
from pixmodels import patches as patch_ops
from pixmodels import random
from pixmodels._precision import at_least_float32
from pixmodels._registry import TASKS
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.layers.transformer_stack import TransformerStack
from pixmodels.masking import num_masked
from pixmodels.models import _mask_checks
from pixmodels.models import _pictures
from pixmodels.models import _shuffle
from pixmodels.positions import resample_positions

_PARTS = ("decoder_embedding", "decoder_positions", "decoder", "prediction")


@TASKS.register("masked_autoencoder")
class MaskedAutoencoder(keras.Model):
    """Masked-patch reconstruction around an encoder (MAE, PIXEL).

    The encoder sees the patches that are not hidden, in reading order; a
    narrow decoder sees them with a mask token in each gap and predicts every
    patch. The loss is the squared error of the patches that are hidden and
    attended.

    Source: He et al. 2021 (`models_mae.py`), Rust et al. 2023
    (`modeling_pixel.py`). Differences: kept patches are sorted, so that
    mechanisms that depend on order work (softmax attention gives the same
    numbers either way); any grid; the mean over a batch is kept as a sum and
    a count, so that it can be exact across replicas.

    Args:
        encoder: a `PatchBackbone`.
        decoder_num_layers, decoder_num_heads, decoder_hidden_dim,
        decoder_mlp_dim: ints, PIXEL's by default.
        mask_ratio: share of the N patches that is hidden, in (0, 1).
        norm_pix_loss: predict patches with zero mean and unit (unbiased)
            deviation instead of raw pixels.
        decoder_attention, decoder_attention_options: the decoder's mixer;
            the encoder's by default.
        decoder_norm_epsilon: of the decoder's final LayerNorm, 1e-5 in PIXEL;
            MAE on images has the encoder's.

    Call arguments:
        inputs: dict with
            `pixels`: (B, H, W) or (B, H, W, C), uint8 or float in [0, 1];
            `num_patches`: (B,) int32, text patches without the end patch
                (optional: all patches are attended without it);
            `patch_mask`: (B, N), 1 = hidden, exactly `num_masked(N,
                mask_ratio)` of them in each row (optional: random masking
                that hides at least one text patch); or
            `noise`: (B, N) float, the smallest are kept.
        training: bool.

    Returns:
        dict with `logits` (B, N, P), the predicted patches, `mask` (B, N)
        float32, 1 = hidden, `ids_keep` (B, K) int32 and `ids_restore` (B, N)
        int32, the place of each patch among kept, then hidden ones.

    Example:
        >>> import numpy as np
        >>> encoder = pixmodels.PIXELBackbone(
        ...     (16, 16 * 9, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.MaskedAutoencoder(
        ...     encoder, decoder_num_layers=1, decoder_num_heads=2,
        ...     decoder_hidden_dim=8, decoder_mlp_dim=16)
        >>> pixels = np.ones((2, 16, 16 * 9), "uint8")
        >>> model({"pixels": pixels})["logits"].shape
        TensorShape([2, 9, 256])
    """

    # Constructor arguments of a tiny instance, for tests.
    small_options = {
        "decoder_num_layers": 1,
        "decoder_num_heads": 2,
        "decoder_hidden_dim": 8,
        "decoder_mlp_dim": 11,
    }

    def __init__(
        self,
        encoder,
        *,
        decoder_num_layers=8,
        decoder_num_heads=16,
        decoder_hidden_dim=512,
        decoder_mlp_dim=2048,
        mask_ratio=0.25,
        norm_pix_loss=True,
        decoder_attention=None,
        decoder_attention_options=None,
        decoder_norm_epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 < mask_ratio < 1:
            raise ValueError(
                f"Expected 0 < mask_ratio < 1. Received: "
                f"mask_ratio={mask_ratio}."
            )
        # === Config ===
        self.encoder = encoder
        self.decoder_num_layers = decoder_num_layers
        self.decoder_num_heads = decoder_num_heads
        self.decoder_hidden_dim = decoder_hidden_dim
        self.decoder_mlp_dim = decoder_mlp_dim
        self.mask_ratio = mask_ratio
        self.norm_pix_loss = norm_pix_loss
        self.decoder_attention = decoder_attention
        self.decoder_attention_options = decoder_attention_options
        self.decoder_norm_epsilon = decoder_norm_epsilon
        # === Layers ===
        height, width = encoder.patch_size
        self._patch_values = height * width * encoder.image_shape[-1]
        self.decoder_embedding = self._dense(decoder_hidden_dim, "embedding")
        self.decoder_positions = PositionEmbedding(
            encoder.position_grid,
            positions="sincos",
            prefix=int(encoder.class_token),
            num_registers=encoder.num_registers,
            method=encoder.position_embedding.method,
            name="decoder_positions",
            dtype=self.dtype_policy,
        )
        same = decoder_attention is None
        self.decoder = TransformerStack(
            decoder_num_layers,
            decoder_num_heads,
            decoder_mlp_dim,
            attention=encoder.attention if same else decoder_attention,
            attention_options=(
                encoder.attention_options if same else decoder_attention_options
            ),
            dropout_rate=encoder.dropout_rate,
            attention_dropout=encoder.attention_dropout,
            layer_norm_epsilon=encoder.layer_norm_epsilon,
            final_norm_epsilon=decoder_norm_epsilon,
            activation=encoder.activation,
            qkv_bias=encoder.qkv_bias,
            salt="decoder",
            name="decoder",
            dtype=self.dtype_policy,
        )
        self.prediction = self._dense(self._patch_values, "prediction")
        self.build(None)

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=f"decoder_{name}",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape=None):
        if self.built:
            return
        width = (None, None, self.decoder_hidden_dim)
        self.decoder_embedding.build((None, None, self.encoder.hidden_dim))
        self.decoder_positions.build(width)
        self.mask_token = self.add_weight(
            name="mask_token",
            shape=(1, 1, self.decoder_hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.decoder.build(width)
        self.prediction.build(width)
        if not hasattr(self, "_noise_seed"):
            self._noise_seed = keras.random.SeedGenerator()
        self.built = True

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, dict):
            # Here arrays are not tensors yet, which cannot be looked at inside
            # a graph, nor without a wait on an accelerator.
            _mask_checks.check_values(
                inputs, self.mask_ratio, self.encoder.patch_size
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None):
        images = self.images_of(inputs)
        grid = self._grid(images)
        length = grid[0] * grid[1]
        for name in ("patch_mask", "noise"):
            _mask_checks.check_length(name, inputs.get(name), grid)
        attended = patch_ops.attended(inputs, length)
        hidden = self._hidden(inputs, length, attended)
        kept = ops.logical_not(hidden)
        count = length - num_masked(length, self.mask_ratio)
        ids_keep = _shuffle.true_places(kept, count)
        encoded = self.encoder(
            images, mask=attended, ids_keep=ids_keep, training=training
        )
        ids_restore = _shuffle.rank(kept)
        x = self._restored(encoded, kept, ids_restore)
        logits = self._decode(x, attended, grid, training)
        return {
            "logits": logits,
            "mask": ops.cast(hidden, "float32"),
            "ids_keep": ids_keep,
            "ids_restore": ids_restore,
        }

    def images_of(self, inputs):
        """The `pixels` of `inputs`: (B, H, W, C) float in [0, 1]."""
        return patch_ops.images_of(inputs, self.encoder.image_shape[-1])

    def _grid(self, images):
        grid = self.encoder.check_images(images)
        if grid is None:
            raise ValueError(
                "Expected images of a static size: how many patches are kept "
                f"depends on it. Received: images.shape={images.shape}."
            )
        length = grid[0] * grid[1]
        if num_masked(length, self.mask_ratio) >= length:
            raise ValueError(
                f"Expected images of enough patches to keep one at mask_ratio="
                f"{self.mask_ratio}. Received: {length} patches, "
                f"images.shape={tuple(images.shape)}."
            )
        return grid

    def _hidden(self, inputs, length, attended):
        count = length - num_masked(length, self.mask_ratio)
        if inputs.get("patch_mask") is not None:
            hidden = ops.cast(inputs["patch_mask"], "bool")
            # A row that hides too few or too many is cut to the static count.
            return _shuffle.rank(ops.logical_not(hidden)) >= count
        noise = inputs.get("noise")
        if noise is None:
            noise = self._noise(inputs, length)
            if attended is not None:
                # The noisiest text patch is hidden whatever the others draw,
                # so that no example is without a loss.
                text = ops.where(attended, noise, -1.0)
                first = ops.max(text, axis=1, keepdims=True)
                noise = ops.where(text == first, 2.0, noise)
        order = ops.argsort(ops.argsort(noise, axis=1), axis=1)
        return order >= count

    def _noise(self, inputs, length):
        salt = random.salt_of("masked_autoencoder/noise")
        if random.in_key_scope():
            return random.uniform(salt, length)
        batch = ops.shape(inputs["pixels"])[0]
        return keras.random.uniform((batch, length), seed=self._noise_seed)

    def _restored(self, encoded, kept, ids_restore):
        """Tokens of all patches, mask tokens in the gaps."""
        prefix = self.encoder.prefix
        x = self.decoder_embedding(encoded)
        first, x = x[:, :prefix], x[:, prefix:]
        places = ops.minimum(ids_restore, ops.shape(x)[1] - 1)
        x = ops.take_along_axis(x, places[..., None], axis=1)  # (B, N, D)
        x = ops.where(kept[..., None], x, ops.cast(self.mask_token, x.dtype))
        return ops.concatenate([first, x], axis=1) if prefix else x

    def _decode(self, x, attended, grid, training):
        prefix = self.encoder.prefix
        table = self.encoder.table_grid(grid)
        x = self.decoder_positions(x, grid=table)
        if attended is not None and prefix:
            front = ((0, 0), (prefix, 0))
            attended = ops.pad(attended, front, constant_values=True)
        x = self.decoder(
            x, mask=attended, prefix=prefix, training=training, grid=grid
        )
        return self.prediction(x[:, prefix:])

    def targets(self, inputs):
        """What `logits` should be: (B, N, P) float32; float64 in float64."""
        patches = patch_ops.patchify(
            self.images_of(inputs), self.encoder.patch_size
        )
        wide = self.compute_dtype == "float64"
        patches = ops.cast(patches, "float64" if wide else "float32")
        if not self.norm_pix_loss:
            return patches
        mean, deviation = patch_ops.patch_statistics(patches)
        return (patches - mean) / deviation

    def loss_sums(self, batch, key, training=True):
        """The step definition: squared error of hidden, attended patches.

        Args:
            batch: the dict of `call`, with `example_id` (B,) int32 and
                optionally `weight` (B,) float32, 0 for filler examples.
            key: (2,) int32, `[seed, step]`.
            training: bool.

        Returns:
            (numerators, counts): dicts of float32 scalars (float64 for a
            float64 model), key "loss": the sum over patches of the mean
            squared error of a patch, and the number of these patches.
        """
        with random.key_scope(key, batch["example_id"]):
            outputs = self(batch, training=training)
        total, count = self._error(batch, outputs)
        return {"loss": total}, {"loss": count}

    def _error(self, inputs, outputs):
        logits = at_least_float32(outputs["logits"])
        targets = ops.cast(self.targets(inputs), logits.dtype)
        error = ops.square(logits - targets)
        error = ops.mean(error, axis=-1)  # (B, N)
        counted = outputs["mask"]
        attended = patch_ops.attended(inputs, counted.shape[1])
        if attended is not None:
            counted = counted * ops.cast(attended, "float32")
        if inputs.get("weight") is not None:
            counted = counted * ops.cast(inputs["weight"], "float32")[:, None]
        counted = ops.cast(counted, error.dtype)
        return ops.sum(error * counted), ops.sum(counted)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Lets plain `compile` and `fit(inputs)` train the model."""
        total, count = self._error(x, y_pred)
        return total / ops.maximum(count, 1.0)

    def reconstruct(self, inputs, key=(0, 0)):
        """Pictures of what the model sees and what it predicts.

        Args:
            inputs: the dict of `call`; with `example_id`, random masks are
                keyed on it, else on the place in the batch.
            key: [seed, step] of the random masks.

        Returns:
            dict of (B, H, W, C) float32 in [0, 1]: `original`, `masked`
            (hidden patches grey) and `reconstructed` (hidden patches as
            predicted; with `norm_pix_loss`, given the mean and deviation of
            the true patch, as MAE's and PIXEL's demos do).
        """
        return _pictures.reconstruct(self, inputs, key)

    def read(self, inputs, reader, key=(0, 0)):
        """Text out of the pixels that the model predicts.

        Args:
            inputs, key: as for `reconstruct`.
            reader: a `pixmodels.renderers.PixelReader` of the renderer that
                drew the texts.

        Returns:
            list of B `ReadText`.
        """
        pictures = self.reconstruct(inputs, key)["reconstructed"]
        ends = inputs.get("num_patches")
        if ends is not None:
            ends = ops.convert_to_numpy(ends)
        return reader.read(pictures, ends)

    def batch_spec(self, batch_size, length=None):
        """Shapes and dtypes of a training batch.

        Args:
            batch_size: B.
            length: N for backbones of one row; all of `image_shape` if None.

        Returns:
            dict name -> (shape, dtype).
        """
        height, width, _ = self.encoder.image_shape
        if length is not None:
            width = length * self.encoder.patch_size[1]
        return {
            "pixels": ((batch_size, height, width), "uint8"),
            "num_patches": ((batch_size,), "int32"),
            "weight": ((batch_size,), "float32"),
            "example_id": ((batch_size,), "int32"),
        }

    def with_image_shape(self, image_shape, method="bicubic"):
        """The same weights for images of another size.

        Args, Returns, Raises: as `PatchBackbone.with_image_shape`; the
        decoder's table is resampled as the encoder's.
        """
        encoder = self.encoder.with_image_shape(image_shape, method)
        config = {**self.get_config(), "encoder": encoder}
        other = type(self).from_config(config)
        old_grid, grid = self.encoder.position_grid, encoder.position_grid
        for name in _PARTS:
            part = getattr(self, name)
            values = part.get_weights()
            if name == "decoder_positions":
                values = [
                    resample_positions(
                        values[0], old_grid, grid, part.prefix, method
                    )
                ]
            getattr(other, name).set_weights(values)
        other.mask_token.assign(self.mask_token)
        return other

    def get_config(self):
        config = super().get_config()
        names = (
            "decoder_num_layers decoder_num_heads decoder_hidden_dim "
            "decoder_mlp_dim mask_ratio norm_pix_loss decoder_attention "
            "decoder_attention_options decoder_norm_epsilon"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        encoder = keras.saving.serialize_keras_object(self.encoder)
        config.update(encoder=encoder, **_quantized.recorded(self))
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["encoder"], dict):
            config["encoder"] = keras.saving.deserialize_keras_object(
                config["encoder"]
            )
        return _quantized.remade(lambda config: cls(**config), config)
