"""Powers of complex numbers below 1 and sums of them, in real arithmetic.

Here: tables of powers with accurate phases, and kernels `Re sum_n w_n z_n^l`
from two short tables instead of a long one. Not here: what the numbers are
(the state-space layers).

A number is `z = exp(-rate + i angle)`, rate and angle being real."""

import math

import keras
import numpy as np
from keras import ops

# 1 / (2 pi) as a sum of three numbers of 12, 12 and 24 bits.
_TURN = []
_left = 1 / (2 * math.pi)
for _bits in (14, 26, 50):
    _TURN.append(math.floor(_left * 2.0**_bits) / 2.0**_bits)
    _left -= _TURN[-1]
_FINE = 64.0  # Angles are split at multiples of 1 / 64.
_HALF = 65536
# exp at multiples of 1 / 64, as numbers of 12 bits and what is missing.
_PER_UNIT = 64.0
_REACH = (-1280.0, 640.0)


def _exponentials():
    exact = np.exp(np.arange(_REACH[0], _REACH[1] + 1) / _PER_UNIT)
    size, exponent = np.frexp(exact)
    high = np.ldexp(np.round(size * 4096) / 4096, exponent)
    return high.astype("float32"), (exact - high).astype("float32")


_EXP = _exponentials()
_SHARES = np.array([share * _HALF for share in _TURN], "float32")


def turning(log_step, a):
    """The angle `exp(log_step) a` with what float32 rounds off.

    The exponential is a table's entry of 12 bits, which multiplies halves of
    `a` exactly, and a rest of a hundredth of it.

    Args:
        log_step, a: float32 or float64, broadcast to (..., M).

    Returns:
        (angle, parts): (..., M), and tensors whose sum it is to 1e-9 of it.
    """
    angle = ops.exp(log_step) * a
    dtype = keras.backend.standardize_dtype(angle.dtype)
    if dtype == "float64":
        return angle, (angle,)
    log_step, a = ops.stop_gradient(log_step), ops.stop_gradient(a)
    nearest = ops.clip(ops.round(log_step * _PER_UNIT), *_REACH)
    place = ops.cast(nearest - _REACH[0], "int32")
    high, low = (
        ops.take(ops.convert_to_tensor(table), place) for table in _EXP
    )
    more = ops.expm1(log_step - nearest / _PER_UNIT)
    rest = low + (high + low) * more
    whole = ops.round(a * 2.0) * 0.5
    return angle, (high * whole, high * (a - whole), rest * a)


def powers(rate, angle, steps):
    """`z^l` for integers l.

    Args:
        rate: (..., M) float32 or float64.
        angle: (..., M), or the pair that `turning` gives.
        steps: (T,) numpy ints.

    Returns:
        Real and imaginary part, each (..., M, T).
    """
    dtype = keras.backend.standardize_dtype(rate.dtype)
    real = ops.convert_to_tensor(steps.astype(dtype))
    size = ops.exp(-rate[..., None] * real)
    phase = phases(angle, steps)
    return size * ops.cos(phase), size * ops.sin(phase)


def phases(angle, steps):
    """`angle * l` modulo a turn, for integers l: (..., M, T).

    Arguments are as `powers`. In float32 it is 1e-9 l rad off, where a
    product would be 4e-3 rad off at 1e5 rad.
    """
    angle, parts = angle if isinstance(angle, tuple) else (angle, (angle,))
    dtype = keras.backend.standardize_dtype(angle.dtype)
    real = ops.convert_to_tensor(steps.astype(dtype))
    if dtype == "float64":
        return angle[..., None] * real
    whole = ops.convert_to_tensor(steps.astype("int32"))
    turns = _turns(ops.stop_gradient(ops.stack(parts)))
    turns = turns[..., None] * whole  # wraps
    phase = ops.cast(turns, dtype) * (2 * math.pi / _HALF**2)
    # Adds 0, and brings the gradient that integers do not have.
    still = (angle - ops.stop_gradient(angle))[..., None]
    return phase + still * real


def _turns(parts):
    """`angle / 2 pi` modulo 1 as an int32 in units of 2**-32.

    Products of halves of 12 bits are exact, whatever a compiler fuses.

    Args:
        parts: (P, ...), whose sum is the angle.
    """
    coarse = ops.round(parts * _FINE) / _FINE
    halves = ops.stack([coarse, parts - coarse], axis=-1)  # (P, ..., 2)
    turns = halves[..., None] * ops.convert_to_tensor(_SHARES)
    whole = ops.round(turns)
    axes = (0, -2, -1)
    high = ops.sum(ops.cast(whole, "int32"), axis=axes)
    low = ops.sum((turns - whole) * _HALF, axis=axes)
    return high * _HALF + ops.cast(ops.round(low), "int32")


def kernel(weight, rate, angle, length, later=None):
    """`K_l = Re sum_n w_n z_n^l` for l < L, from about 2 sqrt(L) powers.

    With `l = a m + b`, the sum is a product of the matrices `w_n z_n^(a m)`
    and `z_n^b`. Source: the Vandermonde product of Gu et al. 2022 (S4D, sec.
    3.3), factored.

    Args:
        weight: pair (real, imaginary), each (K, D, M).
        rate, angle: (D, M), as `powers`.
        length: L, int.
        later: None, or as `Diagonal`.

    Returns:
        (K, D, L).
    """
    # The outer table is multiplied with K weights, so it is the shorter one.
    fine = 1 << max(0, math.ceil(math.log2(length) / 2 + 0.5))
    fine = min(fine, length)
    coarse = -(-length // fine)
    steps = np.arange(coarse) * fine
    if later is None:
        outer = powers(rate, angle, steps)
    else:
        grows, count = later
        still = powers(ops.where(grows, 0.0, rate), angle, steps)
        outer = powers(ops.where(grows, rate, 0.0), angle, steps - count)
        parts = zip(outer, still)
        outer = tuple(ops.where(grows[:, None], x, y) for x, y in parts)
    inner = powers(rate, angle, np.arange(fine))
    real, imaginary = times(
        tuple(part[..., None] for part in weight), outer
    )  # (K, D, M, coarse)
    left = ops.concatenate([real, -imaginary], axis=2)
    left = ops.transpose(left, (0, 1, 3, 2))
    right = ops.concatenate(inner, axis=1)[None]  # (1, D, 2 M, fine)
    found = ops.matmul(left, right)
    shape = (*found.shape[:2], coarse * fine)
    return ops.reshape(found, shape)[..., :length]


def times(a, b):
    """Product of complex numbers, pairs (real, imaginary)."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def over(a, b):
    """Quotient of complex numbers, pairs (real, imaginary)."""
    size = b[0] * b[0] + b[1] * b[1]
    real, imaginary = times(a, (b[0], -b[1]))
    return real / size, imaginary / size


def exp_minus_one(real, imaginary):
    """`e^x - 1` without cancellation at small x, as a pair."""
    half = ops.sin(0.5 * imaginary)
    return (
        ops.expm1(real) * ops.cos(imaginary) - 2.0 * half * half,
        ops.exp(real) * ops.sin(imaginary),
    )
