"""Attention as products of features: sums over keys instead of pairs.

Here: the sum over all keys and the sums over past keys, in float32 under any
policy. Not here: the features (linear, performer, kernelized)."""

import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.layers._masked_softmax import NEGATIVE

# Blocks whose sums one triangular product adds up; more take another level,
# so that the work stays linear in the number of blocks. (`associative_scan`
# of keras 3.15 does not compile under XLA on TensorFlow.)
_FAN = 32


def attend(query, key, value, mask=None, *, floor=0.0):
    """Every query over every key: out_i = q_i S / q_i z.

    Args:
        query, key: (B, A, N, M) float32, features. Sums of their products
            are divided by: those of features >= 0 are safe.
        value: (B, A, N, E).
        mask: (B, N) bool or None, keys that are attended.
        floor: added to each feature of queries and keys.

    Returns:
        (B, A, N, E) float32; S is the sum of the outer products of keys and
        values, z that of the keys. Without any key it is 0.
    """
    value = _with_ones(value, mask)
    # Values are turned, not features, which are longer.
    sums = ops.matmul(_turned(value), key)  # (B, A, E + 1, M)
    if floor:
        sums = sums + floor * ops.sum(value, axis=2)[..., None]
    sums = _turned(sums)  # (B, A, M, E + 1)
    mixed = ops.matmul(query, sums)
    if floor:
        mixed = mixed + floor * ops.sum(sums, axis=2, keepdims=True)
    return _quotient(mixed[..., :-1], mixed[..., -1:])


def attend_past(
    query,
    key,
    value,
    mask=None,
    *,
    size,
    shift=None,
    floor=0.0,
    epsilon=0.0,
):
    """Query i over keys j <= i, by blocks: linear in N.

    Inside a block all pairs are computed; what lies before it comes from sums
    over whole blocks.

    Args:
        query, key, value, mask, floor: as `attend`.
        size: tokens in a block.
        shift: (B, A, N) float32 or None. The features of key j are
            `exp(shift_j) key_j`, more than a float32 may hold: each query
            sees them divided by the largest of these factors in its past,
            and `floor` is added after that division.
        epsilon: added to each component of z.

    Returns:
        (B, A, N, E) float32.
    """
    length = _blocks.static_length(query, 2)
    size = min(size, length)
    query = query + floor
    if shift is None:
        key = key + floor
    query, key, value = (
        _blocks.split(x, 2, size) for x in (query, key, _with_ones(value, mask))
    )
    pairs = ops.matmul(query, _turned(key))  # (B, A, n, size, size)
    past = _triangle(size)
    weight = ops.sum(query, axis=-1, keepdims=True)  # (B, A, n, size, 1)
    if shift is None:
        mixed = ops.matmul(pairs * past, value)
        before = _before(ops.matmul(_turned(key), value))
        mixed = mixed + ops.matmul(query, before)
    else:
        top, shift = (
            _blocks.split(x, 2, size) for x in (_running_max(shift), shift)
        )
        pairs = pairs * _factors(shift, top, past)
        mixed = ops.matmul(pairs + floor * weight * past, value)
        mixed = mixed + _past_blocks(query, key, value, shift, top)
        lowest = floor * ops.sum(value, axis=3, keepdims=True)
        mixed = mixed + weight * _before(lowest)
    mixed = _joined(mixed, length)
    total = mixed[..., -1:] + epsilon * _joined(weight, length)
    return _quotient(mixed[..., :-1], total)


def sums_of_past(query, key, value, *, size):
    """Query i over keys j <= i, without denominators, by blocks.

    Args:
        query, key: (B, A, N, M) at least float32.
        value: (B, A, N, E).
        size: tokens in a block.

    Returns:
        (B, A, N, E), the sums of `(q_i . k_j) v_j`.
    """
    length = _blocks.static_length(query, 2)
    size = min(size, length)
    query, key, value = (_blocks.split(x, 2, size) for x in (query, key, value))
    pairs = ops.matmul(query, _turned(key))
    pairs = pairs * ops.cast(_triangle(size), pairs.dtype)
    mixed = ops.matmul(pairs, value)
    before = _before(ops.matmul(_turned(key), value))
    return _joined(mixed + ops.matmul(query, before), length)


def _with_ones(value, mask):
    """Values in float32 and a 1 behind each, all 0 outside the mask.

    The column of ones makes the denominators in the same products.
    """
    value = ops.cast(value, "float32")
    value = ops.concatenate([value, ops.ones_like(value[..., :1])], axis=-1)
    if mask is None:
        return value
    return value * ops.cast(mask, "float32")[:, None, :, None]


def _joined(x, length):
    """(B, A, n, size, E) -> (B, A, N, E)."""
    shape = (-1, x.shape[1], x.shape[2] * x.shape[3], x.shape[4])
    return ops.reshape(x, shape)[:, :, :length]


def _quotient(mixed, total):
    """0 where there was nothing to add up, and no 0 / 0 in gradients."""
    return mixed / ops.where(total != 0, total, 1.0)


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
    strict = ops.cast(_triangle(fan, -1), sums.dtype)
    if level is not None:
        # Filled up with the last level, so that it does not fall.
        end = ops.repeat(level[..., -1:], -count % fan + 1, axis=-1)
        level = ops.concatenate([level[..., :-1], end], axis=-1)
        before = _blocks.split(_delayed(level), 2, fan)
        level = _blocks.split(level, 2, fan)
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


def _triangle(size, diagonal=0):
    """(size, size) float32, 1 on and below the diagonal."""
    ones = np.ones((size, size), "float32")
    return ops.convert_to_tensor(np.tril(ones, diagonal))


def _turned(x):
    """Swaps the last two axes."""
    axes = tuple(range(len(x.shape) - 2))
    return ops.transpose(x, (*axes, len(axes) + 1, len(axes)))


def attention_map(
    query, key, mask=None, *, causal=False, floor=0.0, epsilon=0.0
):
    """The weights of the values: (B, A, N, N) float32, O(N^2) memory.

    Args:
        query, key, mask, floor: as `attend`.
        causal: bool, past keys only.
        epsilon: added to each component of z.
    """
    query = query + floor
    pairs = ops.matmul(query, _turned(key + floor))
    if mask is not None:
        pairs = pairs * ops.cast(mask, "float32")[:, None, None, :]
    if causal:
        pairs = pairs * _triangle(pairs.shape[-1])
    total = ops.sum(pairs, axis=-1, keepdims=True)
    total = total + epsilon * ops.sum(query, axis=-1, keepdims=True)
    return _quotient(pairs, total)
