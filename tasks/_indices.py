"""The example numbers that a batch is asked for, checked; nothing else."""

import numpy as np


def checked_indices(indices, count, least=-1):
    """Example numbers as an int64 array.

    Args:
        indices: (B,) int.
        count: n, examples of the source.
        least: -1 where fillers may be asked for, else 0.

    Raises:
        IndexError: for a number outside [least, n).
    """
    indices = np.asarray(indices, np.int64)
    if indices.size and not least <= indices.min() <= indices.max() < count:
        raise IndexError(
            f"Expected indices in [{least}, {count}). Received: "
            f"indices={indices.tolist()}."
        )
    return indices


def refuse_length(length):
    """Raises ValueError unless the length of a batch of images is None."""
    if length is not None:
        raise ValueError(
            "Expected length=None for images of one size. Received: "
            f"length={length}."
        )
