"""Softmax over what may be attended; used by mixers and pooling layers."""

from keras import ops

from pixmodels._precision import at_least_float32

# Added to logits of pairs that do not attend: finite, so that a row in which
# nothing may be attended stays finite; exp of it is 0 beside any real logit.
NEGATIVE = -1e9


def masked_softmax(logits, allowed=None):
    """Softmax over the last axis, at least float32 under any policy.

    Args:
        logits: (..., M, N) floating point.
        allowed: bool, broadcasts to (..., M, N), True = attended.

    Returns:
        (..., M, N) float32, float64 for such logits; rows add up to 1.
    """
    logits = at_least_float32(logits)
    if allowed is not None:
        logits = ops.where(allowed, logits, NEGATIVE)
    if logits.shape[-1] == 1:  # keras warns of a softmax over one value
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)
