import numpy as np


class Digits:
    """scikit-learn's handwritten digits, split into train and test.

    1,797 grey images of 8 x 8 pixels (the test part of UCI's "Optical
    Recognition of Handwritten Digits"), installed with scikit-learn. The
    split is stratified by digit and a pure function of the arguments.

    Args:
        seed: int >= 0, which images fall into which split.
        test_fraction: share of each digit, in (0, 1).

    Attributes:
        train_images, test_images: (n, 8, 8) uint8 in [0, 255], ink is bright;
            the 17 grey levels of the source, scaled.
        train_labels, test_labels: (n,) int32 in [0, 10).
        train_ids, test_ids: (n,) int32 places in scikit-learn's array.
        labels: ("0", ..., "9").

    Raises:
        ValueError: for a fraction outside (0, 1).
        ImportError: without scikit-learn.
    """

    def __init__(self, *, seed=0, test_fraction=0.2):
        if not 0 < test_fraction < 1:
            raise ValueError(
                "Expected 0 < test_fraction < 1. Received: "
                f"test_fraction={test_fraction}."
            )
        self.seed = seed
        self.test_fraction = test_fraction
        images, digits = _load()
        self.labels = tuple(str(digit) for digit in range(10))
        self.train_ids, self.test_ids = self._split(digits)
        self.train_images = images[self.train_ids]
        self.test_images = images[self.test_ids]
        self.train_labels = digits[self.train_ids]
        self.test_labels = digits[self.test_ids]

    def _split(self, digits):
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 0]))
        train, test = [], []
        for digit in range(10):
            ids = rng.permutation(np.flatnonzero(digits == digit))
            count = round(len(ids) * self.test_fraction)
            test.append(ids[:count])
            train.append(ids[count:])
        return tuple(
            rng.permutation(np.concatenate(part)).astype(np.int32)
            for part in (train, test)
        )


def _load():
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The digits need the package scikit-learn: pip install scikit-learn"
        ) from error
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    return images, data.target.astype(np.int32)
