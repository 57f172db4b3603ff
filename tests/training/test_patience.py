import json
import math

import pytest

from pixmodels.training.patience import Patience


@pytest.mark.parametrize(
    ("mode", "values", "waited", "best"),
    [
        ("max", [0.2, 0.3, 0.3, 0.1], [0, 0, 1, 2], 0.3),
        ("min", [0.2, 0.3, 0.1, 0.1], [0, 1, 0, 1], 0.1),
        ("max", [math.nan, 0.1, math.nan], [1, 0, 1], 0.1),
    ],
)
def test_evaluations_without_a_better_one(mode, values, waited, best):
    patience = Patience("f1", mode, 2)
    for value, expected in zip(values, waited):
        patience.see({"f1": value, "loss": -value})
        assert patience.waited == expected
        assert patience.exhausted == (expected >= 2)
        # What a checkpoint holds goes on where it was.
        state = json.loads(json.dumps(patience.state()))
        patience = Patience("f1", mode, 2, state)
    assert patience.best == best


def test_none_waits_for_ever():
    patience = Patience("loss", "min", None)
    for _ in range(7):
        patience.see({"loss": 1.0})
    assert not patience.exhausted
