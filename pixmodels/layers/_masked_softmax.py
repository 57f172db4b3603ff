"""Softmax over what may be attended; used by mixers and pooling layers."""

from keras import ops

# Added to logits of pairs that do not attend: finite, so that a row in which
# nothing may be attended stays finite; exp of it is 0 beside any real logit.
NEGATIVE = -1e9


def masked_softmax(logits, allowed=None):
    """Softmax over the last axis, float32 under any policy.

    Args:
        logits: (..., M, N) floating point.
        allowed: bool, broadcasts to (..., M, N), True = attended.

    Returns:
        (..., M, N) float32, rows add up to 1.
    """
    logits = ops.cast(logits, "float32")
    if allowed is not None:
        logits = ops.where(allowed, logits, NEGATIVE)
    if logits.shape[-1] == 1:  # keras warns of a softmax over one value
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)
