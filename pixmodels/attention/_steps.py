"""Token by token: caches of keys and values, places in them, checks.

Here: what mixers need to decode one token after another. Not here: which
tokens attend to which (the mechanisms)."""

import keras
from keras import ops

from pixmodels.attention import _rotary


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
    check_token(x, cache, index, length)


def check_token(x, cache, index=None, length=None):
    """Refuses tokens that do not go with a cache; as `check_step`."""
    if len(x.shape) != 2:
        raise ValueError(
            "Expected one token of each example, x of shape (B, D). "
            f"Received: x.shape={tuple(x.shape)}."
        )
    check_batch("cache", x, cache)
    if isinstance(index, int) and (
        index < 0 or (length is not None and index >= length)
    ):
        limit = "" if length is None else f" < {length}, the cache's length"
        raise ValueError(f"Expected 0 <= index{limit}. Received: {index}.")


def check_batch(name, x, parts):
    """Refuses tensors of another batch size than `x`.

    Raises:
        ValueError: naming the shapes.
    """
    for part in keras.tree.flatten(parts):
        if None in (part.shape[0], x.shape[0]) or part.shape[0] == x.shape[0]:
            continue
        raise ValueError(
            f"Expected a {name} of batch size {x.shape[0]} for x of shape "
            f"{tuple(x.shape)}. Received: a {name} with a tensor of shape "
            f"{tuple(part.shape)}."
        )


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
        cos, sin = _rotary.angles(mixer.head_size, mixer.rotary, index)
        query, key = (_rotary.turned(part, cos, sin) for part in (query, key))
    slots = cache["key"].shape[2]
    cache = written(cache, key, value, ops.mod(index, slots))
    back = ops.mod(index - ops.arange(slots, dtype="int32"), slots)
    return query, cache, index - back


def written(cache, key, value, slot):
    """The cache with a token's key and value (B, A, 1, E) in a slot."""
    zero = ops.zeros_like(slot)
    start = ops.stack([zero, zero, slot, zero])
    return {
        **cache,
        "key": ops.slice_update(cache["key"], start, key),
        "value": ops.slice_update(cache["value"], start, value),
    }


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
