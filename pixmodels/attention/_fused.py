"""Exact attention in the backend's own fused kernels, which keep no N x N.

Here: where `keras.ops.dot_product_attention` of keras 3.15 is worth its call,
and the call. Not here: the form in plain `keras.ops` (`Mixer.attend`), which
is used elsewhere and is the oracle."""

import keras
from keras import ops

_HALF = ("bfloat16", "float16")


def offered(query):
    """Whether the backend has a fused kernel for these queries.

    torch: always, on CPUs too (`scaled_dot_product_attention`). jax: GPUs, by
    cuDNN, which takes halves and head sizes in eights; what else cuDNN wants
    keras looks after. Not TPUs: for them keras 3.15 makes unmasked attention
    causal and gives the first example's mask to all. TensorFlow has none.
    Nowhere after `keras.config.disable_flash_attention()`.

    Args:
        query: (..., M, E).
    """
    # None, the default of keras, means "where it can be had".
    if keras.config.is_flash_attention_enabled() is False:
        return False
    if len(query.shape) != 4:
        return False
    if keras.backend.backend() == "torch":
        return True
    return (
        keras.backend.backend() == "jax"
        and keras.backend.standardize_dtype(query.dtype) in _HALF
        and query.shape[-1] % 8 == 0
        and keras.distribution.list_devices()[0].startswith("gpu")
    )


def attend(query, key, value, allowed=None, *, causal=False, scale=1.0):
    """Softmax attention; a row in which nothing is allowed stays finite.

    Args:
        query: (B, A, M, E), key and value: (B, A, N, E).
        allowed: bool, broadcasts to (B, 1, M, N), or None.
        causal: query i attends to keys j <= i only; M is N.
        scale: of the logits.

    Returns:
        (B, A, M, E) of the queries' dtype. Where nothing is allowed it is a
        mean of the values, whose gradients reach queries and keys, too; in
        the plain form they do not.
    """
    count = query.shape[2]
    if allowed is not None and keras.backend.backend() == "jax":
        query, key, value, allowed = _for_cudnn(query, key, value, allowed)
    mixed = ops.dot_product_attention(
        *(ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value)),
        mask=allowed,
        scale=scale,
        is_causal=causal,
    )
    return ops.transpose(mixed, (0, 2, 1, 3))[:, :, :count]


def _for_cudnn(query, key, value, allowed):
    """Even lengths, without which there is no gradient; a mask of all pairs."""
    rows, columns = query.shape[2], key.shape[2]
    allowed = ops.broadcast_to(allowed, (*allowed.shape[:2], rows, columns))
    more = (-rows % 2, -columns % 2)
    if any(more):
        query = ops.pad(query, ((0, 0), (0, 0), (0, more[0]), (0, 0)))
        wider = ((0, 0), (0, 0), (0, more[1]), (0, 0))
        key, value = ops.pad(key, wider), ops.pad(value, wider)
        wider = ((0, 0), (0, 0), (0, more[0]), (0, more[1]))
        allowed = ops.pad(allowed, wider, constant_values=False)
    return query, key, value, allowed
