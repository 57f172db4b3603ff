"""Drawing items one after another with the caches of a decoder.

Here: the loop and the draws that decoders share. Not here: distributions
(the decoders), beams."""

from keras import ops

from pixmodels import random
from pixmodels.layers._masked_softmax import NEGATIVE


def check(temperature, top_k):
    """Refuses options of sampling that mean nothing.

    Raises:
        ValueError: for a negative temperature, or a `top_k` below 1.
    """
    if not temperature >= 0:
        raise ValueError(
            "Expected temperature >= 0, 0 for the likeliest item. Received: "
            f"temperature={temperature}."
        )
    if top_k is not None and not top_k >= 1:
        raise ValueError(
            f"Expected top_k >= 1 or None. Received: top_k={top_k}."
        )


def known(previous):
    """Where an item before the first one is given: (B, ...) to (B,) bool."""
    flat = ops.reshape(previous, (previous.shape[0] or -1, -1))
    return ops.any(flat >= 0, axis=1)


def continued(model, items, given, *, seed, memory, previous, **options):
    """See `CausalDecoder.continued`."""
    length = items.shape[1]
    if previous is not None:
        previous = ops.cast(ops.convert_to_tensor(previous), items.dtype)
    for places in _rounds(model.body, given, length):
        items = _filled(model, items, places, seed, memory, previous, options)
    return items


def _rounds(body, given, length):
    """Places (begin, end) that are drawn with one cache after another."""
    if given >= length:
        return []
    rounds = getattr(body, "sampling_rounds", None)
    return [(given, length)] if rounds is None else rounds(given, length)


def _filled(model, items, places, seed, memory, previous, options):
    (begin, end), batch = places, items.shape[0]
    begins = None if previous is None else ops.logical_not(known(previous))
    example_ids = ops.arange(batch, dtype="int32")
    cache = model.initial_cache(batch, end, memory)
    rest = (0,) * (len(items.shape) - 2)

    def uniform_at(index):
        def uniform(salt, size):
            # The key is (seed, place): a longer sample begins alike.
            key = ops.stack([ops.convert_to_tensor(seed, "int32"), index])
            salt = random.salt_of(f"sample/{salt}")
            drawn = random.bits(salt, size, key=key, example_ids=example_ids)
            return (ops.cast(drawn, "float32") + 0.5) * 2.0**-24

        return uniform

    def one(index, items, cache):
        before = ops.take(items, ops.maximum(index - 1, 0), axis=1)
        if previous is not None:
            before = ops.where(ops.equal(index, 0), previous, before)
        before = ops.maximum(before, 0)
        parameters, cache = model.step(before, cache, index, begins=begins)
        drawn = model.draw(parameters, uniform_at(index), **options)
        drawn = ops.cast(drawn, items.dtype)[:, None]
        zero = ops.zeros_like(index)
        start = ops.stack([zero, index, *(zero for _ in rest)])
        new = ops.slice_update(items, start, drawn)
        items = ops.where(index >= begin, new, items)
        return index + 1, items, cache

    first = 0
    if begin and hasattr(model.body, "prefill"):
        x = model.inputs_of(items[:, :begin], previous)
        cache, first = model.body.prefill(x, cache), begin
    start = (ops.convert_to_tensor(first, "int32"), items, cache)
    return ops.while_loop(lambda index, *_: index < end, one, start)[1]


def choose(logits, uniform, *, temperature=1.0, top_k=None):
    """A category by its logits.

    Args:
        logits: (B, ..., V) floating point.
        uniform: numbers in (0, 1), shaped as `logits`.
        temperature: logits are divided by it; 0 takes the largest.
        top_k: only so many categories are drawn from.

    Returns:
        (B, ...) int32.
    """
    logits = ops.cast(logits, "float32")
    if top_k is not None and top_k < logits.shape[-1]:
        least = ops.top_k(logits, top_k)[0][..., -1:]
        logits = ops.where(logits >= least, logits, NEGATIVE)
    if temperature:
        # The largest of logits with Gumbel noise is a draw.
        logits = logits / temperature - ops.log(-ops.log(uniform))
    return ops.cast(ops.argmax(logits, axis=-1), "int32")
