"""Runs that end when nothing gets better, and scores beside the sums."""

import pytest
import toys

from pixmodels.training import Trainer
from pixmodels.training.checkpoint import CheckpointStore


class Scores:
    """Gives one value after the other, whatever the model."""

    def __init__(self, values):
        self.values = list(values)

    def __call__(self, model):
        return {"f1": self.values.pop(0), "accuracy": 0.5}


def trainer(workdir, scores, **settings):
    config = toys.config(
        **{
            "steps": 20,
            "eval_every": 2,
            "early_stopping": 2,
            "best_metric": "f1",
            "best_mode": "max",
            "keep_best": 1,
            "keep_last": 1,
            **settings,
        }
    )
    return Trainer(
        toys.ToyModel,
        toys.ToySource(),
        config,
        workdir,
        eval_source=toys.ToySource(7),
        progress=toys.QuietProgress(),
        scores=scores,
    )


def test_a_run_ends_early_and_stays_ended(tmp_path):
    # The first value is that of the look at the metric's name.
    run = trainer(tmp_path, Scores([0, 0.1, 0.4, 0.3, 0.2, 0.9]))
    result = run.train()
    assert result.step == 8
    assert not result.interrupted
    # Scores take the place of sums of the same name.
    assert result.evaluation["accuracy"] == 0.5
    assert result.evaluation["f1"] == 0.2
    assert result.evaluation["loss"] > 0
    (note,) = [n for n in run.progress.notes if "stopped early" in n]
    assert "step 8/20: 2 evaluations without a better f1 (best 0.4)" in note
    store = CheckpointStore(tmp_path, 1, keep_best=1, metric="f1", mode="max")
    assert store.restore("best").step == 4
    assert store.restore("latest").step == 8
    again = trainer(tmp_path, Scores([0, 0.9]))
    assert again.train().step == 8
    assert any("nothing left to do" in n for n in again.progress.notes)
    more = trainer(tmp_path, Scores([0, 0.1]), early_stopping=4, steps=10)
    assert more.train().step == 10


def test_patience_outlives_an_interruption(tmp_path):
    first = trainer(tmp_path, Scores([0, 0.4, 0.3]), steps=4)
    assert first.train().step == 4
    second = trainer(tmp_path, Scores([0, 0.2, 0.9]))
    assert second.train().step == 6


def test_scores_that_name_their_keys_are_not_asked_for_before(tmp_path):
    scores = Scores([0.4, 0.3])
    scores.names = ("f1", "accuracy")
    assert trainer(tmp_path, scores, steps=4).train().step == 4
    assert scores.values == []


def test_a_metric_that_there_is_not(tmp_path):
    run = trainer(tmp_path, Scores([0.1]), best_metric="f2")
    with pytest.raises(ValueError, match=r"accuracy.*f1.*Received: .*'f2'"):
        run.train()
    with pytest.raises(
        ValueError, match=r"early_stopping=2, .*eval_source=None"
    ):
        Trainer(
            toys.ToyModel,
            toys.ToySource(),
            toys.config(early_stopping=2),
            tmp_path / "other",
        )
