import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _convolutions
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import masked_softmax

# In positions: the next token's share is exp(-5000), which is 0.
_LEAST_SIZE = 1e-2


@MIXERS.register("context_pool")
class ContextPoolAttention(Mixer):
    """Attention between tokens that have first been pooled with their context.

    Two convolutions give each token a weight w in (0, 1) and a share s in
    (0, 1); `sigma = radius n s`. Each token becomes a mean of all, token j
    with the share `w_j exp(-(p_i - p_j)^2 / (2 sigma_i^2))`, and attention
    runs on these. In two dimensions the exponents of rows and columns add up,
    each with its own n, and the convolutions go over the grid.

    Source: Huang et al. 2022, "Efficient Representation Learning via Adaptive
    Context Pooling", section 3, in our reading: there is no public code, and
    the numbers we are tested against are of a reference of our own. The
    paper pools after each attention block, for the next one's use; here a
    mixer pools what comes in. n is one more than the last real position (of an
    axis), so that padding behind does not matter. Pooling is exact, over all
    pairs: sigma grows with n, so that a cut at three sigma would leave a
    share of all pairs and the cost quadratic. Shares, convolutions and their
    logarithms are float32 under any policy.

    Args:
        num_heads: A.
        attention: name of the mechanism that runs on the pooled tokens.
        attention_options: dict of further constructor arguments of it.
        radius: r, the largest sigma as a share of the length.
        kernel_size: k, odd, of both convolutions.
        hidden_dim: channels between them.
        dimensions: 1 or 2; 2 takes `grid`.
        Others: as `Mixer`, for the inner mechanism.

    Call arguments:
        As `Mixer`. Distances and convolutions go by `positions`; places that a
        subset leaves out are 0 for the convolutions, as padding is. Tokens of
        the prefix are not pooled, nor into others.

    Raises:
        ValueError: for sizes below 1, an even kernel, a radius of 0 or less,
            other dimensions, a causal or stateful mechanism inside, more
            tokens than the grid has, and what the one inside refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("context_pool")(num_heads=2)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> x = np.random.default_rng(0).normal(size=(1, 5, 8))
        >>> mixer.pool(x).shape
        TensorShape([1, 5, 8])
    """

    complexity = "O(N^2)"
    rotary = True
    small_options = {"hidden_dim": 5, "radius": 0.3}

    def __init__(
        self,
        num_heads,
        *,
        attention="softmax",
        attention_options=None,
        radius=0.1,
        kernel_size=3,
        hidden_dim=16,
        dimensions=1,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(kernel_size=kernel_size, hidden_dim=hidden_dim)
        if kernel_size % 2 == 0:
            raise ValueError(
                "Expected an odd length, the same on both sides. Received: "
                f"kernel_size={kernel_size}."
            )
        if not radius > 0:
            raise ValueError(f"Expected radius > 0. Received: radius={radius}.")
        if dimensions not in (1, 2):
            raise ValueError(
                "Expected dimensions=1 or dimensions=2. Received: "
                f"dimensions={dimensions}."
            )
        self.attention = attention
        self.attention_options = dict(attention_options or {})
        self.radius = radius
        self.kernel_size = kernel_size
        self.hidden_dim = hidden_dim
        self.dimensions = dimensions
        self._take_properties(MIXERS.get(attention))

    def _take_properties(self, cls):
        """Refuses mechanisms that do not fit; what holds inside holds here."""
        if cls.stateful or self.attention_options.get("causal"):
            raise ValueError(
                "Expected a mechanism without state and causal=False: pooling "
                "looks at both sides. Received: "
                f"attention={self.attention!r}, "
                f"attention_options={self.attention_options}."
            )
        self.length_invariant = cls.length_invariant
        self.any_length = cls.any_length and self.dimensions == 1

    def build(self, input_shape):
        width, hidden = input_shape[-1], self.hidden_dim
        self.mixer = MIXERS.get(self.attention)(
            self.num_heads,
            name="mixer",
            dtype=self.dtype_policy,
            **{
                "head_dim": self.head_dim,
                "use_bias": self.use_bias,
                "qkv_bias": self.qkv_bias,
                "rotary": self.rotary,
                "dropout_rate": self.dropout_rate,
                "salt": f"{self.salt}/pooled",
                **self.attention_options,
            },
        )
        self.mixer.build(input_shape)
        self.max_length = self.mixer.max_length
        taps = (self.kernel_size,) * self.dimensions
        self.kernel_1 = self._kernel("kernel_1", (*taps, width, hidden), 2)
        self.bias_1 = self._bias("bias_1", hidden)
        self.kernel_2 = self._kernel("kernel_2", (*taps, hidden, 2), 1)
        self.bias_2 = self._bias("bias_2", 2)
        self.built = True

    def _kernel(self, name, shape, gain):
        """Normal numbers that keep the variance, twice it before a ReLU."""
        fan = self.kernel_size**self.dimensions * shape[-2]
        deviation = (gain / fan) ** 0.5
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            autocast=False,
        )

    def _bias(self, name, size):
        return self.add_weight(
            name=name, shape=(size,), initializer="zeros", autocast=False
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        return self.mixer(
            self.pool(x, mask, positions, prefix, grid),
            mask=mask,
            positions=positions,
            prefix=prefix,
            training=training,
            grid=grid,
        )

    def pool(self, x, mask=None, positions=None, prefix=0, grid=None):
        """The tokens that attention runs on.

        Args:
            As `call`.

        Returns:
            (B, N, D) as `x`.
        """
        x = ops.convert_to_tensor(x, self.compute_dtype)
        front, x = x[:, :prefix], x[:, prefix:]
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, prefix:]
        weight, size, place = self._supports(x, mask, positions, grid)
        logits = weight[:, None, :]
        for axis in range(self.dimensions):
            at = place[..., axis]  # (B or 1, N)
            apart = at[:, :, None] - at[:, None, :]
            narrow = 0.5**0.5 / size[..., axis]
            logits = logits - ops.square(apart * narrow[:, :, None])
        allowed = None if mask is None else mask[:, None, :]
        shares = ops.cast(masked_softmax(logits, allowed), x.dtype)
        pooled = ops.matmul(shares, x)
        return ops.concatenate([front, pooled], axis=1) if prefix else pooled

    def supports(self, x, mask=None, positions=None, prefix=0, grid=None):
        """What the convolutions make of the tokens after the prefix.

        Args:
            As `call`.

        Returns:
            Their weights w (B, N - prefix), 0 at padding, and sigma in
            positions, (B, N - prefix, `dimensions`), both float32.
        """
        x = ops.convert_to_tensor(x, self.compute_dtype)[:, prefix:]
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, prefix:]
        weight, size, _ = self._supports(x, mask, positions, grid)
        weight = ops.exp(weight)
        if mask is not None:
            weight = weight * ops.cast(mask, weight.dtype)
        return weight, size

    def _supports(self, x, mask, positions, grid):
        """Without a prefix: log w (B, N), sigma (B, N, dimensions) and places
        (B or 1, N, dimensions), all float32."""
        x = at_least_float32(x)
        if self.dimensions == 2:
            grid = grid or (1, x.shape[1])
            self._check_grid(x, grid)
        real = None
        if mask is not None:
            real = ops.cast(mask, x.dtype)[..., None]
            x = x * real
        hidden = self._convolved(x, self.kernel_1, positions, grid)
        hidden = ops.relu(hidden + self.bias_1)
        if real is not None:
            hidden = hidden * real
        found = self._convolved(hidden, self.kernel_2, positions, grid)
        found = found + self.bias_2
        place = self._places(x, positions, grid)
        seen = place if real is None else place * real
        extent = ops.max(seen, axis=1, keepdims=True) + 1.0
        size = self.radius * extent * ops.sigmoid(found[..., 1:])
        size = ops.maximum(size, _LEAST_SIZE)
        return ops.log_sigmoid(found[..., 0]), size, place

    def _convolved(self, x, kernel, positions, grid):
        kernel = ops.cast(kernel, x.dtype)
        if self.dimensions == 1:
            return _convolutions.along(x, kernel, positions)
        return _convolutions.over_grid(x, kernel, positions, grid)

    def _places(self, x, positions, grid):
        """Coordinates of the tokens: (B or 1, N, dimensions)."""
        if positions is None:
            place = ops.arange(ops.shape(x)[1], dtype="int32")[None]
        else:
            place = ops.cast(positions, "int32")
        if self.dimensions == 1:
            return ops.cast(place, x.dtype)[..., None]
        place = [place // grid[1], place % grid[1]]
        return ops.cast(ops.stack(place, axis=-1), x.dtype)

    def _check_grid(self, x, grid):
        if x.shape[1] is None or x.shape[1] > grid[0] * grid[1]:
            raise ValueError(
                "Expected a static length, at most that of the grid. "
                f"Received: x.shape={tuple(x.shape)} without the prefix, "
                f"grid={grid}."
            )

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        x = self.pool(x, mask, positions, prefix, grid)
        return self.mixer.attention_map(x, mask, positions, prefix, grid)

    def get_config(self):
        config = super().get_config()
        config.update(
            attention=self.attention,
            attention_options=self.attention_options,
            radius=self.radius,
            kernel_size=self.kernel_size,
            hidden_dim=self.hidden_dim,
            dimensions=self.dimensions,
        )
        return config
