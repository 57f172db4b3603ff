"""Bits per token with and without memories, for the same weights.

Here: reading documents window by window with TRIME's memories of test time.
Not here: any model; contexts and scores come from a function.
"""

import math

import numpy as np
from keras import ops

from pixmodels.models.long_memory import LongMemory


def bits_with_memories(
    read,
    documents,
    *,
    length,
    overlap=0,
    long_size=0,
    temperature=1.0,
    datastore=None,
    num_neighbours=1024,
    interpolation=0.0,
    interpolation_temperature=1.0,
    batch_size=8,
):
    """Bits per token of documents, without and with memories.

    Windows of `length` tokens are read in order. Local memories are the
    earlier contexts of the window, long ones the last `long_size` contexts of
    the document before it, external ones the neighbours in a datastore. Where
    tokens are bytes these are bits per byte.

    Source: Zhong et al. 2022, section 3.2; `fairseq/sequence_scorer.py` of
    princeton-nlp/TRIME. Difference: long memory ends where the window begins,
    so that with an overlap no context is there twice.

    Args:
        read: a function of tokens (B, length) int32 and the tokens before
            them (B,) int32, -1 where a document begins, that gives scores
            (B, length, V) of each token from those before it, and contexts
            (B, length, D), from which it is predicted: `TRIMEDecoder.read`.
        documents: list of (n,) ints.
        length: tokens in a window.
        overlap: tokens of a window that the one before it has scored already:
            they are context and memories only.
        long_size: most long-term memories, 12,288 in the paper.
        temperature: of the scores of memories.
        datastore: None, or a `Datastore`.
        num_neighbours: k of the datastore.
        interpolation: weight of a distribution over the neighbours alone that
            is mixed with the joint one, 0.3 in the paper.
        interpolation_temperature: of that distribution, 10.5 in the paper.
        batch_size: windows read in one call.

    Returns:
        dict: "tokens", how many were predicted, and bits per token: "none",
        "local", "long" (with local), and with a datastore "external" (with
        both) and "interpolated".

    Raises:
        ValueError: for sizes out of range, nothing to predict, or a datastore
            that is empty or of another width.
    """
    _check(length, overlap, temperature, interpolation)
    names = ["none", "local", "long"]
    if datastore is not None:
        names += ["external", "interpolated"]
    sums, tokens = dict.fromkeys(names, 0.0), 0
    for ids in documents:
        memory = LongMemory(long_size)
        windows = _windows(read, ids, length, overlap, batch_size)
        for logits, contexts, targets, first in windows:
            scale = contexts.shape[1] ** -0.5
            queries = contexts * np.float32(scale / temperature)
            parts = [_of_tokens(logits, targets)]
            found = {"none": _share(parts)}
            parts.append(_of_contexts(queries, contexts, targets))
            found["local"] = _share(parts)
            parts.append(_of_memory(queries, memory, targets))
            found["long"] = _share(parts)
            if datastore is not None:
                scores, values = datastore.search(contexts, num_neighbours)
                scores, right = scores * scale, values == targets[:, None]
                parts.append(_sums(scores / temperature, right))
                found["external"] = _share(parts)
                alone = [_sums(scores / interpolation_temperature, right)]
                found["interpolated"] = np.logaddexp(
                    _log(1 - interpolation) + found["external"],
                    _log(interpolation) + _share(alone),
                )
            for name in names:
                sums[name] -= float(found[name][first:].sum()) / math.log(2)
            tokens += len(targets) - first
            memory.append(
                contexts[: length - overlap], targets[: length - overlap]
            )
    if not tokens:
        raise ValueError(
            "Expected a document of at least one token. Received: "
            f"{len(documents)} documents without."
        )
    return {"tokens": tokens, **{k: v / tokens for k, v in sums.items()}}


def fill_datastore(
    read, documents, datastore, *, length, overlap=0, batch_size=8
):
    """Reads documents into a datastore.

    Args:
        read, documents, length, overlap, batch_size: as `bits_with_memories`.
        datastore: a `Datastore`; each token is added once, with its context.
    """
    _check(length, overlap)
    for ids in documents:
        for _, contexts, targets, first in _windows(
            read, ids, length, overlap, batch_size
        ):
            datastore.add(contexts[first:], targets[first:])


def _windows(read, ids, length, overlap, batch_size):
    """(scores, contexts, targets, first token that is new) of each window.

    The last ones are filled with zeros: all batches have one shape.
    """
    ids = np.asarray(ids)
    step = length - overlap
    starts = list(range(0, max(len(ids) - overlap, 0), step))
    starts = starts or ([0] if len(ids) else [])
    for k in range(0, len(starts), batch_size):
        some = starts[k : k + batch_size]
        rows = np.zeros((batch_size, length), "int32")
        before = np.full((batch_size,), -1, "int32")
        for i, start in enumerate(some):
            part = ids[start : start + length]
            rows[i, : len(part)] = part
            before[i] = ids[start - 1] if start else -1
        logits, contexts = (
            ops.convert_to_numpy(y).astype("float32")
            for y in read(rows, before)
        )
        for i, start in enumerate(some):
            targets = ids[start : start + length].astype("int64")
            n = len(targets)
            first = overlap if start else 0
            yield logits[i, :n], contexts[i, :n], targets, first


# Each of these gives (log of the sum over what leads to the target, log of
# the sum over everything), both (N,) float64.


def _of_tokens(logits, targets):
    right = np.arange(logits.shape[1]) == targets[:, None]
    return _sums(logits, right)


def _of_contexts(queries, contexts, targets):
    past = np.tri(len(targets), k=-1, dtype=bool)
    right = targets[None, :] == targets[:, None]
    return _sums(queries @ contexts.T, right, past)


def _of_memory(queries, memory, targets):
    if not len(memory):
        nothing = np.full(len(targets), -np.inf)
        return nothing, nothing
    right = memory.values[None, :] == targets[:, None]
    return _sums(queries @ memory.keys.T, right)


def _sums(scores, right, allowed=True):
    scores = np.where(allowed, scores, -np.inf)
    top = scores.max(axis=1, keepdims=True)
    top = np.where(np.isneginf(top), 0, top)
    shares = np.exp(scores - top)
    totals = [np.where(right, shares, 0), shares]
    return tuple(
        _log(part.sum(axis=1, dtype="float64")) + top[:, 0] for part in totals
    )


def _share(parts):
    """Log probability of the targets, (N,)."""
    right, every = zip(*parts)
    return np.logaddexp.reduce(right) - np.logaddexp.reduce(every)


def _log(x):
    with np.errstate(divide="ignore"):
        return np.log(x)


def _check(length, overlap, temperature=1.0, interpolation=0.0):
    if not 0 <= overlap < length:
        raise ValueError(
            "Expected 0 <= overlap < length. Received: "
            f"length={length}, overlap={overlap}."
        )
    if not temperature > 0 or not 0 <= interpolation < 1:
        raise ValueError(
            "Expected temperature > 0 and 0 <= interpolation < 1. Received: "
            f"temperature={temperature}, interpolation={interpolation}."
        )
