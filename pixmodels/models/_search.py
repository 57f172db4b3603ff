"""The likeliest sequence, token by token: greedy and by beams.

Here: loops over a function of one step, in `keras.ops.while_loop`. Not here:
the step (a decoder), draws at random (`_sampling`).
"""

import keras
from keras import ops

# Of sequences that are not there; any real log probability is above it.
_LOW = -1e9


def check(max_length, beam_size=1, length_penalty=0.0):
    """Refuses options out of range by a ValueError."""
    if max_length < 1:
        raise ValueError(
            f"Expected max_length >= 1. Received: max_length={max_length}."
        )
    if beam_size < 1 or not length_penalty >= 0:
        raise ValueError(
            "Expected beam_size >= 1 and length_penalty >= 0. Received: "
            f"beam_size={beam_size}, length_penalty={length_penalty}."
        )


def greedy(step, cache, batch_size, *, begin_id, end_id, max_length):
    """The likeliest token each time.

    Args:
        step: (tokens (B,) int32, cache, index) -> (logits (B, V), cache).
        cache: what the first step is given.
        batch_size: B.
        begin_id, end_id: the token before the first, and the last.
        max_length: L.

    Returns:
        (B, L) int32; the end and everything after it are `end_id`.
    """
    place = ops.arange(max_length, dtype="int32")[None]

    def goes_on(index, ids, last, ended, cache):
        return (index < max_length) & ops.logical_not(ops.all(ended))

    def one(index, ids, last, ended, cache):
        logits, cache = step(last, cache, index)
        token = ops.cast(ops.argmax(logits, axis=-1), "int32")
        token = ops.where(ended, end_id, token)
        ids = ops.where(place == index, token[:, None], ids)
        return index + 1, ids, token, ended | (token == end_id), cache

    start = (
        ops.convert_to_tensor(0, "int32"),
        ops.full((batch_size, max_length), end_id, "int32"),
        ops.full((batch_size,), begin_id, "int32"),
        ops.zeros((batch_size,), "bool"),
        cache,
    )
    return ops.while_loop(goes_on, one, start)[1]


def beam(
    step,
    cache,
    batch_size,
    *,
    beam_size,
    length_penalty,
    begin_id,
    end_id,
    max_length,
):
    """The K likeliest sequences that are found by K beams.

    A sequence ends with `end_id` or at L tokens. Its score is the sum of its
    log probabilities over `n ** length_penalty`, n tokens with the end. A step
    keeps 2 K candidates, so that K go on even if K end; the search is over
    when no beam can come above the K finished ones.

    Args:
        step: as `greedy`, for B * K rows, those of an example beside each
            other.
        cache: nested dict of tensors whose first axis is B * K.
        Others: as `greedy`; `beam_size` is K.

    Returns:
        (ids (B, K, L) int32, scores (B, K) float32), best first; what stands
        after the end is `end_id`.
    """
    size, length = beam_size, max_length
    place = ops.arange(length, dtype="int32")[None, None]
    offset = ops.arange(batch_size, dtype="int32")[:, None] * size

    def penalty(n):
        return ops.cast(n, "float32") ** length_penalty

    def goes_on(index, ids, last, scores, done, done_scores, cache):
        # Scores only fall, and the longest sequence is divided by most.
        best = ops.max(scores, axis=1) / penalty(length)
        better = ops.any(best > ops.min(done_scores, axis=1))
        return (index < length) & better

    def one(index, ids, last, scores, done, done_scores, cache):
        logits, cache = step(ops.reshape(last, (-1,)), cache, index)
        options = logits.shape[-1]
        nats = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        nats = ops.reshape(nats, (-1, size, options))
        every = ops.reshape(scores[..., None] + nats, (-1, size * options))
        found, picks = ops.top_k(every, 2 * size)
        picks = ops.cast(picks, "int32")
        origin, token = picks // options, picks % options
        rows = ops.take_along_axis(ids, origin[..., None], axis=1)
        rows = ops.where(place == index, token[..., None], rows)
        ends = token == end_id

        done, done_scores = _best(
            size,
            ops.concatenate([done, rows], axis=1),
            ops.concatenate(
                [
                    done_scores,
                    ops.where(ends, found / penalty(index + 1), _LOW),
                ],
                axis=1,
            ),
        )[:2]
        ids, scores, kept = _best(size, rows, ops.where(ends, _LOW, found))
        last = ops.take_along_axis(token, kept, axis=1)
        origin = ops.take_along_axis(origin, kept, axis=1) + offset
        origin = ops.reshape(origin, (-1,))
        cache = keras.tree.map_structure(
            lambda part: ops.take(part, origin, axis=0), cache
        )
        return index + 1, ids, last, scores, done, done_scores, cache

    shape = (batch_size, size)
    alone = ops.where(ops.arange(size) == 0, 0.0, _LOW)  # beams are alike
    start = (
        ops.convert_to_tensor(0, "int32"),
        ops.full((*shape, length), end_id, "int32"),
        ops.full(shape, begin_id, "int32"),
        ops.zeros(shape, "float32") + alone,
        ops.full((*shape, length), end_id, "int32"),
        ops.full(shape, _LOW, "float32"),
        cache,
    )
    index, ids, _, scores, done, done_scores, _ = ops.while_loop(
        goes_on, one, start
    )
    # Those that have not ended count as they are.
    return _best(
        size,
        ops.concatenate([done, ids], axis=1),
        ops.concatenate([done_scores, scores / penalty(index)], axis=1),
    )[:2]


def _best(size, rows, scores):
    """The `size` best rows (B, n, L), their scores, and where they stood."""
    scores, kept = ops.top_k(scores, size)
    kept = ops.cast(kept, "int32")
    rows = ops.take_along_axis(rows, kept[..., None], axis=1)
    return rows, scores, kept
