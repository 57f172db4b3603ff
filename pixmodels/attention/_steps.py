"""Token by token: caches of keys and values, places in them, checks.

Here: what mixers need to decode one token after another. Not here: which
tokens attend to which (the mechanisms)."""

import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32

# Digits of a place for the tables of angles: three of them reach 16 million.
_BASE = 256
_DIGITS = 3


def check_cache(mixer, batch_size, length):
    """Refuses a cache that the mixer cannot fill.

    Args:
        mixer: a `Mixer`.
        batch_size, length: ints.

    Raises:
        ValueError: for a mixer that is not causal or not built, or negative
            sizes.
    """
    if not mixer.causal:
        raise ValueError(
            "Expected a causal mixer to go token by token: others need the "
            f"tokens to come. Received: {type(mixer).__name__} with "
            f"causal={mixer.causal}."
        )
    if not mixer.built:
        raise ValueError(
            "Expected a mixer that is built: the width of its cache is that "
            f"of its weights. Received: {type(mixer).__name__} with "
            f"built={mixer.built}."
        )
    for name, value in (("batch_size", batch_size), ("length", length)):
        if isinstance(value, int) and value < 0:
            raise ValueError(f"Expected {name} >= 0. Received: {name}={value}.")


def check_step(mixer, x, cache, index=None, length=None):
    """Refuses tokens that do not go with a cache.

    Args:
        mixer: a `Mixer`.
        x: (B, D).
        cache: nested dict of tensors, first axis B.
        index: int or tensor; only ints are looked at.
        length: tokens that the cache is for, where that is known.

    Raises:
        ValueError: for a mixer that is not causal, an `x` of another rank, a
            cache of another batch size, or a place that it does not have.
    """
    if not mixer.causal:
        check_cache(mixer, 0, 0)
    if len(x.shape) != 2:
        raise ValueError(
            "Expected one token of each example, x of shape (B, D). "
            f"Received: x.shape={tuple(x.shape)}."
        )
    for part in keras.tree.flatten(cache):
        if None not in (part.shape[0], x.shape[0]):
            if part.shape[0] != x.shape[0]:
                raise ValueError(
                    f"Expected a cache of batch size {x.shape[0]} for x of "
                    f"shape {tuple(x.shape)}. Received: a cache with a tensor "
                    f"of shape {tuple(part.shape)}."
                )
    if isinstance(index, int) and (
        index < 0 or (length is not None and index >= length)
    ):
        limit = "" if length is None else f" < {length}, the cache's length"
        raise ValueError(f"Expected 0 <= index{limit}. Received: {index}.")


def keys_and_values(mixer, batch_size, slots):
    """An empty cache of keys and values.

    Args:
        mixer: a built `Mixer`.
        batch_size: B.
        slots: C, tokens that are kept.

    Returns:
        dict of `key` and `value`, (B, A, C, E) of the compute dtype, zeros.
    """
    shape = (batch_size, mixer.num_heads, slots, mixer.head_size)
    zeros = ops.zeros(shape, dtype=mixer.compute_dtype)
    return {"key": zeros, "value": zeros}


def remember(mixer, x, cache, index, parts=None):
    """A token's query, and the cache with its key and value.

    Slots are filled one after another and used again when all are full.

    Args:
        mixer: a `Mixer` with `query`, `key` and `value`.
        x: (B, D).
        cache: as `keys_and_values`, or longer.
        index: int32 scalar tensor.
        parts: three Dense layers in place of the mixer's projections.

    Returns:
        (query (B, A, 1, E), cache, places (C,) int32: which token each slot
        holds, below 0 for none).
    """
    x = x[:, None]
    parts = parts or (mixer.query, mixer.key, mixer.value)
    query, key, value = (mixer.split_heads(part(x)) for part in parts)
    if mixer.rotary is not None:
        cos, sin = angles(mixer.head_size, mixer.rotary, index)
        query, key = (turned(part, cos, sin) for part in (query, key))
    slots = cache["key"].shape[2]
    slot = ops.mod(index, slots)
    zero = ops.zeros_like(slot)
    start = ops.stack([zero, zero, slot, zero])
    new = {
        name: ops.slice_update(cache[name], start, part)
        for name, part in (("key", key), ("value", value))
    }
    back = ops.mod(index - ops.arange(slots, dtype="int32"), slots)
    return query, {**cache, **new}, index - back


def attend(mixer, x, cache, index, pairs=None, *, training=False):
    """A step of softmax attention to the tokens that the cache holds.

    Args:
        mixer: a `Mixer` with `query`, `key`, `value` and `output_dense`.
        x, cache, index, training: as `Mixer.step`.
        pairs: (row, columns) -> bool, which of the places before it a place
            attends to; None means all.

    Returns:
        ((B, D), the next cache).
    """
    index = ops.cast(index, "int32")
    x = ops.cast(x, mixer.compute_dtype)
    query, cache, places = remember(mixer, x, cache, index)
    allowed = places >= 0
    if pairs is not None:
        allowed = allowed & pairs(index, places)
    mixed = mixer.attend(
        query,
        cache["key"],
        cache["value"],
        allowed[None, None, None],
        training,
    )
    return mixer.output_dense(mixer.merge_heads(mixed))[:, 0], cache


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
    """Queries or keys (B, A, 1, E), turned as `Mixer.turned` does."""
    x = at_least_float32(heads)
    cos, sin = ops.cast(cos, x.dtype), ops.cast(sin, x.dtype)
    x = ops.reshape(x, (-1, *x.shape[1:3], x.shape[3] // 2, 2))
    even, odd = x[..., 0], x[..., 1]
    x = ops.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return ops.cast(ops.reshape(x, (-1, *heads.shape[1:])), heads.dtype)
