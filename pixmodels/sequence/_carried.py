"""Keys and values that blocks carry: between segments, and token by token.

Here: memories, rings of slots, which keys stand before a query. Not here: the
attention (`_scaled_attention`), states (`block_recurrent_block`)."""

import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.attention import _steps


def empty(block, batch_size, slots):
    """No keys and values: (B, A, slots, E), none of them real."""
    check_built(block)
    shape = (batch_size, block.num_heads, slots, block.head_size)
    zeros = ops.zeros(shape, dtype=block.compute_dtype)
    real = ops.zeros((batch_size, slots), dtype="bool")
    return {"key": zeros, "value": zeros, "real": real}


def check_built(layer):
    """Refuses to make a memory for widths that are not known yet.

    Raises:
        ValueError: for a layer that is not built.
    """
    if not layer.built:
        raise ValueError(
            "Expected a layer that is built: the width of its memory is that "
            f"of its weights. Received: {type(layer).__name__} with "
            f"built={layer.built}."
        )


def check(block, x, memory, length):
    """Refuses a memory that does not go with a segment.

    Raises:
        ValueError: for another batch size, or a part of a window.
    """
    _steps.check_batch("memory", x, memory)
    if length % block.window:
        raise ValueError(
            f"Expected a segment of whole windows of {block.window} with a "
            f"memory. Received: x.shape={tuple(x.shape)}."
        )


def windows(block, key, value, mask, memory):
    """Keys and values by windows, each behind those of the window before.

    Args:
        block: with a `window` W.
        key, value: (B, A, N, E).
        mask: (B, N) bool or None.
        memory: dict or None.

    Returns:
        (keys, values, real): (B, A, n, 2 W, E) twice, and (B or 1, n, 2 W)
        bool. Without a memory windows are not longer than N.
    """
    length, size = key.shape[2], block.window
    if memory is None:
        size = min(size, length)
    real = ops.ones((1, length), dtype="bool") if mask is None else mask
    parts = []
    for name, part, axis in (
        ("key", key, 2),
        ("value", value, 2),
        ("real", real, 1),
    ):
        part = _blocks.split(part, axis, size)
        if memory is None:
            parts.append(_blocks.with_sides(part, axis, size, 0))
            continue
        first = ops.cast(memory[name], part.dtype)
        first = ops.expand_dims(first, axis)
        if name == "real" and mask is None:
            part = part & ops.ones_like(first)
        front = (slice(None),) * axis
        before = part[(*front, slice(0, part.shape[axis] - 1))]
        before = ops.concatenate([first, before], axis=axis)
        parts.append(ops.concatenate([before, part], axis=axis + 1))
    return tuple(parts)


def last(key, value, mask, window):
    """The memory that a segment leaves; arguments as `windows`."""
    real = ops.ones_like(key[:, 0, :, 0], dtype="bool")
    if mask is not None:
        real = ops.cast(mask, "bool")
    return {
        "key": key[:, :, -window:],
        "value": value[:, :, -window:],
        "real": real[:, -window:],
    }


def before(size, window):
    """(size, 2 size) bool: the keys 1 to `window` places before a query."""
    row, column = np.arange(size)[:, None], np.arange(-size, size)[None]
    near = (column < row) & (column >= row - window)
    return ops.convert_to_tensor(near)


def distances(cache, index):
    """How far before token `index` the token of each slot stands: (C,).

    Slots are filled one after another, again and again; token `index` is not
    there yet.
    """
    slots = cache["key"].shape[2]
    places = ops.arange(slots, dtype="int32")
    return 1 + ops.mod(index - 1 - places, slots)


def written(cache, key, value, index):
    """The cache with the keys and values (B, A, 1, E) of token `index`."""
    slot = ops.mod(index, cache["key"].shape[2])
    cache = _steps.written(cache, key, value, slot)
    real = ops.ones_like(cache["real"][:, :1])
    start = ops.stack([ops.zeros_like(slot), slot])
    return {**cache, "real": ops.slice_update(cache["real"], start, real)}
