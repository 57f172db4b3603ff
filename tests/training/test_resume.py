"""Runs that are killed, stopped and moved: they end as if nothing had been."""

import json
import pathlib
import subprocess
import sys

import kills
import numpy as np
import pytest

from pixmodels.training import CheckpointStore
from pixmodels.training.workdir import TIMES

CHILD = pathlib.Path(__file__).parent / "child.py"
# 23 examples in batches of 4: six steps an epoch, the last with a filler.
CONFIG = {
    "steps": 17,
    "batch_size": 4,
    "checkpoint_every": 4,
    "keep_last": 2,
    "eval_every": 5,
    "jit_compile": True,
    "deterministic": True,
}


def command(*jobs):
    return [
        *(sys.executable, "-W", "error::UserWarning", str(CHILD)),
        json.dumps(jobs),
    ]


def run(*jobs):
    done = subprocess.run(command(*jobs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def state(path):
    return CheckpointStore(path).restore_latest().arrays


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def history(path):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    return [{k: v for k, v in x.items() if k not in TIMES} for x in lines]


def check_kills(tmp_path, job, planned):
    """Kills a run as planned and compares it with one that was not killed."""
    other = {**job, "config": job["config"] | {"seed": 7}}
    run(
        {**job, "workdir": str(tmp_path / "whole"), "pause": 0},
        {**other, "workdir": str(tmp_path / "other"), "pause": 0},
    )
    whole = state(tmp_path / "whole")
    # Another seed, other weights: equality below means something.
    assert not equal(whole, state(tmp_path / "other"))
    killed = {**job, "workdir": str(tmp_path / "killed")}

    def start(kill):
        if kill is None or kill.place == "clock":
            return command(killed)
        inside = {"place": kill.place, "at": kill.at, "delay": kill.delay}
        return command({**killed, "kill": inside})

    out = kills.run_killed(start, planned, patience=600)
    (last,) = json.loads(out.splitlines()[-1])
    assert any("resuming" in note for note in last["notes"])
    assert last["step"] == job["config"]["steps"]
    assert equal(whole, state(tmp_path / "killed"))
    assert history(tmp_path / "whole") == history(tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("counter", [pytest.param(False, id="keras"), True])
def test_sigkill_and_restart(tmp_path, counter):
    job = {
        "config": CONFIG,
        "model": {"rate": 0.3, "counter": counter},
        "pause": 0.1,
    }
    # The seventh step is in the second epoch; 26 arrays make a checkpoint.
    planned = [kills.Kill("clock", 6, 0.03), kills.Kill("write", 11, 0)]
    check_kills(tmp_path, job, planned)


@pytest.mark.slow
def test_twenty_sigkills_of_masked_pretraining(tmp_path):
    """Five at the clock, five each in updates, evaluations, checkpoints.

    Without XLA, which would spend a minute of each of 22 starts compiling;
    the toy above has it.
    """
    from tiny_pixel import model
    from tiny_pixel import source

    # Dropout acts: one batch, one set of weights, two seeds, two losses;
    # without it one loss. (The masks are the batch's and do not change.)
    batch = source("train").get_batch(np.arange(7), 11, seed=3, epoch=0)
    for rate, differ in ((0.1, True), (0.0, False)):
        tested = model(rate)
        losses = [
            float(tested.loss_sums(batch, np.array([seed, 0]), True)[0]["loss"])
            for seed in (3, 5)
        ]
        assert (losses[0] != losses[1]) == differ

    config = {
        "steps": 211,
        "batch_size": 8,
        "checkpoint_every": 3,
        "eval_every": 7,
        "keep_best": 1,
        "log_every": 5,
        "jit_compile": False,
        "deterministic": True,
    }
    furthest = {"clock": 6, "update": 6, "write": 500, "evaluate": 5}
    seed = 20260111
    planned = kills.plan(seed, kills.PLACES * 5, furthest)
    print(f"seed of the kills: {seed}")
    job = {"config": config, "pixel": {"rate": 0.1}, "pause": 0.02}
    check_kills(tmp_path, job, planned)


def test_sigterm_in_a_step_and_in_an_evaluation(tmp_path):
    """One run, stopped in a step, then twice in the evaluation of step 10."""
    job = {"config": CONFIG, "model": {"rate": 0.3, "counter": True}}
    stopped = {**job, "workdir": str(tmp_path / "stopped")}
    first, second, third, last, _ = run(
        {**stopped, "term_at": 5},
        {**stopped, "term_in": ("eval_step", 1)},
        {**stopped, "term_in": ("eval_step", 0)},
        stopped,
        {**job, "workdir": str(tmp_path / "whole")},
    )
    assert (first["step"], first["interrupted"]) == (6, True)
    assert any("stopped by SIGTERM" in note for note in first["notes"])
    assert any("step_00000006" in note for note in second["notes"])
    assert (second["step"], second["interrupted"]) == (10, True)
    assert (third["step"], third["interrupted"]) == (10, True)
    assert (last["step"], last["interrupted"]) == (17, False)
    assert equal(state(tmp_path / "stopped"), state(tmp_path / "whole"))
    assert history(tmp_path / "stopped") == history(tmp_path / "whole")


def test_one_replica_then_two_then_one(tmp_path):
    """The batch is 6 of 23 examples; the last is five and a filler.

    The strategies sum the same float32 terms in another order: gradients
    differ by a few units in the last place (6e-8 relative), and Adam moves a
    weight by at most the learning rate times that relative error a step.
    """
    config = CONFIG | {"batch_size": 6}

    def job(name, strategy, **extra):
        return {
            "workdir": str(tmp_path / name),
            "config": config | {"strategy": strategy},
            "model": {"rate": 0.3, "counter": True},
            **extra,
        }

    found = run(
        job("moved", "one_device", term_at=5),
        job("moved", "mirrored:2", term_at=11),
        job("moved", "one_device"),
        job("whole", "one_device"),
    )
    assert [result["step"] for result in found] == [6, 12, 17, 17]
    for result, change in (
        (found[1], "from one_device to mirrored:2"),
        (found[2], "from mirrored:2 to one_device"),
    ):
        assert f"train.strategy changes {change}" in result["notes"]
    moved, whole = (state(tmp_path / name) for name in ("moved", "whole"))
    assert moved.keys() == whole.keys()
    for key in whole:
        np.testing.assert_allclose(moved[key], whole[key], rtol=0, atol=1e-6)
