"""Attention of normalised queries and keys with a learned scale for each head.

Here: the projections' normalisation and the softmax. Not here: which keys a
query sees (the blocks)."""

from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.layers._masked_softmax import masked_softmax

_EPSILON = 1e-6


def normalised(heads):
    """Vectors (..., E) of length 1, computed in float32."""
    x = at_least_float32(heads)
    length = ops.sum(ops.square(x), axis=-1, keepdims=True) + _EPSILON
    return ops.cast(x * ops.rsqrt(length), heads.dtype)


def attend(query, key, value, scale, *, bias=None, allowed=None, dropout=None):
    """`softmax(|scale| (q . k + bias)) v`; 0 where nothing is allowed.

    Args:
        query: (B, A, ..., M, E), normalised.
        key, value: (B, A, ..., N, E), keys normalised.
        scale: (A,).
        bias: broadcasts to (B, A, ..., M, N), or None.
        allowed: bool, broadcasts to (B, A, ..., M, N), or None for all.
        dropout: a function of the weights, or None.

    Returns:
        (B, A, ..., M, E).
    """
    axes = tuple(range(len(key.shape) - 2))
    turned = ops.transpose(key, (*axes, len(axes) + 1, len(axes)))
    logits = at_least_float32(ops.matmul(query, turned))
    if bias is not None:
        logits = logits + ops.cast(bias, logits.dtype)
    ones = (1,) * (len(logits.shape) - 2)
    scale = ops.abs(ops.cast(scale, logits.dtype))
    logits = logits * ops.reshape(scale, (-1, *ones))
    weights = masked_softmax(logits, allowed)
    if allowed is not None:
        # The row of a query that may attend to nothing is uniform till here.
        weights = ops.where(allowed, weights, 0.0)
    weights = ops.cast(weights, value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    return ops.matmul(weights, value)
