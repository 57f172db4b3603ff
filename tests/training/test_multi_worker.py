"""Two real processes under MultiWorkerMirroredStrategy on this machine."""

import signal

import numpy as np
import pairs
import pytest

from pixmodels.training import CheckpointStore

MODEL = {"rate": 0.3, "counter": True}


def job(path, config=None, **extra):
    return {
        "workdir": str(path),
        "config": pairs.CONFIG | (config or {}),
        "model": MODEL,
        **extra,
    }


def arrays(path):
    return CheckpointStore(path).restore_latest().arrays


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
