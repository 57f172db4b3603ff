"""Which patches go first, with static shapes: no sort of floats, no gather.

Used by the masked autoencoder; nothing public is here.
"""

from keras import ops


def rank(first):
    """Place of each element when the True ones go first, order kept.

    Args:
        first: (B, N) bool.

    Returns:
        (B, N) int32, each row a permutation of 0 .. N - 1.
    """
    ones = ops.cast(first, "int32")
    before = ops.cumsum(ones, axis=1)
    after = ops.cumsum(1 - ones, axis=1) + before[:, -1:]
    return ops.where(first, before, after) - 1


def true_places(chosen, count):
    """Places of the True elements of each row, ascending.

    Args:
        chosen: (B, N) bool with `count` True in each row.
        count: int.

    Returns:
        (B, count) int32.
    """
    length = chosen.shape[1]
    place = ops.arange(length, dtype="int32")[None]
    return ops.sort(ops.where(chosen, place, length), axis=1)[:, :count]
