"""What needs a process of its own: kills, signals, logical devices."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pixmodels.training import CheckpointStore

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
