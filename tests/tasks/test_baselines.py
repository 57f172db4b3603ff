import json

import numpy as np
import pytest

from pixmodels import tasks


def test_majority_class_by_hand():
    result = tasks.majority_class([2, 3, 3, 5, 5], [3, 5, 3, 2])
    assert result.predictions.tolist() == [3] * 4
    assert result.accuracy == 0.5
    assert (result.num_train, result.num_test) == (5, 4)


def test_ngrams_tell_languages_apart():
    names = tasks.CLDRNames(("en", "de", "fi", "ru", "bg"), seed=3)
    data = [
        f(split)
        for split in ("train", "test")
        for f in (names.texts, names.label_ids)
    ]
    result = tasks.ngram_logistic_regression(*data)
    majority = tasks.majority_class(data[1], data[3])
    assert result.accuracy > 0.85 > 0.5 > majority.accuracy
    assert result.accuracy == np.mean(result.predictions == data[3])
    assert 0 < result.fit_seconds < 60
    assert result.versions.keys() >= {"scikit-learn", "numpy"}
    json.dumps([result.summary(), majority.summary()])
    again = tasks.ngram_logistic_regression(*data)
    np.testing.assert_array_equal(again.predictions, result.predictions)
    other = tasks.ngram_logistic_regression(*data, seed=5)
    assert (other.predictions != result.predictions).any()


def test_bad_input():
    with pytest.raises(ValueError, match="0 train_labels"):
        tasks.majority_class([], [1])
    with pytest.raises(ValueError, match="2 texts, 3 labels"):
        tasks.ngram_logistic_regression(["a", "b"], [0, 1, 2], ["c"], [1])
    with pytest.raises(ValueError, match="two classes"):
        tasks.ngram_logistic_regression(["a", "b"], [3, 3], ["c"], [3])
