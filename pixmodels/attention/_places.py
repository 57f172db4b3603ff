"""Places of tokens in the whole sequence, for mechanisms with a longest one.

Here: from positions to places, and the check against the longest. Not here:
what stands at a place (the mechanisms)."""

from keras import ops


def places(positions, prefix):
    """Places of all tokens, the prefix first.

    Args:
        positions: (B, N) ints, as `Mixer`.
        prefix: int.

    Returns:
        (B, prefix + N) int32: 0, ..., prefix - 1 and `prefix + positions`.
    """
    place = ops.cast(positions, "int32") + prefix
    front = ops.zeros_like(place[:, :1]) + ops.arange(prefix, dtype="int32")
    return ops.concatenate([front, place], axis=1)


def check_longest(max_length, length, positions, prefix, grid):
    """Refuses sequences and grids beyond a mechanism's longest.

    Args:
        max_length: int, prefix included.
        length: int, tokens given, prefix included.
        positions, prefix, grid: as `Mixer`.

    Raises:
        ValueError: if there are more tokens, or places in the grid of a
            subset.
    """
    longest = length
    if positions is not None and grid is not None:
        longest = prefix + grid[0] * grid[1]
    if longest > max_length:
        raise ValueError(
            f"Expected at most max_length={max_length} tokens, "
            f"prefix={prefix} included. Received: {longest}."
        )


def longest_of(max_length, input_shape):
    """`max_length`, or the length at which a layer is built.

    Raises:
        ValueError: if there is neither.
    """
    longest = input_shape[1] if max_length is None else max_length
    if longest is None:
        raise ValueError(
            "Expected max_length, or a layer built for a static length. "
            f"Received: max_length=None, input_shape={tuple(input_shape)}."
        )
    return longest
