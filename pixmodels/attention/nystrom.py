import keras
import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention.mixer import Mixer

PINV_SCALES = ("matrix", "batch")
_CONVOLUTION_BLOCK = 64


@MIXERS.register("nystrom")
class NystromAttention(Mixer):
    """Softmax attention through a few landmarks (Nyström's method).

    `softmax(q k~') Z softmax(q~ k') v`, where landmarks q~ and k~ are means of
    `num_landmarks` segments and Z approaches the pseudo-inverse of
    `softmax(q~ k~')`; logits are divided by `sqrt(head_dim)`. Source: Xiong et
    al. 2021, "Nyströmformer", eqs. 6, 13 and 14; numbers as Hugging Face
    5.23. Where we differ: segments go by the real tokens, each with a share as
    equal as can be, so that neither padding nor the length enters (there
    padding is part of the means, and the length a multiple of the landmarks);
    with fewer tokens than landmarks each is its own. Everything is float32
    under any policy.

    Args:
        num_heads: A.
        num_landmarks: L.
        iterations: steps towards the pseudo-inverse.
        conv_kernel: None, or the odd length of a convolution of the values
            over the positions, one filter per head, which is added; tokens of
            the prefix take no part in it.
        pinv_scale: "matrix" begins each pseudo-inverse with its own norm
            (`||A||_1`, eq. 14); "batch" with the largest of the batch, as
            released: an example then depends on those beside it.
        dropout_rate: on the mixed values.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `positions` matter to the convolution only; segments go by
        order.

    Raises:
        ValueError: for an unknown `pinv_scale`, counts below 1, or an even
            `conv_kernel`.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("nystrom")
        >>> mixer = cls(num_heads=2, num_landmarks=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    complexity = "O(N L)"
    any_length = False
    small_options = {"num_landmarks": 3, "iterations": 3, "conv_kernel": 3}

    def __init__(
        self,
        num_heads,
        *,
        num_landmarks=64,
        iterations=6,
        conv_kernel=None,
        pinv_scale="matrix",
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            num_landmarks=num_landmarks,
            iterations=iterations,
            conv_kernel=conv_kernel,
            optional=("conv_kernel",),
        )
        if conv_kernel is not None and conv_kernel % 2 == 0:
            raise ValueError(
                "Expected an odd length, the same on both sides. Received: "
                f"conv_kernel={conv_kernel}."
            )
        if pinv_scale not in PINV_SCALES:
            raise ValueError(
                f"Expected pinv_scale among {PINV_SCALES}. Received: "
                f"pinv_scale={pinv_scale!r}."
            )
        self.num_landmarks = num_landmarks
        self.iterations = iterations
        self.conv_kernel = conv_kernel
        self.pinv_scale = pinv_scale

    def build(self, input_shape):
        super().build(input_shape)
        if self.conv_kernel is not None:
            deviation = self.conv_kernel**-0.5
            self.filters = self.add_weight(
                name="filters",
                shape=(self.num_heads, self.conv_kernel),
                initializer=keras.initializers.RandomNormal(stddev=deviation),
            )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key, value = (
            ops.cast(self.split_heads(part(x)), "float32")
            for part in (self.query, self.key, self.value)
        )
        means, real = self._segments(_blocks.static_length(x), mask)
        near, far = ops.matmul(means, query), ops.matmul(means, key)
        columns = None if real is None else real[:, None, None, :]
        allowed = None if mask is None else mask[:, None, None, :]
        middle = self.weights_of(near, far, columns)  # (B, A, L, L)
        if real is not None:
            # A landmark without tokens stands apart from all others.
            eye = ops.eye(middle.shape[-1], dtype="float32")
            middle = ops.where(real[:, None, :, None], middle, eye)
        mixed = ops.matmul(self.weights_of(near, key, allowed), value)
        mixed = ops.matmul(self._inverse(middle), mixed)
        mixed = ops.matmul(self.weights_of(query, far, columns), mixed)
        if self.conv_kernel is not None:
            if mask is not None:
                value = value * ops.cast(mask, "float32")[:, None, :, None]
            mixed = mixed + self._convolved(value, positions, prefix)
        mixed = ops.cast(mixed, self.compute_dtype)
        mixed = self.dropout(self.merge_heads(mixed), training=training)
        return self.output_dense(mixed)

    def _segments(self, length, mask):
        """The matrix that takes means, and which segments have tokens.

        Returns:
            (L, N) or (B, 1, L, N) float32, rows add up to 1 or are 0; and
            (B, L) bool, or None if all have.
        """
        count = min(self.num_landmarks, length)
        if mask is None:
            segment = np.arange(length) * count // length
            members = segment == np.arange(count)[:, None]
            members = members.astype("float32")
            return members / members.sum(1, keepdims=True), None
        real = ops.cast(mask, "int32")
        rank = ops.cumsum(real, axis=1) - 1  # among the real tokens
        total = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
        segment = ops.where(mask, rank * count // total, -1)
        number = ops.arange(count, dtype="int32")[:, None]
        members = ops.cast(segment[:, None, :] == number, "float32")
        sizes = ops.sum(members, axis=-1)  # (B, L)
        means = members / ops.maximum(sizes, 1.0)[..., None]
        return means[:, None], sizes > 0

    def _inverse(self, matrix):
        """Towards the pseudo-inverse of (B, A, L, L), third order steps."""
        norm = ops.max(ops.sum(matrix, axis=-2), axis=-1)[..., None, None]
        if self.pinv_scale == "batch":
            norm = ops.max(norm)
        eye = ops.eye(matrix.shape[-1], dtype="float32")
        inverse = ops.swapaxes(matrix, -1, -2) / norm
        for _ in range(self.iterations):
            product = ops.matmul(matrix, inverse)
            step = ops.matmul(product, 7.0 * eye - product)
            step = ops.matmul(product, 15.0 * eye - step)
            inverse = 0.25 * ops.matmul(inverse, 13.0 * eye - step)
        return inverse

    def _convolved(self, value, positions, prefix):
        """(B, A, N, E): sums over neighbours in position, not in order."""
        half = self.conv_kernel // 2
        length = value.shape[2] - prefix
        size = max(half, _CONVOLUTION_BLOCK)
        if size >= length:
            half, size = 0, max(length, 1)
        wide = _blocks.split(value[:, :, prefix:], 2, size)
        wide = _blocks.with_sides(wide, 2, half, half)
        if positions is None:
            row = np.arange(size)[:, None]
            offset = (np.arange(-half, size + half) - row)[None, None]
        else:
            row = _blocks.split(ops.cast(positions, "int32"), 1, size)
            offset = _blocks.with_sides(row, 1, half, half)
            offset = offset[..., None, :] - row[..., :, None]
        # (B or 1, n or 1, size, keys) places in a filter with a 0 behind it.
        place = ops.convert_to_tensor(offset + self.conv_kernel // 2, "int32")
        inside = (place >= 0) & (place < self.conv_kernel)
        place = ops.where(inside, place, self.conv_kernel)
        filters = ops.pad(ops.cast(self.filters, "float32"), ((0, 0), (0, 1)))
        bands = ops.moveaxis(ops.take(filters, place, axis=1), 0, 1)
        mixed = ops.matmul(bands, wide)  # (B, A, n, size, E)
        shape = (-1, self.num_heads, mixed.shape[2] * size, self._head_dim)
        mixed = ops.reshape(mixed, shape)[:, :, :length]
        return ops.pad(mixed, ((0, 0), (0, 0), (prefix, 0), (0, 0)))

    def get_config(self):
        config = super().get_config()
        config.update(
            num_landmarks=self.num_landmarks,
            iterations=self.iterations,
            conv_kernel=self.conv_kernel,
            pinv_scale=self.pinv_scale,
        )
        return config
