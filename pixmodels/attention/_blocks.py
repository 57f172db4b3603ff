"""Sequences cut into blocks of equal length, for mechanisms that go by blocks.

Here: cutting, joining with what stands before and after a block, attention of
blocks to their surroundings. Not here: which pairs attend (the mechanisms)."""

import numpy as np
from keras import ops

# Queries computed together when the window is shorter than that: smaller
# products take longer than the pairs that a larger one computes in vain.
LEAST = 32


def static_length(x, axis=1):
    """The length of a static axis, int.

    Raises:
        ValueError: if it is not known before running.
    """
    length = x.shape[axis]
    if length is None:
        raise ValueError(
            "Expected a static length: blocks are cut before running. "
            f"Received: shape={tuple(x.shape)}."
        )
    return length


def split(x, axis, size):
    """(..., N, ...) -> (..., n, size, ...), zeros at the end.

    One axis at most, but not `axis`, may have a length that is not static."""
    length = static_length(x, axis)
    pad = -length % size
    if pad:
        widths = [(0, 0)] * len(x.shape)
        widths[axis] = (0, pad)
        x = ops.pad(x, widths)
    shape = [-1 if part is None else part for part in x.shape]
    shape[axis : axis + 1] = ((length + pad) // size, size)
    return ops.reshape(x, shape)


def with_sides(x, axis, before, after):
    """Joins each block with the end and the start of its neighbours.

    Args:
        x: (..., n, size, ...), `axis` being that of n.
        before, after: tokens of the previous and of the next block; at most
            `size` each.

    Returns:
        (..., n, before + size + after, ...); zeros beyond the first and the
        last block.
    """
    count, size = x.shape[axis : axis + 2]
    front = (slice(None),) * axis
    parts = [x]
    if before:
        ends = x[(*front, slice(0, count - 1), slice(size - before, size))]
        parts.insert(0, _pad_one(ends, axis, (1, 0)))
    if after:
        starts = x[(*front, slice(1, count), slice(0, after))]
        parts.append(_pad_one(starts, axis, (0, 1)))
    return ops.concatenate(parts, axis=axis + 1) if len(parts) > 1 else x


def _pad_one(x, axis, width):
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = width
    return ops.pad(x, widths)


def prepend(prefix, blocks):
    """Puts (B, A, P, E) in front of each block of (B, A, n, size, E)."""
    prefix = ops.repeat(prefix[:, :, None], blocks.shape[2], axis=2)
    return ops.concatenate([prefix, blocks], axis=3)


def windows(
    attend,
    query,
    key,
    value,
    mask,
    positions,
    *,
    pairs,
    size,
    before,
    after,
    front=None,
):
    """Each block of queries over its own keys and those around it.

    Args:
        attend: (queries, keys, values, allowed) -> mixed, over the last two
            axes (`Mixer.attend`).
        query, key, value: (B, A, N, E), without the prefix.
        mask: (B, N) bool or None.
        positions: (B, N) int32, ascending, or None for 0, 1, 2, ...
        pairs: (rows, columns) -> bool, which positions attend to which; of
            numpy arrays or tensors. Without `positions` it may depend on the
            places in a block and on their differences only.
        size: queries in a block.
        before, after: keys of the blocks beside it; at most `size` each.
        front: None, or keys and values (B, A, P, E) that every query attends
            to, and a mask (B, P) or None.

    Returns:
        (B, A, N, E).
    """
    length = static_length(query, 2)
    if not length:
        return value

    def wide(x, axis):
        return with_sides(split(x, axis, size), axis, before, after)

    real = ops.ones((1, length), dtype="bool") if mask is None else mask
    real = wide(real, 1)
    if positions is None:
        # The same in each block, so that no (N, w) table is needed.
        row = np.arange(size)[:, None]
        column = np.arange(-before, size + after)[None, :]
        near = ops.convert_to_tensor(pairs(row, column)[None, None])
    else:
        row = split(positions, 1, size)[..., :, None]
        near = pairs(row, wide(positions, 1)[..., None, :])
    allowed = (near & real[..., None, :])[:, None]  # (B, 1, n, size, keys)
    queries, keys, values = split(query, 2, size), wide(key, 2), wide(value, 2)
    if front is not None:
        keys, values = prepend(front[0], keys), prepend(front[1], values)
        allowed = prepend_mask(front[2], allowed, front[0].shape[2])
    mixed = attend(queries, keys, values, allowed)
    return joined(mixed, length)


def slots(positions, whole):
    """Where the tokens of a subset stand in the whole sequence.

    Args:
        positions: (B, K) int32, distinct, below `whole`.
        whole: N, int.

    Returns:
        (B, N) int32, 1 + the place in the subset, or 0.
    """
    positions = ops.cast(positions, "int32")
    ones = ops.ones_like(positions)
    example = ops.cumsum(ones, axis=0) - 1
    places = ops.reshape(ops.stack([example, positions], axis=-1), (-1, 2))
    empty = ops.repeat(0 * positions[:, :1], whole, axis=1)
    numbers = ops.reshape(ops.cumsum(ones, axis=1), (-1,))
    return ops.scatter_update(empty, places, numbers)


def placed(x, found):
    """(B, A, K, E) and `slots` -> (B, A, N, E), 0 where there is no token."""
    x = ops.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))
    return ops.take_along_axis(x, found[:, None, :, None], axis=2)


def placed_mask(mask, found):
    """(B, K) bool or None and `slots` -> (B, N) bool."""
    if mask is None:
        return found > 0
    mask = ops.pad(mask, ((0, 0), (1, 0)), constant_values=False)
    return ops.take_along_axis(mask, found, axis=1)


def taken(x, positions):
    """The way back from `placed`: (B, A, N, E) -> (B, A, K, E)."""
    places = ops.cast(positions, "int32")[:, None, :, None]
    return ops.take_along_axis(x, places, axis=2)


def joined(x, length):
    """(B, A, n, size, E) -> (B, A, N, E)."""
    shape = (-1, x.shape[1], x.shape[2] * x.shape[3], x.shape[4])
    return ops.reshape(x, shape)[:, :, :length]


def prepend_mask(mask, allowed, count):
    """Lets every query attend to the real ones of more keys in front.

    Args:
        mask: (B, P) bool or None.
        allowed: (B or 1, 1, n, size, keys) bool.
        count: P, int.

    Returns:
        (B or 1, 1, n, size, P + keys) bool.
    """
    if mask is None:
        first = ops.ones_like(allowed[..., :1])
        first = ops.repeat(first, count, axis=-1)
    else:
        first = mask[:, None, None, None, :]
        rows = ops.ones_like(allowed[..., :1])
        # Both of the mask's batch: `allowed` may come from positions alone.
        first, allowed = first & rows, allowed & (first[..., :1] | True)
    return ops.concatenate([first, allowed], axis=-1)


def scattered(x, places, length):
    """Tokens of a subset at their places in the whole.

    Args:
        x: (B, K, D).
        places: (B, K) int32 in [0, length), all different.
        length: int.

    Returns:
        (B, length, D), 0 where there is none.
    """
    whole = ops.repeat(ops.zeros_like(x[:, :1]), length, axis=1)
    row = ops.cumsum(ops.ones_like(places), axis=0) - 1
    indices = ops.reshape(ops.stack([row, places], axis=-1), (-1, 2))
    return ops.scatter_update(whole, indices, ops.reshape(x, (-1, x.shape[-1])))


def full_mask(mask, query, causal, rows=None):
    """Which keys the first `rows` queries see when no window limits them.

    Args:
        mask: (B, N) or None.
        query: (B, A, N, E).
        causal: bool.
        rows: int; None means all N.

    Returns:
        bool, broadcasts to (B, 1, rows, N).
    """
    length = static_length(query, 2)
    pairs = np.ones((length if rows is None else rows, length), bool)
    pairs = np.tril(pairs) if causal else pairs
    pairs = ops.convert_to_tensor(pairs[None, None])
    if mask is None:
        return pairs
    return pairs & ops.cast(mask, "bool")[:, None, None, :]
