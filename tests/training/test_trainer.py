import json
import logging
import resource
import warnings

import keras
import numpy as np
import pytest
import toys

from pixmodels.training import CheckpointStore
from pixmodels.training import Pipeline
from pixmodels.training import Trainer
from pixmodels.training import workdir
from pixmodels.training.evaluator import evaluate
from pixmodels.training.groups import takes_decay
from pixmodels.training.prefetcher import Placed


def trainer(path, config, model=toys.ToyModel, source=None, **kwargs):
    kwargs.setdefault("progress", toys.QuietProgress())
    return Trainer(model, source or toys.ToySource(), config, path, **kwargs)


def weights(trainer):
    return trainer.driver.state()


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def by_hand(batches, config):
    """AdamW on the linear model, float64; decay spares the bias."""
    state = {
        "w": (np.ones((5, 1)), config.weight_decay),
        "b": (np.ones(1), 0.0),
    }
    moments = {k: [np.zeros(v.shape)] * 2 for k, (v, _) in state.items()}
    norms = []
    for t, batch in enumerate(batches, start=1):
        x, y, weight = (
            batch[k].astype("float64") for k in ("x", "y", "weight")
        )
        (w, _), (b, _) = state["w"], state["b"]
        error = (x @ w)[:, 0] + b - y
        scale = 2 * weight * error / weight.sum()
        gradients = {"w": x.T @ scale[:, None], "b": scale.sum(keepdims=True)}
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        norms.append(norm)
        for k, g in gradients.items():
            if config.global_clipnorm:
                g = g * min(1, config.global_clipnorm / norm)
            value, decay = state[k]
            rate = config.learning_rate
            value = value - rate * decay * value
            m, v = moments[k]
            m = config.beta_1 * m + (1 - config.beta_1) * g
            v = config.beta_2 * v + (1 - config.beta_2) * g**2
            moments[k] = [m, v]
            m_hat = m / (1 - config.beta_1**t)
            v_hat = v / (1 - config.beta_2**t)
            # Keras puts epsilon beside the uncorrected root: 1e-8 is nothing.
            value = value - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
            state[k] = (value, decay)
    return state["w"][0], state["b"][0], norms


@pytest.mark.parametrize("clip", [None, 0.7])
@pytest.mark.parametrize("jit", [False, True])
def test_adamw_by_hand(tmp_path, clip, jit):
    # Seven examples in batches of three: the last batch has two fillers.
    config = toys.config(
        steps=6,
        batch_size=3,
        schedule="constant",
        weight_decay=0.1,
        global_clipnorm=clip,
        jit_compile=jit,
    )
    run = trainer(tmp_path, config, toys.LinearModel, toys.ToySource(7))
    run.train()
    batches = [run.pipeline.batch(step) for step in range(6)]
    w, b, norms = by_hand(batches, config)
    dense = run.model.dense
    np.testing.assert_allclose(dense.kernel.numpy(), w, atol=1e-6)
    np.testing.assert_allclose(dense.bias.numpy(), b, atol=1e-6)
    if clip:
        assert min(norms) > clip  # clipping did something
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        # The mean over the first interval of the loop's logs.
        np.testing.assert_allclose(
            json.loads(lines[0])["gradient_norm"], np.mean(norms[:3]), rtol=1e-5
        )


def test_metrics_are_sums_over_counts(tmp_path):
    source = toys.ToySource(11)
    config = toys.config(batch_size=4)
    run = trainer(tmp_path, config, source=source)
    found = run.evaluate(source)
    error = run.model(source.x).numpy() - source.y
    np.testing.assert_allclose(found["loss"], (error**2).mean(), rtol=1e-5)
    assert found["accuracy"] == pytest.approx((abs(error) < 0.5).mean())


def test_same_seed_same_weights(tmp_path):
    def run(name, seed):
        made = trainer(
            tmp_path / name,
            toys.config(seed=seed, jit_compile=True),
            lambda: toys.ToyModel(rate=0.3),
        )
        made.train()
        return weights(made)

    first = run("a", 5)
    assert equal(first, run("b", 5))
    assert not equal(first, run("c", 6))


def test_dropout_is_active(tmp_path):
    results = []
    for rate in (0.0, 0.3):
        run = trainer(
            tmp_path / str(rate),
            toys.config(steps=2),
            lambda: toys.ToyModel(rate=rate, counter=True),  # noqa: B023
        )
        run.train()
        results.append(run.model.out.kernel.numpy())
    assert not np.array_equal(*results)


def test_resume_is_exact_and_history_has_no_doubles(tmp_path):
    def make(name, **kwargs):
        return trainer(
            tmp_path / name,
            toys.config(**kwargs),
            lambda: toys.ToyModel(rate=0.3),
            eval_source=toys.ToySource(13),
        )

    whole = make("whole", eval_every=4)
    result = whole.train()
    broken = make("broken", eval_every=4)
    step = broken.driver.train_step

    def fail(batch, number):
        if number == 11:  # after a checkpoint at 10, in an interval of 3
            raise KeyboardInterrupt
        return step(batch, number)

    broken.driver.train_step = fail
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    again = make("broken", eval_every=4)
    assert again.step == 10
    again_result = again.train()
    assert equal(weights(whole), weights(again))
    assert result == again_result

    def lines(name):
        text = (tmp_path / name / "metrics.jsonl").read_text()
        found = [json.loads(line) for line in text.splitlines()]
        for line in found:
            for key in workdir.TIMES:
                line.pop(key, None)
        return found

    assert lines("whole") == lines("broken")
    assert [(x["step"], x["split"]) for x in lines("whole")] == [
        (3, "train"),
        (4, "eval"),
        (6, "train"),
        (8, "eval"),
        (9, "train"),
        (12, "train"),
        (12, "eval"),
        (13, "train"),
        (13, "eval"),
    ]


def test_damaged_checkpoint_falls_back(tmp_path):
    run = trainer(tmp_path, toys.config())
    run.train()
    final = weights(run)
    path = tmp_path / "checkpoints" / "step_00000013" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="step_00000013"):
        again = trainer(tmp_path, toys.config())
    assert again.step == 10
    again.train()
    assert equal(final, weights(again))


def test_more_steps_go_on(tmp_path):
    trainer(tmp_path, toys.config(steps=7)).train()
    more = trainer(tmp_path, toys.config(steps=11))
    assert any("from 7 to 11" in note for note in more.progress.notes)
    assert more.train().step == 11
    done = trainer(tmp_path, toys.config(steps=11))
    assert done.train().metrics
    assert any("nothing left" in note for note in done.progress.notes)


def test_other_config_is_refused(tmp_path):
    trainer(tmp_path, toys.config(steps=3)).train()
    with pytest.raises(ValueError, match=r"train\.seed=5 \(there: 42\)"):
        trainer(tmp_path, toys.config(steps=3, seed=5))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json beside"):
        trainer(tmp_path, toys.config(steps=3))


def test_other_model_is_refused(tmp_path):
    trainer(tmp_path, toys.config(steps=3)).train()
    with pytest.raises(ValueError) as caught:
        trainer(tmp_path, toys.config(steps=3), lambda: toys.ToyModel(11))
    assert "model/dense/kernel: expected (5, 11), found (5, 7)" in str(
        caught.value
    )


def test_nan_names_the_step(tmp_path):
    source = toys.ToySource()
    run = trainer(tmp_path, toys.config(), source=source)
    batch = run.pipeline.batch

    def poisoned(step):
        made = batch(step)
        if step == 7:
            made["x"][0, 0] = np.nan
        return made

    run.pipeline.batch = poisoned
    with pytest.raises(FloatingPointError, match=r"step 7\b.*step 5"):
        run.train()


def test_bad_models(tmp_path):
    with pytest.raises(ValueError, match="method loss_sums"):
        trainer(tmp_path, toys.config(), keras.Sequential)

    class NoLoss(toys.LinearModel):
        def loss_sums(self, batch, key, training=True):
            sums, counts = super().loss_sums(batch, key, training)
            return {"error": sums["loss"]}, {"error": counts["loss"]}

    with pytest.raises(ValueError, match="'loss' among them"):
        trainer(tmp_path, toys.config(), NoLoss).train()


def test_unused_weights_are_named(tmp_path):
    class Idle(toys.LinearModel):
        def __init__(self):
            super().__init__()
            self.idle = self.add_weight(shape=(3, 5), name="idle")

    run = trainer(tmp_path, toys.config(steps=2), Idle)
    before = run.model.idle.numpy()
    with pytest.warns(UserWarning, match="idle"):
        run.train()
    np.testing.assert_array_equal(before, run.model.idle.numpy())


def test_buckets_compile_once_each(tmp_path):
    lengths = np.array([2, 3, 5, 7, 11] * 4)
    run = trainer(
        tmp_path,
        toys.config(steps=9, batch_size=3),
        source=toys.ToySource(20, lengths=lengths),
        buckets=(5, 11),
    )
    run.train()
    notes = [note for note in run.progress.notes if "compiling" in note]
    assert sorted(notes) == [
        "compiling the step for batches of 3x11x5",
        "compiling the step for batches of 3x5x5",
    ]


def test_reports(tmp_path):
    run = trainer(tmp_path, toys.config(steps=6))
    run.train()
    (_, first), (_, last) = run.progress.reports
    assert next(iter(first)) == "loss"
    for values in (first, last):
        assert {"learning_rate", "data_ms", "step_ms"} <= set(values)


def test_decay_exclusion():
    from pixmodels import ViTBackbone

    model = ViTBackbone(
        (8, 8, 1), 2, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=11
    )
    decayed = {
        v.path.split("/", 1)[1]
        for v in model.trainable_variables
        if takes_decay(v)
    }
    assert all(path.endswith("kernel") for path in decayed)
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    assert len(decayed) == len(kernels) > 5


def test_a_model_may_be_given(tmp_path):
    model = toys.LinearModel()
    run = trainer(tmp_path, toys.config(steps=2), model)
    run.train()
    assert run.model is model


def test_prepare_runs_on_new_runs_only(tmp_path):
    calls = []
    for _ in range(2):
        trainer(tmp_path, toys.config(steps=2), prepare=calls.append).train()
    assert len(calls) == 1


@pytest.mark.parametrize("loop", [1, 3])
def test_batches_are_on_the_device_ahead(tmp_path, loop):
    run = trainer(tmp_path, toys.config(steps=3, steps_per_loop=loop))
    step, seen = run.driver.train_step, []

    def watched(batch, number):
        seen.append(isinstance(batch, Placed))
        return step(batch, number)

    run.driver.train_step = watched
    run.train()
    assert seen == ([True] * 3 if loop == 1 else [])
    # The copy is what is computed with, and it is the batch.
    batch = run.pipeline.batch(5)
    placed = run.driver.put(batch)
    assert placed == batch
    if loop == 1:
        a, b = (
            run.driver.fetch(run.driver.eval_step(x)) for x in (batch, placed)
        )
        assert a == b
        placed.on_device["y"] += 1.0
        c = run.driver.fetch(run.driver.eval_step(placed))
        assert a["loss"] != c["loss"]


def test_evaluate_needs_a_source(tmp_path):
    with pytest.raises(ValueError, match="source=None"):
        trainer(tmp_path, toys.config()).evaluate()


def test_pipeline_and_driver_make_evaluate(tmp_path):
    run = trainer(tmp_path, toys.config())
    pipeline = Pipeline(toys.ToySource(13), 6, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(run.driver, pipeline)["loss"] > 0


def test_a_disk_that_fills_up_ends_the_run(tmp_path):
    """A real limit of the kernel on the size of files stands in for it."""
    run = trainer(tmp_path, toys.config(log_every=99))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    step, done = run.driver.train_step, []

    def train_step(batch, number):
        done.append(number)
        if number == 7:
            run._saver.wait()  # the checkpoint of step 5 is whole
            # What TensorFlow logs goes into a file of pytest's, too.
            logging.disable(logging.CRITICAL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        if number == 10:  # the write after step 10 has failed by now
            run._saver._thread.join()
        return step(batch, number)

    run.driver.train_step = train_step
    try:
        with pytest.raises(OSError, match="Expected to write.*unharmed: 5"):
            run.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        logging.disable(logging.NOTSET)
    assert done[-1] in (9, 10)
    assert run.train().step == 13  # there is room again
    again = trainer(tmp_path, toys.config(log_every=99))
    assert again.step == 13
    assert equal(weights(run), weights(again))


def test_the_best_are_kept_and_written(tmp_path):
    config = toys.config(
        checkpoint_every=99,
        eval_every=2,
        keep_last=1,
        keep_best=2,
        best_metric="accuracy",
        best_mode="max",
    )
    source = toys.ToySource(13)
    run = trainer(tmp_path, config, eval_source=source)
    run.train()
    lines = run.history.read()
    scores = {
        line["step"]: line["accuracy"]
        for line in lines
        if line["split"] == "eval"
    }
    best = sorted(scores, key=lambda step: (-scores[step], step))[:2]
    store = CheckpointStore(tmp_path, metric="accuracy", mode="max")
    assert store.steps() == sorted({*best, 13})
    found = store.restore("best")
    assert (found.step, found.scores["accuracy"]) == (best[0], scores[best[0]])
    # Its weights are those that were evaluated.
    run.driver.load_state(found.arrays)
    assert run.evaluate()["accuracy"] == scores[best[0]]


def test_bad_settings_of_the_best(tmp_path):
    config = toys.config(keep_best=1, best_metric="acuracy")
    with pytest.raises(ValueError, match=r"keep_best=1, eval_source=None"):
        trainer(tmp_path, config)
    assert not (tmp_path / "config.json").exists()
    run = trainer(tmp_path, config, eval_source=toys.ToySource(13))
    with pytest.raises(ValueError, match="loss, accuracy.*'acuracy'"):
        run.train()
    assert run.step == 0


def test_work_is_saved_before_a_long_compilation(tmp_path):
    lengths = np.array([2, 3, 5, 7, 11] * 4)
    run = trainer(
        tmp_path,
        toys.config(steps=9, batch_size=3, checkpoint_every=99),
        source=toys.ToySource(20, lengths=lengths),
        buckets=(5, 11),
    )
    shapes = [run.pipeline.batch(step)["x"].shape for step in range(9)]
    other = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
    run._saver._clock = lambda: 1e9  # a minute and more has gone by
    run.train()
    assert CheckpointStore(tmp_path).steps() == [other, 9]
