"""Two real processes under MultiWorkerMirroredStrategy on this machine."""

import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import kills
import numpy as np
import pairs
import pytest

from pixmodels.training import CheckpointStore
from pixmodels.training import launch
from pixmodels.training import strategies

MODEL = {"rate": 0.3, "counter": True}


def job(path, config=None, **extra):
    return {
        "workdir": str(path),
        "config": pairs.CONFIG | (config or {}),
        "model": MODEL,
        **extra,
    }


def arrays(path, which="latest"):
    found = CheckpointStore(path).restore(which).arrays
    # Keras draws dropout from these; the layers here draw it by key.
    return {k: v for k, v in found.items() if "seed_generator" not in k}


def distance(a, b):
    assert a.keys() == b.keys()
    return max(np.abs(a[k] - b[k]).max() for k in a)


def test_two_processes(tmp_path):
    """Same result as one device; stops together; goes on on one device.

    float32 SGD: the two sides sum the same terms in another order, which
    moves a gradient of about 1 by a few 6e-8.
    """
    sgd = {
        "optimizer": "sgd",
        "learning_rate": 0.03,
        "global_clipnorm": 0.5,
        # A setting of the whole process, and this one is of the whole suite.
        "deterministic": False,
        "jit_compile": False,  # seconds of compilation
    }
    long = sgd | {"steps": 43}
    processes = pairs.start(
        [
            job(tmp_path / "two", sgd),
            job(
                tmp_path / "stopped",
                long,
                pause=0.05,
                signals=[[1, 3, signal.SIGTERM]],
            ),
        ]
    )
    alone = {"strategy": "one_device"}
    result = pairs.run(job(tmp_path / "one", sgd | alone))
    pairs.run(job(tmp_path / "whole", long | alone))
    first, second = pairs.finish(processes)
    assert distance(arrays(tmp_path / "two"), arrays(tmp_path / "one")) < 1e-6
    # All workers know the metrics of the whole; the chief alone writes.
    assert first[0]["evaluation"] == second[0]["evaluation"]
    for name, value in result["evaluation"].items():
        assert first[0]["evaluation"][name] == pytest.approx(value, rel=1e-5)
    for name in ("metrics.jsonl", "metrics.csv"):
        lines = (tmp_path / "two" / name).read_text().splitlines()
        assert len(lines) == len(set(lines)) > 5
    # SIGTERM to worker 1 stops both after the same step, saved.
    assert first[1]["interrupted"]
    assert second[1]["interrupted"]
    assert 3 < first[1]["step"] == second[1]["step"] < 43
    assert CheckpointStore(tmp_path / "stopped").steps()[-1] == first[1]["step"]
    last = pairs.run(job(tmp_path / "stopped", long | alone))
    assert any("from multi_worker to one_device" in n for n in last["notes"])
    assert distance(
        arrays(tmp_path / "stopped"), arrays(tmp_path / "whole")
    ) < (1e-6)


def stderr_of(process, timeout=240):
    _, err = process.communicate(timeout=timeout)
    return err


def mae(path, config=None, rate=0.3, **extra):
    settings = {"picture_every": None, "eval_every": 5, "checkpoint_every": 3}
    return {
        "workdir": str(path),
        "config": pairs.CONFIG | settings | (config or {}),
        "mae": {"rate": rate},
        **extra,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "optimizer", "tolerance"),
    [
        ("float64", "adamw", 1e-10),
        ("float32", "sgd", 1e-6),
        # Adam divides by the root of a gradient that may be next to nothing:
        # reported, not bounded, but for gross errors.
        ("float32", "adamw", 1e-2),
    ],
)
def test_equality(tmp_path, dtype, optimizer, tolerance):
    """One device, two replicas, two processes: 20 steps, dropout and masks."""
    names = ("mirrored:2", "one_device", "multi_worker")
    settings = {"steps": 20, "dtype": dtype, "optimizer": optimizer}
    mirrored, one, two = (
        mae(tmp_path / name, settings | {"strategy": name}) for name in names
    )
    looped = mae(tmp_path / "looped", settings | {"steps_per_loop": 2})
    processes = pairs.start([two, looped])
    processes += pairs.start([mirrored, one], workers=None)
    pairs.finish(processes)
    names = (*names, "looped")
    states = {name: arrays(tmp_path / name) for name in names}
    before = arrays(tmp_path / "one_device", 18)
    moved = distance(states["one_device"], before)
    for a, b in itertools.combinations(names, 2):
        off = distance(states[a], states[b])
        print(f"{dtype} {optimizer}: {a} and {b} differ by {off:.2g}")
        assert off < tolerance
    assert moved > 1e-4


def test_one_device_by_name(tmp_path):
    config = {"steps": 3, "deterministic": False, "jit_compile": False}
    for name in ("one_device", "one_device:cpu:0"):
        pairs.run(job(tmp_path / name, config | {"strategy": name}))
    same = [arrays(tmp_path / n) for n in ("one_device", "one_device:cpu:0")]
    assert distance(*same) == 0
    with pytest.raises(ValueError, match=r"this machine: .*cpu:0.*gpu:3'"):
        strategies.make("one_device:gpu:3")


def test_unreachable_tpu():
    with pytest.raises(ValueError, match="no answer: Connection refused"):
        strategies.make("tpu:grpc://127.0.0.1:1")


@pytest.mark.slow
def test_no_tpu():
    program = (
        "from pixmodels.training import strategies; strategies.make('tpu')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=600,
    )
    last = done.stderr.splitlines()[-1]
    assert "ValueError: Expected a TPU at TPUClusterResolver('local')" in last
    assert "pip install 'pixmodels[tpu]'" in last


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_survivors_stop_within_a_minute(tmp_path, victim):
    kill = job(tmp_path, {"steps": 4001}, pause=0.01, signals=[[victim, 30, 9]])
    processes = pairs.start([kill])
    stderr_of(processes[victim])
    assert processes[victim].returncode == -signal.SIGKILL
    begin = time.monotonic()
    err = stderr_of(processes[1 - victim], timeout=60)
    print(f"worker {1 - victim} ended after {time.monotonic() - begin:.1f} s")
    assert processes[1 - victim].returncode == 1
    last = err.strip().splitlines()[-1]
    assert "WorkersLost: Expected all 2 workers to go on" in last
    assert "start all of them again" in last


@pytest.mark.slow
def test_one_becomes_two(tmp_path):
    alone = {"strategy": "one_device"}
    sgd = {"optimizer": "sgd", "learning_rate": 0.03}
    start = job(
        tmp_path / "run",
        sgd | alone,
        pause=0.1,
        signals=[[0, 8, signal.SIGTERM]],
    )
    whole = job(tmp_path / "whole", sgd | alone)
    ((first, _),) = pairs.finish(pairs.start([start, whole], workers=None))
    assert (first["step"], first["interrupted"]) == (9, True)
    results = pairs.finish(pairs.start([job(tmp_path / "run", sgd)]))
    for (result,) in results:
        assert (result["step"], result["interrupted"]) == (20, False)
    assert any(
        "from one_device to multi_worker" in note
        for note in results[0][0]["notes"]
    )
    assert distance(arrays(tmp_path / "run"), arrays(tmp_path / "whole")) < 1e-6


def children_of(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path):
    """Five SIGKILLs, to the launcher and to workers, in masked pre-training.

    The result is bit-identical: a sum over two workers is the same whichever
    comes first.
    """

    plain = {"jit_compile": False}  # seconds of compilation, each time
    straight = pairs.start(
        [
            mae(tmp_path / "whole", plain),
            mae(tmp_path / "again", plain),
            mae(tmp_path / "other", plain | {"seed": 7}),
            mae(tmp_path / "dry", plain, rate=0.0),
        ]
    )
    rng = np.random.default_rng(5)
    victims = ["launcher", 0, 1, 0, 1]
    said = []

    def stop(process):
        victim = victims.pop(0)
        said.append(f"SIGKILL to {victim}")
        if victim == "launcher":
            kills.kill_all(process)
        else:
            os.kill(children_of(process.pid)[victim], signal.SIGKILL)

    # Each worker says each step: 12 lines are about six steps.
    planned = [
        kills.Kill(
            "clock", int(rng.integers(4, 13)), float(rng.uniform(0, 0.1))
        )
        for _ in victims
    ]
    killed = mae(tmp_path / "killed", plain, pause=0.1)
    kills.run_killed(
        lambda kill: pairs.command("launch", [killed]),
        planned,
        patience=600,
        stop=stop,
        say=said.append,
    )
    print("\n".join(said))
    pairs.finish(straight)
    whole = arrays(tmp_path / "whole")
    # Dropout is active, and depends on the seed: equality means something.
    assert distance(whole, arrays(tmp_path / "dry")) > 1e-3
    assert distance(whole, arrays(tmp_path / "other")) > 1e-3
    assert distance(whole, arrays(tmp_path / "again")) == 0
    assert distance(whole, arrays(tmp_path / "killed")) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("{", "error: Expected TF_CONFIG as JSON"),
        (None, "error: Expected the environment variable TF_CONFIG"),
        (
            '{"cluster": {"worker": ["127.0.0.1:%d", "127.0.0.1:%d"]}, '
            '"task": {"type": "worker", "index": 0}}',
            "error: Expected all 2 processes of TF_CONFIG within 3 s "
            "(train.worker_timeout). Received: no answer from worker 1 at "
            "127.0.0.1:%d (Connection refused)",
        ),
    ],
)
def test_command_line_errors(tmp_path, environment, message):
    cluster = json.loads(launch.environments(2)[0]["TF_CONFIG"])["cluster"]
    ports = [int(a.rpartition(":")[2]) for a in cluster["worker"]]
    environ = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    if environment is not None:
        values = ports if "%d" in environment else []
        environ["TF_CONFIG"] = environment % tuple(values)
    if "%d" in message:
        message %= ports[1]
    done = subprocess.run(
        [sys.executable, "-m", "pixmodels.training.main", "pretrain"]
        + ["--config", "pixel_tiny_cldr", "--strategy", "multi_worker"]
        + ["--workdir", str(tmp_path / "run")]
        + ["--set", "train.worker_timeout=3"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
