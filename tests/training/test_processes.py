"""What needs a process of its own: kills, signals, logical devices."""

import json
import pathlib
import signal
import subprocess
import sys

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
    "curves": False,
    "picture_every": None,
}


def start(jobs):
    return subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", str(CHILD)]
        + [json.dumps(jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return json.loads(out.splitlines()[-1]) if code == 0 else None


def state(path):
    return CheckpointStore(path).restore_latest().arrays


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def history(path):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    return [{k: v for k, v in x.items() if k not in TIMES} for x in lines]


@pytest.mark.parametrize(
    "counter",
    [pytest.param(False, id="keras", marks=pytest.mark.slow), True],
)
def test_sigkill_in_mid_epoch_and_restart(tmp_path, counter):
    def job(name, **extra):
        return {
            "workdir": str(tmp_path / name),
            "config": CONFIG,
            "model": {"rate": 0.3, "counter": counter},
            **extra,
        }

    other = job("other", config=CONFIG | {"seed": 7})
    straight = start([job("whole"), job("again"), other])
    killed = start([job("killed", kill_at=9)])
    finish(killed, -signal.SIGKILL)
    # Step 9 is the fourth of epoch 1, the last checkpoint that of step 8.
    assert CheckpointStore(tmp_path / "killed").steps() == [4, 8]
    second = start([job("killed", kill_at=14)])
    finish(straight)
    finish(second, -signal.SIGKILL)
    (last,) = finish(start([job("killed")]))
    assert any("resuming" in note for note in last["notes"])
    whole = state(tmp_path / "whole")
    # Dropout and order depend on the seed: equality below means something.
    assert not equal(whole, state(tmp_path / "other"))
    assert equal(whole, state(tmp_path / "again"))
    assert equal(whole, state(tmp_path / "killed"))
    assert history(tmp_path / "whole") == history(tmp_path / "killed")


def test_sigterm_saves_and_stops(tmp_path):
    job = {"workdir": str(tmp_path), "config": CONFIG, "model": {}}
    first, second = finish(start([{**job, "term_at": 5}, job]))
    assert (first["step"], first["interrupted"]) == (6, True)
    assert any("stopped by SIGTERM" in note for note in first["notes"])
    assert any("step_00000006" in note for note in second["notes"])
    assert (second["step"], second["interrupted"]) == (17, False)


def test_one_device_equals_two_replicas(tmp_path):
    """Batch 6 of 23 examples: the last batch is uneven, five and a filler.

    The two sides sum the same float32 terms in another order: gradients
    differ by a few units in the last place (6e-8 relative), and Adam moves a
    weight by at most the learning rate times that relative error a step.
    """
    config = CONFIG | {"batch_size": 6, "steps": 20}
    strategies = ("mirrored:2", "one_device", "mirrored:1")
    jobs = [
        {
            "workdir": str(tmp_path / f"{number}-{clip}"),
            "config": config | {"strategy": name, "global_clipnorm": clip},
            "model": {"rate": 0.3, "counter": True},
        }
        for number, name in enumerate(strategies)
        for clip in (None, 0.5)
    ]
    results = finish(start(jobs))
    states = [state(job["workdir"]) for job in jobs]
    assert not equal(states[0], states[1])  # clipping does something
    for place in range(2, len(jobs)):
        first = place % 2
        for key in states[first]:
            np.testing.assert_allclose(
                states[place][key], states[first][key], rtol=0, atol=1e-6
            )
        for name, value in results[first]["evaluation"].items():
            found = results[place]["evaluation"][name]
            assert found == pytest.approx(value, rel=1e-5)


def test_strategies_are_refused(tmp_path):
    from pixmodels.training import strategies

    with pytest.raises(ValueError, match="Did you mean 'mirrored'"):
        strategies.make("miror")
    with pytest.raises(ValueError, match="strategy='mirrored:0'"):
        strategies.make("mirrored:0")
    job = {
        "workdir": str(tmp_path),
        "config": CONFIG | {"batch_size": 5, "strategy": "mirrored:2"},
        "model": {},
    }
    process = start([job])
    _, err = process.communicate(timeout=240)
    assert "multiple of the number of replicas, 2" in err
    assert "batch_size=5" in err
    assert not (tmp_path / "config.json").exists()
