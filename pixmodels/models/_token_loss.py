"""Sums of the loss and the metrics of tokens that are written.

Here: numerators and counts from scores. Not here: memories (`trime`)."""

import math

from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.models import trime


def sums(outputs, batch, *, memory, temperature, label_smoothing):
    """(numerators, counts), dicts of float32 scalars.

    Args:
        outputs: dict with `logits` (B, N, V) and `contexts` (B, N, D).
        batch: dict with `target` (B, N) and optionally `target_mask` (B, N)
            and `weight` (B,).
        memory, temperature: as `trime.trime_log_probs`; no memories with None.
        label_smoothing: share that is spread over all tokens.
    """
    target = ops.cast(batch["target"], "int32")
    mask = batch.get("target_mask")
    logits = at_least_float32(outputs["logits"])
    spread = ops.log_softmax(logits, axis=-1)
    if memory is None:
        nats = -ops.take_along_axis(spread, target[..., None], axis=-1)[..., 0]
    else:
        nats = -trime.trime_log_probs(
            logits,
            outputs["contexts"],
            target,
            mask=mask,
            memory=memory,
            temperature=temperature,
        )
    loss = nats
    if label_smoothing:
        even = -ops.mean(spread, axis=-1)
        loss = nats + label_smoothing * (even - nats)
    right = ops.cast(ops.argmax(logits, axis=-1), "int32") == target
    found = {
        "loss": loss,
        "bits_per_token": nats / math.log(2),
        "accuracy": ops.cast(right, nats.dtype),
    }
    return counted_sums(found, batch.get("weight"), mask)


def counted_sums(values, weight, mask):
    """Sums over what counts, and how much does.

    Args:
        values: dict of (B, N).
        weight: (B,), or None.
        mask: (B, N), or None.

    Returns:
        two dicts with the keys of `values`.
    """
    first = next(iter(values.values()))
    counted = ops.ones_like(first)
    if mask is not None:
        counted = ops.cast(mask, first.dtype)
    if weight is not None:
        counted = counted * ops.cast(weight, first.dtype)[:, None]
    # `where`: what is not counted may be anything, NaN too.
    found = {
        name: ops.sum(ops.where(counted != 0, value * counted, 0.0))
        for name, value in values.items()
    }
    return found, dict.fromkeys(found, ops.sum(counted))
