"""Attention as products of features: sums over keys instead of pairs.

Here: the sum over all keys and the sums over past keys, in float32 under any
policy. Not here: the features (linear, performer)."""

import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.attention.mixer import NEGATIVE

# Blocks whose sums one triangular product adds up; more take another level,
# so that the work stays linear in the number of blocks. (`associative_scan`
# of keras 3.15 does not compile under XLA on TensorFlow.)
_FAN = 32


def attend(query, key, value, epsilon):
    """Every query over every key: out_i = q_i S / q_i z.

    Args:
        query: (B, A, N, M) float32, features >= 0.
        key: as `query`, 0 at keys that are not attended.
        value: (B, A, N, E).
        epsilon: added to each component of z.

    Returns:
        (B, A, N, E) float32; S is the sum of the outer products of keys and
        values, z that of the keys. Without any key it is 0.
    """
    value = ops.cast(value, "float32")
    sums = ops.matmul(_turned(key), value)  # (B, A, M, E)
    total = ops.sum(key, axis=2)[..., None] + epsilon  # (B, A, M, 1)
    return ops.matmul(query, sums) / ops.matmul(query, total)


def attend_past(query, key, value, epsilon, size, shift=None, floor=None):
    """Query i over keys j <= i, by blocks: linear in N.

    Inside a block all pairs are computed; what lies before it comes from sums
    over whole blocks.

    Args:
        query, key, value, epsilon: as `attend`.
        size: tokens in a block.
        shift: (B, A, N) float32 or None. The features of key j are
            `exp(shift_j) key_j`, more than a float32 may hold: each query
            sees them divided by the largest of these factors in its past.
        floor: (B or 1, 1, N) float32, with `shift`: added to each feature of
            key j after that division.

    Returns:
        (B, A, N, E) float32.
    """
    length = _blocks.static_length(query, 2)
    ones = ops.ones_like(value[..., :1], dtype="float32")
    # A column of ones makes the denominators in the same products.
    value = ops.concatenate([ops.cast(value, "float32"), ones], axis=-1)
    size = min(size, length)
    query, key, value = (_blocks.split(x, 2, size) for x in (query, key, value))
    pairs = ops.matmul(query, _turned(key))  # (B, A, n, size, size)
    past = np.tril(np.ones((size, size), "float32"))
    if shift is None:
        mixed = ops.matmul(pairs * past, value)
        before = _before(ops.matmul(_turned(key), value))
        mixed = mixed + ops.matmul(query, before)
    else:
        top, shift = (
            _blocks.split(x, 2, size) for x in (_running_max(shift), shift)
        )
        weight = ops.sum(query, axis=-1, keepdims=True)  # (B, A, n, size, 1)
        floor = _blocks.split(floor, 2, size)[..., None, :]
        pairs = pairs * _factors(shift, top, past) + weight * (floor * past)
        mixed = ops.matmul(pairs, value)
        mixed = mixed + _past_blocks(query, key, value, shift, top)
        mixed = mixed + weight * _before(ops.matmul(floor, value))
    total = ops.sum(query, axis=-1, keepdims=True) * epsilon + mixed[..., -1:]
    mixed = mixed[..., :-1] / total
    shape = (-1, mixed.shape[1], mixed.shape[2] * size, mixed.shape[4])
    return ops.reshape(mixed, shape)[:, :, :length]


def _past_blocks(query, key, value, shift, top):
    """What earlier blocks add to each query, divided by `exp(top)`."""
    last = top[..., -1]  # (B, A, n), the maximum up to the end of each block
    key = key * ops.exp(shift - last[..., None])[..., None]
    before = _before(ops.matmul(_turned(key), value), last)
    scale = ops.exp(_delayed(last)[..., None] - top)[..., None]
    return ops.matmul(query * scale, before)


def _before(sums, level=None):
    """Sums over earlier blocks.

    Args:
        sums: (B, A, n, M, E).
        level: (B, A, n) float32 that does not fall, or None: what is added up
            is `exp(level_c) sums_c`.

    Returns:
        (B, A, n, M, E): for block c the sum over the blocks before it, divided
        by `exp(level_{c - 1})`.
    """
    count = sums.shape[2]
    fan = min(_FAN, count)
    flat = (-1, *sums.shape[1:3], sums.shape[3] * sums.shape[4])
    groups = _blocks.split(ops.reshape(sums, flat), 2, fan)  # (B, A, g, fan, F)
    strict = np.tril(np.ones((fan, fan), "float32"), -1)
    if level is not None:
        # Filled up with the last level, so that it does not fall.
        widths = ((0, 0), (0, 0), (0, -count % fan))
        before = _blocks.split(ops.pad(_delayed(level), widths, "edge"), 2, fan)
        level = _blocks.split(ops.pad(level, widths, "edge"), 2, fan)
        strict = _factors(level, before, strict)
    found = ops.matmul(strict, groups)
    if count > fan:
        if level is None:
            outer = _before(ops.sum(groups, axis=3)[..., None, :])
        else:
            ends = level[..., -1]  # (B, A, g)
            scale = ops.exp(level - ends[..., None])[..., None, :]
            outer = _before(ops.matmul(scale, groups), ends)
            scale = ops.exp(_delayed(ends)[..., None] - before)
            outer = outer * scale[..., None]
        found = found + outer
    shape = (-1, found.shape[1], found.shape[2] * fan, *sums.shape[3:])
    return ops.reshape(found, shape)[:, :, :count]


def _factors(level, base, allowed):
    """`exp(level_j - base_i)` where `allowed` (n, n) is not 0, else 0.

    Pairs that are not allowed may have any exponent, and 0 times infinity is
    not 0: they are taken out before `exp`.
    """
    exponent = level[..., None, :] - base[..., :, None]
    return ops.exp(ops.where(allowed > 0, exponent, NEGATIVE))


def _running_max(x):
    """Maximum over places <= i of the last axis, in log2(N) steps."""
    step, length = 1, x.shape[-1]
    while step < length:
        x = ops.maximum(x, _delayed(x, step))
        step *= 2
    return x


def _delayed(x, step=1):
    """Moves the last axis on by `step`; NEGATIVE comes in."""
    widths = [(0, 0)] * (len(x.shape) - 1) + [(step, 0)]
    return ops.pad(x[..., :-step], widths, constant_values=NEGATIVE)


def _turned(x):
    """Swaps the last two axes."""
    axes = tuple(range(len(x.shape) - 2))
    return ops.transpose(x, (*axes, len(axes) + 1, len(axes)))


def attention_map(query, key, epsilon, causal):
    """The weights of the values: (B, A, N, N) float32, O(N^2) memory.

    Args:
        query, key, epsilon: as `attend`.
        causal: bool.
    """
    pairs = ops.matmul(query, _turned(key))
    total = ops.sum(query, axis=-1, keepdims=True) * epsilon
    if causal:
        pairs = pairs * np.tril(np.ones(pairs.shape[-2:], "float32"))
    return pairs / (ops.sum(pairs, axis=-1, keepdims=True) + total)
