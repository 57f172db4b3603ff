"""A bias of logits by the distance to a key before the query, in buckets.

Here: which distance falls in which bucket, and the table of a window. Not
here: the weights (the blocks)."""

import numpy as np
from keras import ops

from pixmodels.sequence import _diagonals


def buckets(distance, num_buckets, max_distance):
    """The bucket of each distance, as T5's one-sided ones.

    Half of the buckets are a distance each; the others grow with the
    logarithm of the distance, up to `max_distance` (Raffel et al. 2020,
    section 2.1; meliad's `position_t5.py`).

    Args:
        distance: numpy ints >= 0.
        num_buckets, max_distance: ints.

    Returns:
        numpy int32 of the same shape.
    """
    exact = num_buckets // 2
    far = np.log(np.maximum(distance, exact) / exact)
    far = far / np.log(max_distance / exact) * (num_buckets - exact)
    # A little more, so that whole numbers are not rounded down.
    far = np.minimum(exact + (far + 1e-9).astype(int), num_buckets - 1)
    return np.where(distance < exact, distance, far).astype("int32")


def by_distance(table, most, max_distance):
    """The bias of each distance.

    Args:
        table: (num_buckets, A).
        most: int.
        max_distance: int.

    Returns:
        (A, most): of distances 1, ..., most.
    """
    count = table.shape[0]
    # A product in place of a gather, whose gradient would be a scatter.
    distance = np.arange(1, most + 1)
    chosen = np.eye(count)[buckets(distance, count, max_distance)]
    chosen = ops.convert_to_tensor(chosen.T, table.dtype)
    return ops.matmul(ops.transpose(table), chosen)


def of_windows(bias, size):
    """The bias of `size` queries to their own keys and as many before.

    Args:
        bias: (A, size or more), of distances 1, 2, ...
        size: W, int.

    Returns:
        (A, W, 2 W): key j of query i is j - W places after the window's
        first; 0 where the distance is not in 1, ..., W.
    """
    bias = bias[:, :size]
    # Read backwards: key c of the first query is at the distance W - c.
    row = ops.pad(ops.flip(bias, axis=1), ((0, 0), (size - 1, size + 1)))
    return _diagonals.sheared(row, size)
