"""Learned distributions of frequencies, for kernelized attention.

Here: their weights, and the frequencies that they make of a drawn noise. Not
here: the features and sums (kernelized), the draws (`_random_features`)."""

import itertools

import keras
import numpy as np
from keras import ops

_NORM_EPSILON = 1e-5
_SLOPE = 0.01


def noise_shape(variant, count, size):
    """(rows, columns) of the noise for `count` features of vectors (E,)."""
    if variant == "generator":
        return count // 2, max(1, size // 2)
    return (count // 4 if variant == "gmm" else count), size


def power_of_two(size):
    """The least power of two that is >= size."""
    return 1 << (size - 1).bit_length()


def build(mixer, variant, size):
    """Adds the weights of a variant to a mixer, as attributes.

    Args:
        mixer: a layer with `num_heads`.
        variant: as `KernelizedAttention`.
        size: E.
    """
    heads = mixer.num_heads
    if variant in ("gmm", "positive"):
        bound = 1 / size
        mean = keras.initializers.RandomUniform(-bound, bound)
        _add(mixer, "mean", (heads, size), mean)
    if variant == "gmm":
        _add(mixer, "spread", (heads, size, size), _normal(size**-0.5))
    elif variant == "positive":
        _add(mixer, "spread", (heads, size), "ones")
    elif variant == "fastfood":
        wide = power_of_two(size)
        _add(mixer, "first_diagonal", (wide,), _signs)
        _add(mixer, "middle_diagonal", (wide,), _normal(1.0))
        _add(mixer, "last_diagonal", (wide,), "ones")
    else:
        widths = (noise_shape(variant, 2, size)[1], 2 * size, 4 * size)
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            _add(
                mixer, f"generator_kernel_{i}", (a, b), _normal((2 / a) ** 0.5)
            )
            _add(mixer, f"generator_gain_{i}", (b,), "ones")
            _add(mixer, f"generator_shift_{i}", (b,), "zeros")
        shape = (widths[-1], size)
        _add(mixer, "generator_kernel", shape, _normal(widths[-1] ** -0.5))
        _add(mixer, "generator_bias", (size,), "zeros")


def _add(mixer, name, shape, initializer):
    weight = mixer.add_weight(
        name=name, shape=shape, initializer=initializer, autocast=False
    )
    setattr(mixer, name, weight)


def _normal(deviation):
    return keras.initializers.RandomNormal(stddev=deviation)


def _signs(shape, dtype=None):
    return ops.where(keras.random.uniform(shape, dtype=dtype) < 0.5, -1.0, 1.0)


def frequencies(mixer, variant, noise, size):
    """The frequencies that the weights make of a noise.

    Args:
        mixer, variant, size: as `build`.
        noise: as `noise_shape`, float32; for "fastfood" (P,) int32.

    Returns:
        (A or 1, m, E) float32.
    """
    if variant == "fastfood":
        return _fastfood(mixer, noise)[None, :, :size]
    if variant == "generator":
        return _generated(mixer, noise)[None]
    mean = ops.convert_to_tensor(mixer.mean)[:, None]  # (A, 1, E)
    spread = ops.convert_to_tensor(mixer.spread)
    if variant == "gmm":
        drawn = ops.matmul(noise, spread)  # (A, n / 4, E)
        return ops.concatenate([drawn + mean, drawn - mean], axis=1)
    half = noise.shape[0] // 2
    signs = np.repeat(np.array([1, -1], "float32"), half)[:, None]
    return noise * spread[:, None] + ops.convert_to_tensor(signs) * mean


def _fastfood(mixer, order):
    """(P, P): a product of diagonals, Hadamard matrices and a permutation.

    Multiplied out: one product for each token instead of two.
    """
    hadamard = np.ones((1, 1), "float32")
    while len(hadamard) < order.shape[0]:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    hadamard = ops.convert_to_tensor(hadamard)
    matrix = hadamard * ops.convert_to_tensor(mixer.first_diagonal)
    matrix = ops.take(matrix, order, axis=0)
    matrix = ops.convert_to_tensor(mixer.middle_diagonal)[:, None] * matrix
    matrix = ops.matmul(hadamard, matrix)
    last = ops.convert_to_tensor(mixer.last_diagonal)[:, None]
    return last * matrix * order.shape[0] ** -0.5


def _generated(mixer, noise):
    """(n / 2, E) in (-1, 1)."""
    for i in range(2):
        kernel, gain, shift = (
            ops.convert_to_tensor(getattr(mixer, f"generator_{name}_{i}"))
            for name in ("kernel", "gain", "shift")
        )
        noise = ops.matmul(noise, kernel)
        mean = ops.mean(noise, axis=0, keepdims=True)
        apart = noise - mean
        variance = ops.mean(ops.square(apart), axis=0, keepdims=True)
        noise = apart * ops.rsqrt(variance + _NORM_EPSILON) * gain + shift
        noise = ops.leaky_relu(noise, negative_slope=_SLOPE)
    kernel = ops.convert_to_tensor(mixer.generator_kernel)
    return ops.tanh(ops.matmul(noise, kernel) + mixer.generator_bias)
