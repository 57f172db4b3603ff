"""States of diagonal systems, all of them along a sequence.

Here: `s_t = z s_(t-1) + u_t` for complex u, by blocks, by Fourier transforms
and token by token. Not here: single outputs made of many states, for which
states need not be kept (`_diagonal`)."""

import functools

import keras
import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.sequence import _blockwise
from pixmodels.sequence import _convolve
from pixmodels.sequence import _vandermonde


def by_blocks(u, rate, angle, size):
    """All states, in products of real triangular matrices.

    In a block, u is turned back by its place times the angle: what is left
    decays without turning, real and imaginary parts alike.

    Args:
        u: (B, N, 2 M), real parts first; N > 0.
        rate, angle: (M,), of `z = exp(-rate + i angle)`.
        size: tokens in a block.

    Returns:
        (B, N, 2 M).
    """
    length, half = u.shape[1], u.shape[2] // 2
    size = min(size, length)
    places = np.arange(size)
    phase = _vandermonde.phases(angle, places)  # (M, size)
    turn = (ops.cos(phase)[:, None, None], ops.sin(phase)[:, None, None])
    back = (turn[0], -turn[1])
    # (B, n, size, 2 M) -> (2 M, B, n, size)
    u = ops.transpose(_blocks.split(u, 1, size), (3, 0, 1, 2))
    count = u.shape[2]
    u = ops.stack(_vandermonde.times(back, (u[:half], u[half:])), axis=1)
    lag = places[None, :] - places[:, None]
    decay = ops.exp(-rate[:, None, None] * _constant(np.maximum(lag, 0), u))
    decay = decay * _constant(lag >= 0, u)  # (M, size, size)
    flat = ops.reshape(u, (half, -1, size))
    found = ops.reshape(ops.matmul(flat, decay), (half, 2, -1, count, size))
    found = _vandermonde.times(turn, (found[:, 0], found[:, 1]))
    if count > 1:
        ends = ops.stack([part[..., -1] for part in found], axis=-1)

        @functools.cache
        def power(blocks):
            steps = np.array([size * blocks])
            parts = _vandermonde.powers(rate, angle, steps)
            return tuple(part[:, None] for part in parts)  # (M, 1, 1)

        def on(states, blocks):  # (M, B, n, 2)
            parts = (states[..., 0], states[..., 1])
            parts = _vandermonde.times(power(blocks), parts)
            return ops.stack(parts, axis=-1)

        before = _blockwise.before(ends, on)
        reach = _vandermonde.powers(rate, angle, places + 1)
        carried = _vandermonde.times(
            tuple(part[:, None, None] for part in reach),
            (before[..., :1], before[..., 1:]),
        )
        found = tuple(x + y for x, y in zip(found, carried))
    found = ops.concatenate(found, axis=0)
    found = ops.reshape(found, (2 * half, -1, count * size))[..., :length]
    return ops.transpose(found, (1, 2, 0))


def by_transform(u, rate, angle):
    """As `by_blocks`, by Fourier transforms of twice the length."""
    length, half = u.shape[1], u.shape[2] // 2
    real, imaginary = _vandermonde.powers(rate, angle, np.arange(length))
    kernels = ops.concatenate([real, real, imaginary, imaginary], axis=0)[None]
    parts = (u[..., :half], u[..., half:])
    found = _convolve.convolve(
        ops.concatenate([u, parts[1], parts[0]], axis=-1), kernels
    )
    straight, across = found[..., : 2 * half], found[..., 2 * half :]
    return ops.concatenate(
        [
            straight[..., :half] - across[..., :half],
            straight[..., half:] + across[..., half:],
        ],
        axis=-1,
    )


def step(u, state, rate, angle):
    """One token: the next state, (B, 2 M); arguments as `by_blocks`."""
    half = u.shape[-1] // 2
    z = _vandermonde.powers(rate, angle, np.ones(1, int))
    parts = _vandermonde.times(
        tuple(part[:, 0] for part in z), (state[:, :half], state[:, half:])
    )
    return ops.concatenate(parts, axis=-1) + u


def one_by_one(u, rate, angle):
    """As `by_blocks`, token by token."""

    def on(token, state):
        state = step(token, state, rate, angle)
        return state, state

    return _blockwise.scan(u, ops.zeros_like(u[:, 0]), on)


def _constant(value, like):
    dtype = keras.backend.standardize_dtype(like.dtype)
    return ops.convert_to_tensor(np.asarray(value, dtype))
