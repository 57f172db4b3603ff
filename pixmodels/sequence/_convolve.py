"""Long convolutions along the tokens, each feature with its own kernel.

Here: by a Fourier transform, and as a product with a Toeplitz matrix. Not
here: the kernels, and convolutions by blocks with a state (`_blockwise`).

A kernel is (K, D, L). The first weighs what came, `sum_(s<=t) k0[t - s] x_s`;
a second one what comes, `sum_(s>t) k1[s - t - 1] x_s`, which does not count
the token itself again."""

import keras
from keras import ops

from pixmodels.sequence import _diagonals


def convolve(x, kernel, skip=None):
    """By a Fourier transform of twice the length.

    Args:
        x: (B, N, D) float32 or float64, N > 0.
        kernel: (K, D, L), K 1 or 2, L >= N; L - N last taps are not used.
        skip: (D,), added to `k0[0]`, or None.

    Returns:
        (B, N, D). Every output depends on every input by rounding, 1e-7 of
        the largest one, even of a causal kernel.
    """
    length = x.shape[1]
    size = fast_size(2 * length)
    x = ops.transpose(x, (0, 2, 1))
    kernel = around(kernel[..., :length], size, skip)
    y = on_circle(x, kernel, size)
    return ops.transpose(y[..., :length], (0, 2, 1))


def around(kernel, size, skip=None):
    """A kernel (K, D, L) on a circle of `size` >= 2 L places: (D, size)."""
    ways, width, length = kernel.shape
    parts = [kernel[0]]
    if skip is not None:
        parts = [kernel[0, :, :1] + skip[:, None], kernel[0, :, 1:]]
    parts.append(ops.zeros((width, size - ways * length), dtype=kernel.dtype))
    if ways == 2:
        parts.append(ops.flip(kernel[1], axis=-1))
    return ops.concatenate(parts, axis=-1)


def fast_size(length):
    """The least number >= `length` of the form 2^k, 3 2^k or 5 2^k."""
    power = 1 << max(0, (length - 1).bit_length() - 3)
    return power * next(n for n in (1, 2, 3, 4, 5, 6, 8) if n * power >= length)


def on_circle(x, kernel, size):
    """`circular`, in the form that the backend is quickest with."""
    form = _circular if keras.backend.backend() == "tensorflow" else circular
    return form(x, kernel, size)


def circular(x, kernel, size):
    """Circular convolution over the last axis: (B, D, n) with (D, size)."""
    a, b = ops.rfft(x, fft_length=size)
    c, d = ops.rfft(kernel, fft_length=size)
    return ops.irfft((a * c - b * d, a * d + b * c), fft_length=size)


def _circular(x, kernel, size):
    """As `circular`, with complex numbers of TensorFlow.

    They need not be taken apart and joined again: 1.46 times as fast as a
    graph at (2, 256, 4096), and 1.37 with gradients; the same under XLA.
    """
    import tensorflow as tf

    spectrum = tf.signal.rfft(x, [size]) * tf.signal.rfft(kernel, [size])
    return tf.signal.irfft(spectrum, [size])


def toeplitz(kernel, size):
    """A kernel (K, D, L) as matrices for rows of `size` <= L tokens.

    Returns:
        (D, size, size): a row times it is convolved.
    """
    past = kernel[0][:, :size]
    before = ops.zeros_like(past[:, 1:])
    if kernel.shape[0] == 2:
        before = ops.flip(kernel[1][:, : size - 1], axis=-1)
    # Lags from 1 - size to size - 1, and one more that no row reaches.
    taps = ops.concatenate([before, past, ops.zeros_like(past[:, :1])], axis=-1)
    return _diagonals.sheared(taps, size)
