"""Damped moving averages of several dimensions: kernels and sums.

Here: what Mega's weights stand for, and the sums over all tokens by chunks
and by Fourier transforms. Not here: the layers (`ema`, `mega`).

Letters: D width, N dimensions of a channel, c tokens in a chunk, n chunks.
"""

import numpy as np
from keras import ops

from pixmodels.sequence import _blockwise
from pixmodels.sequence import _convolve
from pixmodels.sequence import _diagonals

_LEAST = 1e-30  # Below that, q is 0 for our purposes, and its log is finite.


def log_decay(alpha, delta):
    """log q of `q = 1 - sigmoid(alpha) sigmoid(delta)`, finite everywhere.

    Args:
        alpha, delta: floating point, of one shape.

    Returns:
        As `alpha`. Where q is near 1, 1 - q keeps its digits, and so does q
        where it is near 0.
    """
    a, d = ops.sigmoid(alpha), ops.sigmoid(delta)
    damped = a * d
    near_one = ops.log1p(-ops.minimum(damped, 0.5))
    # 1 - a d = (1 - a) + a (1 - d), a sum of what is positive.
    q = ops.sigmoid(-alpha) + a * ops.sigmoid(-delta)
    return ops.where(damped < 0.5, near_one, ops.log(ops.maximum(q, _LEAST)))


def kernel(share, log_q, length):
    """Kernels `sum_n share_n q_n^l` for l < length.

    Args:
        share: (..., D, N), factors of the powers.
        log_q: (..., D, N).
        length: int.

    Returns:
        (..., D, length). Powers are products of two, so that 2 sqrt(length)
        of them are computed instead of `length`.
    """
    inner = max(1, int(np.ceil(np.sqrt(length))))
    outer = -(-length // inner)
    coarse = _powers(log_q, inner * np.arange(outer)) * share[..., None, :]
    fine = _powers(log_q, np.arange(inner))
    table = ops.matmul(coarse, ops.swapaxes(fine, -1, -2))
    shape = (*table.shape[:-2], outer * inner)
    return ops.reshape(table, shape)[..., :length]


def _powers(log_q, exponents):
    """q^l: (..., D, N) and (L,) -> (..., D, L, N)."""
    exponents = ops.convert_to_tensor(np.float32(exponents))
    exponents = ops.cast(exponents, log_q.dtype)
    return ops.exp(log_q[..., None, :] * exponents[:, None])


def by_chunks(x, share, log_q, skip, size):
    """Sums over all tokens: pairs inside chunks, states between them.

    Args:
        x: (B, L, D) at least float32, L static and not 0.
        share, log_q: (1 or 2, D, N); the second is that of the future, whose
            kernel counts the token itself once more.
        skip: (D,), added times x.
        size: c.

    Returns:
        (B, L, D).
    """
    length, width = x.shape[1:]
    both = share.shape[0] == 2
    size = min(size, length)
    count = -(-length // size)
    if count * size > length:
        x = ops.pad(x, ((0, 0), (0, count * size - length), (0, 0)))
    # Turned as matrices, which is quicker than with three axes.
    tokens = ops.transpose(ops.reshape(x, (-1, width)))
    tokens = ops.reshape(tokens, (width, -1, size))  # (D, B n, c)
    powers = _powers(log_q, np.arange(size))  # (1 or 2, D, c, N)
    kernels = ops.sum(powers * share[..., None, :], axis=-1)
    mixed = ops.matmul(tokens, _toeplitz(kernels, skip))
    if count > 1:
        # The past: x_j counts q^(c - 1 - j) at the end of its chunk, and that
        # state q^(i + 1) at place i of the next one. The future: turned.
        out = powers * (share * ops.exp(log_q))[..., None, :]
        into, out = (
            _joined_directions(part, turned, both)
            for part, turned in ((powers, (True, False)), (out, (False, True)))
        )
        shape = (width, -1, count, into.shape[-1])
        states = ops.reshape(ops.matmul(tokens, into), shape)
        carried = _carried(states, log_q, size, both)
        carried = ops.reshape(carried, (width, -1, into.shape[-1]))
        mixed = mixed + ops.matmul(carried, ops.swapaxes(out, -1, -2))
    mixed = ops.transpose(ops.reshape(mixed, (width, -1)))
    return ops.reshape(mixed, (-1, count * size, width))[:, :length]


def _joined_directions(powers, turned, both):
    """(1 or 2, D, c, N) -> (D, c, N or 2 N), directions turned in c."""
    parts = [
        ops.flip(powers[i], axis=1) if turned[i] else powers[i]
        for i in range(1 + both)
    ]
    return ops.concatenate(parts, axis=-1) if both else parts[0]


def _toeplitz(kernels, skip):
    """(1 or 2, D, c) -> (D, c, c): what a token (row) adds to the others."""
    size = kernels.shape[-1]
    past = kernels[0]
    if kernels.shape[0] == 2:
        future = kernels[1]
        ahead = ops.flip(future[:, 1:], axis=-1)
        here = past[:, :1] + future[:, :1]
    else:
        ahead, here = ops.zeros_like(past[:, 1:]), past[:, :1]
    line = [ahead, here + skip[:, None], past[:, 1:], ops.zeros_like(here)]
    return _diagonals.sheared(ops.concatenate(line, axis=-1), size)


def _carried(states, log_q, size, both):
    """What chunks get from those before (and after): as `states`.

    Args:
        states: (D, B, n, N or 2 N), what each chunk has at its end (and
            start).
    """
    log_q = log_q * size
    if not both:
        return _carry(states, log_q[0], False)
    dims = log_q.shape[-1]
    past = _carry(states[..., :dims], log_q[0], False)
    future = _carry(states[..., dims:], log_q[1], True)
    return ops.concatenate([past, future], axis=-1)


def _carry(states, log_q, backward):
    """`h_i = sum_{j < i} q^(i - 1 - j) s_j` along n; j > i if backward.

    Args:
        states: (D, B, n, N).
        log_q: (D, N).
        backward: bool.
    """

    def turn(x, count):
        return x * ops.exp(log_q * count)[:, None, None]

    return _blockwise.before(states, turn, backward)


def by_transform(x, share, log_q, skip, longest):
    """The same sums by Fourier transforms.

    Args:
        x, share, log_q, skip: as `by_chunks`.
        longest: lags that count, int.

    Returns:
        (B, L, D).
    """
    length = x.shape[1]
    longest = min(longest, length)
    kernels = kernel(share, log_q, longest)
    # Long enough that nothing comes round to the other end.
    size = 1 << (length + longest - 2).bit_length()
    line = ops.pad(kernels[0], ((0, 0), (0, size - longest)))
    if share.shape[0] == 2:
        future = ops.flip(kernels[1], axis=-1)  # of lags longest - 1, ..., 0
        ahead = ops.pad(future[:, :-1], ((0, 0), (size - longest + 1, 0)))
        here = ops.pad(future[:, -1:], ((0, 0), (0, size - 1)))
        line = line + ahead + here
    tokens = ops.transpose(x, (0, 2, 1))
    mixed = _convolve.on_circle(tokens, line, size)
    mixed = ops.transpose(mixed[..., :length], (0, 2, 1))
    return mixed + x * skip
