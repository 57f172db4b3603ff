"""Rotary positions: turned heads, and the angles of a single place.

Here: what whole sequences and steps share. Not here: tables of a grid
(`pixmodels.positions`)."""

import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32

# Digits of a place for the tables of angles: three of them reach 16 million.
_BASE = 256
_DIGITS = 3


def angles(head_dim, base, index):
    """Cosines and sines of rotary positions at one place of one row.

    Angles of long sequences are added up from digits of the place, so that
    none is a large float32.

    Args:
        head_dim: E.
        base: of the frequencies.
        index: int32 scalar tensor below 2**24.

    Returns:
        two of (E / 2,) float32.
    """
    half = head_dim // 2
    quarter = half // 2
    frequencies = float(base) ** (-np.arange(quarter) / quarter)
    # The other half turns by the row, which is 0.
    frequencies = np.concatenate([frequencies, np.zeros(quarter)])
    cos, sin = ops.ones((half,)), ops.zeros((half,))
    for digit in range(_DIGITS):
        weight = _BASE**digit
        table = np.arange(_BASE)[:, None] * weight * frequencies
        place = ops.mod(ops.floor_divide(index, weight), _BASE)
        more_cos, more_sin = (
            ops.take(ops.convert_to_tensor(part, "float32"), place, axis=0)
            for part in (np.cos(table), np.sin(table))
        )
        cos, sin = (
            cos * more_cos - sin * more_sin,
            sin * more_cos + cos * more_sin,
        )
    return cos, sin


def turned(heads, cos, sin):
    """Queries or keys with pairs of neighbouring features turned.

    Args:
        heads: (B, A, N, E), all but B static.
        cos, sin: broadcast to (B, A, N, E / 2).

    Returns:
        As `heads`, turned in float32.
    """
    x = at_least_float32(heads)
    cos, sin = ops.cast(cos, x.dtype), ops.cast(sin, x.dtype)
    x = ops.reshape(x, (-1, *x.shape[1:3], x.shape[3] // 2, 2))
    even, odd = x[..., 0], x[..., 1]
    x = ops.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return ops.cast(ops.reshape(x, (-1, *heads.shape[1:])), heads.dtype)
