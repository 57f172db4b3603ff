import numpy as np


class LongMemory:
    """The last contexts of a document and the tokens that followed them.

    TRIME's long-term memory of test time (Zhong et al. 2022, section 3.2), in
    numpy.

    Args:
        size: most memories; the oldest are dropped.

    Attributes:
        keys: (M, D) float32, the contexts, oldest first.
        values: (M,) int64, their tokens.

    Example:
        >>> import numpy as np
        >>> memory = pixmodels.models.LongMemory(5)
        >>> memory.append(np.zeros((3, 7)), [1, 2, 3])
        >>> memory.append(np.zeros((4, 7)), [4, 5, 6, 7])
        >>> memory.values.tolist()
        [3, 4, 5, 6, 7]
    """

    def __init__(self, size):
        if size < 0:
            raise ValueError(f"Expected size >= 0. Received: size={size}.")
        self.size = size
        self.clear()

    def clear(self):
        """Forgets everything: a new document begins."""
        self.keys = None
        self.values = np.zeros((0,), "int64")

    def __len__(self):
        return len(self.values)

    def append(self, keys, values):
        """Takes what was read.

        Args:
            keys: (n, D) floating point.
            values: (n,) ints.

        Raises:
            ValueError: for keys of another width, or another number of values.
        """
        keys, values = check_pairs(keys, values)
        if self.keys is not None:
            check_width(keys, self.keys.shape[1], "memory")
            keys = np.concatenate([self.keys, keys])
            values = np.concatenate([self.values, values])
        start = max(0, len(values) - self.size)
        self.keys, self.values = keys[start:], values[start:]


def check_pairs(keys, values):
    """Keys (n, D) float32 and values (n,) int64, or a ValueError."""
    keys, values = np.asarray(keys, "float32"), np.asarray(values)
    if keys.ndim != 2 or values.shape != keys.shape[:1]:
        raise ValueError(
            "Expected keys of shape (n, D) and values of shape (n,). "
            f"Received: keys.shape={keys.shape}, values.shape={values.shape}."
        )
    return keys, values.astype("int64")


def check_width(keys, width, what):
    """Raises a ValueError unless (n, D) keys are as wide as those kept."""
    if keys.ndim != 2 or keys.shape[1] != width:
        raise ValueError(
            f"Expected keys of width {width}, as those of the {what}. "
            f"Received: keys.shape={keys.shape}."
        )
