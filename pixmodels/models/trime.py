"""TRIME: memories of contexts and their next tokens, in the probabilities.

Here: probabilities with memories from the same batch, for training. The
memories of test time are in `pixmodels.models.memory`; a datastore of
neighbours is `pixmodels.models.Datastore`.
"""

from keras import ops

from pixmodels._precision import at_least_float32

MEMORIES = ("local", "long", "batch")
# Of pairs that do not take part: exp of it is 0 beside any real score.
_NEGATIVE = -1e9


def trime_log_probs(
    logits,
    contexts,
    targets,
    *,
    mask=None,
    memory="local",
    documents=None,
    keep_local=None,
    temperature=1.0,
):
    """Log probabilities of the next tokens, memories of the batch included.

    A memory is a context c_j with the token x_j that followed it. In
    `p(x | c) ~ exp(E_x f(c)) + sum over memories with x_j = x of exp(g_c g_j
    / sqrt(D) / temperature)` one sum over all tokens and all memories
    normalises. Minus the mean is TRIME's training loss, whose gradient goes
    through the memories too.

    Source: Zhong et al. 2022, "Training Language Models with Memory
    Augmentation", eqs. 3 to 5; `fairseq/criterions/trime_*_loss.py` of
    princeton-nlp/TRIME. Differences: a plain softmax instead of an adaptive
    one; memories come from the batch of this replica.

    Args:
        logits: (B, N, V), scores of the tokens.
        contexts: (B, N, D), representations g of the contexts: inputs of the
            last feed-forward layer.
        targets: (B, N) ints, the next tokens.
        mask: (B, N) bool, True = real; padding is no memory. None: all are.
        memory: "local": earlier contexts of the same row; "long": these and
            all of earlier rows of the same document; "batch": these and all
            other rows (for batches of similar segments).
        documents: (B,) ints, the document of each row, for "long": rows of a
            document stand in its order.
        keep_local: (B,) bool, rows that use their own contexts; None: all
            (TRIME's external form leaves them out 9 times of 10).
        temperature: of the scores of memories.

    Returns:
        (B, N) float32, log p of each target; padding has a value too.

    Raises:
        ValueError: for another `memory`, "long" without documents, or shapes
            that do not fit.

    Example:
        >>> import numpy as np
        >>> logits, contexts = np.zeros((1, 3, 5)), np.zeros((1, 3, 7))
        >>> p = pixmodels.models.trime_log_probs(
        ...     logits, contexts, np.array([[2, 2, 2]]))
        >>> np.exp(p).round(3).tolist()  # 1 / 5, 2 / 6, 3 / 7
        [[0.2, 0.333, 0.429]]
    """
    logits = at_least_float32(logits)
    targets = ops.cast(targets, "int32")
    scores, values, allowed = _memories(
        contexts,
        targets,
        mask,
        memory,
        documents,
        keep_local,
        temperature,
        logits,
    )
    token = ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    same = allowed & (values == targets[..., None])
    whole = ops.logaddexp(
        ops.logsumexp(logits, axis=-1), _log_sum(scores, allowed)
    )
    return ops.logaddexp(token, _log_sum(scores, same)) - whole


def trime_probabilities(
    logits,
    contexts,
    targets,
    *,
    mask=None,
    memory="local",
    documents=None,
    keep_local=None,
    temperature=1.0,
):
    """Probabilities of every token, memories of the batch included.

    Args:
        As `trime_log_probs`; `targets` are the tokens of the memories.

    Returns:
        (B, N, V) float32, rows add up to 1.
    """
    logits = at_least_float32(logits)
    targets = ops.cast(targets, "int32")
    scores, values, allowed = _memories(
        contexts,
        targets,
        mask,
        memory,
        documents,
        keep_local,
        temperature,
        logits,
    )
    every = ops.concatenate(
        [logits, ops.where(allowed, scores, _NEGATIVE)], axis=-1
    )
    shares = ops.softmax(every, axis=-1)
    size = logits.shape[-1]
    tokens = ops.one_hot(values, size, dtype=shares.dtype)  # (., 1, M, V)
    return shares[..., :size] + ops.matmul(shares[..., size:], tokens[:, 0])


def _log_sum(scores, allowed):
    return ops.logsumexp(ops.where(allowed, scores, _NEGATIVE), axis=-1)


def _memories(
    contexts,
    targets,
    mask,
    memory,
    documents,
    keep_local,
    temperature,
    logits,
):
    """Scores (B, N, M), tokens (B or 1, 1, M) and which pairs take part."""
    contexts = at_least_float32(contexts)
    _check(logits, contexts, targets, mask, memory, documents, temperature)
    batch, length = ops.shape(targets)
    scale = contexts.shape[-1] ** -0.5 / temperature
    queries = contexts * scale
    place = ops.arange(length)
    past = (place[:, None] > place[None, :])[None]  # (1, N, N)
    if keep_local is not None:
        past = past & ops.cast(keep_local, "bool")[:, None, None]
    if mask is not None:
        mask = ops.cast(mask, "bool")
        # Products of zero and NaN would bring padding back.
        contexts = ops.where(mask[..., None], contexts, 0.0)
    if memory == "local":
        scores = ops.matmul(queries, ops.transpose(contexts, (0, 2, 1)))
        allowed = past if mask is None else past & mask[:, None]
        return scores, targets[:, None], allowed
    keys = ops.reshape(contexts, (-1, contexts.shape[-1]))
    scores = ops.matmul(queries, ops.transpose(keys))
    row = ops.arange(batch)
    own = row[:, None] == row[None, :]
    if memory == "batch":
        other = ops.logical_not(own)
    else:
        documents = ops.convert_to_tensor(documents)
        other = row[:, None] > row[None, :]
        other = other & (documents[:, None] == documents[None, :])
    # (B, 1, B, 1) and (B, N, 1, N)
    allowed = (own[:, None, :, None] & past[:, :, None]) | other[
        :, None, :, None
    ]
    if mask is not None:
        allowed = allowed & mask[None, None]
    allowed = ops.broadcast_to(allowed, (batch, length, batch, length))
    allowed = ops.reshape(allowed, (batch, length, batch * length))
    return scores, ops.reshape(targets, (1, 1, -1)), allowed


def _check(logits, contexts, targets, mask, memory, documents, temperature):
    if memory not in MEMORIES:
        raise ValueError(
            f"Expected memory to be one of {MEMORIES}. Received: "
            f"memory={memory!r}."
        )
    if memory == "long" and documents is None:
        raise ValueError(
            "Expected documents, the document of each row, for memory='long'. "
            "Received: documents=None."
        )
    if not temperature > 0:
        raise ValueError(
            f"Expected temperature > 0. Received: temperature={temperature}."
        )
    shape = tuple(targets.shape)
    given = {"logits": logits, "contexts": contexts}
    if mask is not None:
        given["mask"] = mask
    for name, value in given.items():
        rank = 2 if name == "mask" else 3
        if len(value.shape) != rank or tuple(value.shape[:2]) != shape:
            raise ValueError(
                f"Expected {name} for targets of shape {shape}. Received: "
                f"{name}.shape={tuple(value.shape)}."
            )
