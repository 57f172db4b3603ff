"""Honest baselines to print beside a model's accuracy.

The majority class, and character n-grams with logistic regression. Each is
fitted and measured on the very splits that the model gets.
"""

import dataclasses
import time

import numpy as np


@dataclasses.dataclass(frozen=True)
class BaselineResult:
    """What a baseline reached.

    Attributes:
        name: what it is, in a few words.
        accuracy: share of test examples, in [0, 1].
        fit_seconds: wall-clock seconds of feature extraction and fitting.
        num_train, num_test: examples.
        predictions: (num_test,) int32.
        options: dict of its settings.
        versions: dict of package -> version.
    """

    name: str
    accuracy: float
    fit_seconds: float
    num_train: int
    num_test: int
    predictions: np.ndarray
    options: dict
    versions: dict

    def summary(self):
        """All but the predictions, as a JSON-able dict."""
        values = dict(vars(self))
        del values["predictions"]
        return values


def majority_class(train_labels, test_labels):
    """Always answers the most frequent training label, the lowest of equals.

    Args:
        train_labels: (n,) int.
        test_labels: (m,) int.

    Returns:
        `BaselineResult`.

    Raises:
        ValueError: if either is empty.
    """
    train_labels, test_labels = _labels(train_labels, test_labels)
    start = time.perf_counter()
    answer = np.argmax(np.bincount(train_labels))
    return BaselineResult(
        name="majority class",
        accuracy=float(np.mean(test_labels == answer)),
        fit_seconds=time.perf_counter() - start,
        num_train=len(train_labels),
        num_test=len(test_labels),
        predictions=np.full(len(test_labels), answer, np.int32),
        options={},
        versions={"numpy": np.__version__},
    )


def ngram_logistic_regression(
    train_texts,
    train_labels,
    test_texts,
    test_labels,
    *,
    max_ngram=3,
    alpha=1e-5,
    epochs=10,
    seed=0,
):
    """Character n-grams inside word borders, tf-idf, logistic regression.

    One-against-all logistic regression by stochastic gradient descent, which
    on 24,000 names in 60 classes is as accurate as the multinomial form by
    L-BFGS and five times as fast. A pure function of the arguments.

    Args:
        train_texts, test_texts: sequences of str.
        train_labels, test_labels: (n,), (m,) int.
        max_ngram: n-grams of 1 to this many characters.
        alpha: L2 penalty.
        epochs: passes over the training texts.
        seed: int, order of the texts in each pass.

    Returns:
        `BaselineResult`.

    Raises:
        ValueError: for texts and labels of different lengths, empty ones, or
            fewer than two classes.
        ImportError: without scikit-learn.
    """
    try:
        import sklearn
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import SGDClassifier
    except ImportError as error:
        raise ImportError(
            "The n-gram baseline needs the package scikit-learn: "
            "pip install scikit-learn"
        ) from error
    train_labels, test_labels = _labels(train_labels, test_labels)
    for texts, labels in (
        (train_texts, train_labels),
        (test_texts, test_labels),
    ):
        if len(texts) != len(labels):
            raise ValueError(
                "Expected as many labels as texts. Received: "
                f"{len(texts)} texts, {len(labels)} labels."
            )
    if len(np.unique(train_labels)) < 2:
        raise ValueError(
            "Expected at least two classes to tell apart. Received: "
            f"train_labels with {len(np.unique(train_labels))}."
        )
    start = time.perf_counter()
    vectorizer = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(1, max_ngram),
        lowercase=False,
        sublinear_tf=True,
        dtype=np.float64,
    )
    features = vectorizer.fit_transform(train_texts)
    model = SGDClassifier(
        loss="log_loss",
        alpha=alpha,
        max_iter=epochs,
        tol=None,
        random_state=seed,
    )
    model.fit(features, train_labels)
    seconds = time.perf_counter() - start
    predictions = model.predict(vectorizer.transform(test_texts))
    return BaselineResult(
        name="character n-grams, logistic regression",
        accuracy=float(np.mean(predictions == test_labels)),
        fit_seconds=seconds,
        num_train=len(train_labels),
        num_test=len(test_labels),
        predictions=predictions.astype(np.int32),
        options={
            "ngrams": [1, max_ngram],
            "features": features.shape[1],
            "alpha": alpha,
            "epochs": epochs,
            "seed": seed,
        },
        versions={
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    )


def _labels(train_labels, test_labels):
    train_labels = np.asarray(train_labels, np.int32)
    test_labels = np.asarray(test_labels, np.int32)
    if not train_labels.size or not test_labels.size:
        raise ValueError(
            "Expected labels to train and to test on. Received: "
            f"{train_labels.size} train_labels, {test_labels.size} "
            "test_labels."
        )
    return train_labels, test_labels
