"""Heads of attention: how wide they are, and features cut into them.

Here: what any layer with heads needs. Not here: what heads do."""

from keras import ops


def size(num_heads, head_dim, input_shape):
    """E, int: `head_dim`, or the width of the input over the heads.

    Args:
        num_heads: A.
        head_dim: int or None.
        input_shape: (..., D).

    Raises:
        ValueError: if A does not divide D and no `head_dim` is given.
    """
    width = input_shape[-1]
    if head_dim is None and width % num_heads:
        raise ValueError(
            "Expected num_heads to divide the width of the input, or an "
            f"explicit head_dim. Received: num_heads={num_heads}, "
            f"input_shape={tuple(input_shape)}."
        )
    return head_dim or width // num_heads


def split(x, num_heads):
    """(B, N, A E) -> (B, A, N, E)."""
    shape = (*_front(x, 1), num_heads, x.shape[-1] // num_heads)
    return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))


def merged(x):
    """(B, A, N, E) -> (B, N, A E)."""
    shape = (*_front(x, 2), x.shape[1] * x.shape[3])
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), shape)


def _front(x, axis):
    """B and N, static where they are; N is at `axis`."""
    batch = -1 if x.shape[0] is None else x.shape[0]
    return batch, ops.shape(x)[axis]
