"""Groups of steps, parts of steps, averages of weights: the same numbers."""

import numpy as np
import pytest
import toys

from pixmodels.training import Trainer
from pixmodels.training import workdir
from pixmodels.training._driver import check_batch_size
from pixmodels.training.step_groups import step_groups
from pixmodels.training.tensorflow_driver import TensorFlowDriver


class Batches:
    """An iterator of batches of the given lengths, a second waited for each."""

    waited = 1.0

    def __init__(self, lengths, first=0):
        self.lengths, self.first = lengths, first

    def __iter__(self):
        for step, length in enumerate(self.lengths, self.first):
            yield step, {"x": np.full((2, length), step)}


def grouped(lengths, first=0, **settings):
    config = toys.config(**({"log_every": 100, "steps": 97} | settings))
    found = list(step_groups(Batches(lengths, first), config))
    steps = [int(b["x"][0, 0]) for _, group, _ in found for b in group]
    assert steps == list(range(first, first + len(lengths)))
    assert sum(waited for _, _, waited in found) == len(lengths)
    starts = np.cumsum([0, *(len(group) for _, group, _ in found)])[:-1]
    assert [step for step, _, _ in found] == list(starts + first)
    return [len(group) for _, group, _ in found]


def test_groups_end_at_marks_and_have_one_shape():
    marks = {"checkpoint_every": 100, "picture_every": None}
    assert grouped([7] * 11, steps_per_loop=3, **marks) == [3, 3, 3, 1, 1]
    assert grouped([7] * 4, steps_per_loop=1, **marks) == [1] * 4
    # A batch of another length ends what was held: that comes alone.
    lengths = [7, 7, 5, 7, 7, 7, 7]
    assert grouped(lengths, steps_per_loop=3, **marks) == [1, 1, 1, 3, 1]
    for name in ("log_every", "eval_every", "checkpoint_every"):
        settings = {**marks, "steps_per_loop": 3, name: 5}
        assert grouped([7] * 11, **settings) == [3, 1, 1, 3, 1, 1, 1]
        # A run that goes on after step 3 keeps to the same marks.
        assert grouped([7] * 8, first=3, **settings) == [1, 1, 3, 1, 1, 1]


def trainer(path, **settings):
    return Trainer(
        lambda: toys.ToyModel(rate=0.3, counter=True),
        toys.ToySource(23),
        toys.config(**({"curves": False} | settings)),
        path,
        eval_source=toys.ToySource(13),
        progress=toys.QuietProgress(),
    )


def history(path):
    lines = workdir.History(path).read()
    return [
        {k: line[k] for k in line if k not in workdir.TIMES} for line in lines
    ]


def test_several_steps_a_call_change_nothing(tmp_path):
    settings = {"steps": 17, "eval_every": 7, "ema": 0.9}
    one = trainer(tmp_path / "one", **settings)
    one.train()
    calls = []
    many = trainer(tmp_path / "many", steps_per_loop=2, **settings)
    run = many.driver.train_steps
    many.driver.train_steps = lambda group, step: (
        calls.append((step, len(group))) or run(group, step)
    )
    many.train()
    # Logs after 3, 6, 9, ..., evaluations after 7 and 14, saves after 5, ...
    assert calls == [(0, 2), (3, 2), (7, 2), (10, 2), (12, 2), (15, 2)]
    expected, found = one.driver.state(), many.driver.state()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    assert history(tmp_path / "one") == history(tmp_path / "many")


def test_a_loss_that_is_not_finite_inside_a_group(tmp_path):
    run = trainer(tmp_path, steps_per_loop=3, log_every=100)
    batch = run.pipeline.batch

    def poisoned(step):
        made = batch(step)
        if step == 7:
            made["x"][0, 0] = np.nan
        return made

    run.pipeline.batch = poisoned
    with pytest.raises(FloatingPointError, match=r"step 7\b.*step 5"):
        run.train()


def test_evaluation_of_averages(tmp_path):
    run = trainer(tmp_path, ema=0.5, eval_ema=True, steps=5)
    run.train()
    weights = run.driver.state()
    source = toys.ToySource(13)

    def loss():
        error = run.model(source.x).numpy() - source.y
        return (error**2).mean()

    here = loss()
    with run.driver.averaged_weights():
        there = loss()
    assert abs(here - there) > 1e-4
    assert run.evaluate()["loss"] == pytest.approx(there, rel=1e-5)
    for key, value in run.driver.state().items():
        np.testing.assert_array_equal(value, weights[key])


def test_parts_must_fill_the_batch():
    config = toys.config(accumulate_steps=3)
    check_batch_size(config, 2, "replicas")
    with pytest.raises(ValueError, match="4 times accumulate_steps, 3"):
        check_batch_size(config, 4, "replicas")


def test_parts_with_other_metrics():
    class Moody(toys.ToyModel):
        calls = 0

        def loss_sums(self, batch, key, training=True):
            sums, counts = super().loss_sums(batch, key, training)
            self.calls += 1
            name = f"metric_{self.calls}"
            return {**sums, name: sums["loss"]}, {**counts, name: 1.0}

    batch = toys.ToySource().get_batch(np.arange(6), None, 0, 0)
    config = toys.config(accumulate_steps=2)
    driver = TensorFlowDriver(Moody, config, batch)
    with pytest.raises(ValueError, match="of every part"):
        driver.train_step(batch, 0)


def test_loss_scaling_gives_up(tmp_path):
    class Endless(toys.ToyModel):
        """A finite loss; gradients that are not."""

        def loss_sums(self, batch, key, training=True):
            from keras import ops

            sums, counts = super().loss_sums(batch, key, training)
            bad = ops.sqrt(ops.abs(ops.sum(self.out.bias)) * 0.0)
            return {**sums, "loss": sums["loss"] + bad}, counts

    run = Trainer(
        Endless,
        toys.ToySource(23),
        toys.config(
            dtype="mixed_float16", steps=50, log_every=49, curves=False
        ),
        tmp_path,
        progress=toys.QuietProgress(),
    )
    with pytest.raises(FloatingPointError, match="no loss_scale"):
        run.train()
    assert all(np.isfinite(v).all() for v in run.driver.state().values())
