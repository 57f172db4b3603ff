import keras
from keras import ops

from pixmodels import patches as patch_ops
from pixmodels.models import _pixel_distributions
from pixmodels.models import _sampling
from pixmodels.models.causal_decoder import CausalDecoder


@keras.saving.register_keras_serializable(package="pixmodels")
class PatchDecoder(CausalDecoder):
    """A model of images, patch by patch in reading order, around a causal body.

    Every patch is predicted from those before it, in rendered text from left
    to right, in images row by row; patches of one pixel are the raster order.
    The loss is the negative logarithm of a probability of whole levels, so its
    bits per dimension are those of a code for the image.

    Distributions of a patch of P values in L levels:
        "logistic": a mixture of K discretised logistics (Salimans et al. 2017,
            "PixelCNN++", eqs. 1 and 2, whose component is shared by red, green
            and blue: here by the whole patch, so that its values belong
            together). K (1 + 2 P) numbers, neighbouring levels are alike.
        "categorical": a softmax over levels for each value by itself. P L
            numbers, any shape; for small patches and few levels.

    Args:
        body: a causal layer, as `CausalDecoder`.
        image_shape: (H, W, C), of the largest image; rows of patches may be
            shorter.
        patch_size: int or (height, width) in pixels.
        hidden_dim: D.
        distribution: "logistic" or "categorical".
        components: K.
        levels: L; pixels are ints in [0, L).
        positions: "none", "learned" or "sincos", over the grid of patches.
        dropout_rate: of the inputs of the body.

    Call arguments:
        inputs: (B, H, W) or (B, H, W, C) ints in [0, levels), or a dict with
            `pixels`: these;
            `num_patches`: (B,) int, text patches without the end patch
                (optional: only these and the end patch count);
            `previous`: (B, P) the values of the patch before the first one,
                negative where there is none (optional).
        memory: None, or what the segment before gave.
        training: bool.

    Returns:
        dict with `logits` (B, M, parameters) for the last M patches (all N for
        most bodies), and with a `memory` the next `memory`.

    Raises:
        ValueError: for an unknown distribution, fewer than two levels, or
            images that the patches do not tile.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.layers.TransformerStack(
        ...     1, num_heads=2, mlp_dim=16,
        ...     attention_options={"causal": True})
        >>> model = pixmodels.models.PatchDecoder(
        ...     stack, (4, 20, 1), (4, 2), hidden_dim=8, components=3)
        >>> model(np.zeros((5, 4, 20), "uint8"))["logits"].shape
        TensorShape([5, 10, 51])
        >>> model.sample(2, seed=1).shape
        TensorShape([2, 4, 20, 1])
    """

    unit = "dim"
    config_names = "image_shape patch_size distribution components levels"

    def __init__(
        self,
        body,
        image_shape,
        patch_size,
        *,
        hidden_dim,
        distribution="logistic",
        components=10,
        levels=256,
        positions="none",
        position_grid=None,
        **kwargs,
    ):
        size = patch_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        grid = patch_ops.grid_shape(image_shape, size)
        super().__init__(
            body,
            hidden_dim=hidden_dim,
            positions=positions,
            position_grid=position_grid or grid,
            **kwargs,
        )
        if distribution not in _pixel_distributions.KINDS:
            raise ValueError(
                "Expected distribution among "
                f"{_pixel_distributions.KINDS}. Received: "
                f"distribution={distribution!r}."
            )
        if levels < 2 or components < 1:
            raise ValueError(
                "Expected levels >= 2 and components >= 1. Received: "
                f"levels={levels}, components={components}."
            )
        self.image_shape = tuple(image_shape)
        self.patch_size = size
        self.distribution = distribution
        self.components = components
        self.levels = levels
        self._distribution = _pixel_distributions.distribution(
            distribution, self.values_per_item(), levels, components
        )
        self.build(None)

    def values_per_item(self):
        return self.patch_size[0] * self.patch_size[1] * self.image_shape[-1]

    @property
    def grid(self):
        """(R, C), the patches of an image of `image_shape`."""
        return patch_ops.grid_shape(self.image_shape, self.patch_size)

    def build_parts(self):
        values, width = self.values_per_item(), self.hidden_dim
        start = self._distribution.initial()

        def first(shape, dtype=None):
            return ops.convert_to_tensor(start, dtype)

        self.embedding = keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.VarianceScaling(1.0),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.prediction = keras.layers.Dense(
            len(start),
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            bias_initializer=first,
            name="prediction",
            dtype=self.dtype_policy,
        )
        self.embedding.build((None, None, values))
        self.prediction.build((None, None, width))

    def items_of(self, inputs):
        pixels = inputs["pixels"] if isinstance(inputs, dict) else inputs
        pixels = ops.convert_to_tensor(pixels)
        pixels = pixels[..., None] if len(pixels.shape) == 3 else pixels
        shape, channels = tuple(pixels.shape), self.image_shape[-1]
        if len(shape) != 4 or shape[-1] != channels:
            raise ValueError(
                f"Expected pixels (B, H, W, {channels}), or (B, H, W) of one "
                f"channel. Received: pixels.shape={shape}."
            )
        if "int" not in keras.backend.standardize_dtype(pixels.dtype):
            raise ValueError(
                f"Expected pixels as ints in [0, {self.levels}), whose "
                "probabilities are the loss. Received: pixels.dtype="
                f"{keras.backend.standardize_dtype(pixels.dtype)}."
            )
        patch_ops.grid_shape(shape[1:], self.patch_size)
        items = patch_ops.patchify(ops.cast(pixels, "int32"), self.patch_size)
        mask = None
        if isinstance(inputs, dict):
            mask = patch_ops.attended(inputs, items.shape[1])
        return items, mask

    def embed(self, items):
        x = ops.cast(items, self.compute_dtype) * (2.0 / (self.levels - 1))
        return self.embedding(x - 1.0)

    def head(self, features):
        return self.prediction(features)

    def losses(self, parameters, items):
        return self._distribution.nats(parameters, items)

    def draw(self, parameters, uniform, *, temperature=1.0, top_k=None):
        return self._distribution.draw(
            parameters, uniform, temperature=temperature, top_k=top_k
        )

    def sample(
        self,
        batch_size=1,
        *,
        prompt=None,
        num_given=0,
        columns=None,
        seed=0,
        temperature=1.0,
        top_k=None,
    ):
        """Draws images, patch by patch, with caches.

        A function of its arguments, as `TokenDecoder.sample`.

        Args:
            batch_size: B without a prompt.
            prompt: (B, H, W) or (B, H, W, C) ints whose first patches stay.
            num_given: how many of its patches.
            columns: patches in a row without a prompt; those of `image_shape`
                by default.
            seed: int.
            temperature: of the choice of components and of their scales, or
                of the levels; 0 takes the likeliest component or level.
            top_k: choose among so many components, or levels, only.

        Returns:
            (B, H, W, C) int32.

        Raises:
            ValueError: for options that mean nothing.
        """
        _sampling.check(temperature, top_k)
        if prompt is None:
            height, width, channels = self.image_shape
            if columns is not None:
                width = columns * self.patch_size[1]
            shape = (batch_size, height, width, channels)
            prompt = ops.zeros(shape, dtype="int32")
        prompt = ops.convert_to_tensor(prompt)
        items, _ = self.items_of(prompt)
        grid = patch_ops.grid_shape(prompt.shape[1:], self.patch_size)
        items = self.continued(
            items,
            num_given,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
        )
        return patch_ops.unpatchify(items, grid, self.patch_size)

    def batch_spec(self, batch_size, length=None):
        """Shapes and dtypes of a training batch, as `MaskedAutoencoder`'s.

        Args:
            batch_size: B.
            length: N for images of one row; all of `image_shape` if None.

        Returns:
            dict name -> (shape, dtype).
        """
        height, width, channels = self.image_shape
        if length is not None:
            width = length * self.patch_size[1]
        shape = (batch_size, height, width)
        return {
            "pixels": (shape if channels == 1 else (*shape, channels), "uint8"),
            "num_patches": ((batch_size,), "int32"),
            "weight": ((batch_size,), "float32"),
            "example_id": ((batch_size,), "int32"),
        }
