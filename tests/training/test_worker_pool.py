import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sources import Modules
from sources import Noise

from pixmodels.training import Pipeline
from pixmodels.training.worker_pool import WorkerPool

HERE = pathlib.Path(__file__).parent
HEAVY = {"tensorflow", "keras", "jax", "torch", "tensorflow_datasets"}


def children():
    found = set()
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            continue  # The thread has ended.
    return found


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_results_in_any_order_and_nothing_is_left():
    before, open_files = children(), len(os.listdir("/proc/self/fd"))
    with WorkerPool(Noise(), 2) as pool:
        assert len(pool) == 2
        assert len(children() - before) == 2
        tickets = [
            pool.submit("get_batch", np.array([i, 2 * i]), None, 5, 1)
            for i in range(5)
        ]
        for i in (3, 0, 4, 1):
            found = pool.result(tickets[i])
            wanted = Noise().get_batch(np.array([i, 2 * i]), None, 5, 1)
            np.testing.assert_array_equal(found["bits"], wanted["bits"])
            assert found["pixels"].shape == (2, 4, 8)
            assert found["none"].shape == (2, 0)
            assert (found["name"], found["flag"]) == ("noise", 5)
            assert list(found) == list(wanted)
        assert pool.result(pool.submit("__len__")) == 41
    del found  # Arrays hold their memory.
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == open_files
    with pytest.raises(ValueError, match="a closed one"):
        pool.submit("__len__")


def test_workers_load_no_framework():
    with Pipeline(Modules(), 6, workers=1).prefetch(0, 1) as batches:
        [(_, batch)] = batches
    assert batch["pid"] != os.getpid()
    assert not HEAVY & set(batch["modules"])


def test_an_error_in_a_worker_is_raised_at_its_step():
    before = children()
    pipeline = Pipeline(Noise(fails_at=7), 6, 1, workers=2)
    at = next(i for i in range(7) if 7 in pipeline.plan(0).indices[i])
    with pipeline.prefetch(0, 7) as batches:
        for _ in range(at):
            next(batches)
        with pytest.raises(ValueError, match="a good example") as caught:
            next(batches)
    assert "in get_batch" in "".join(caught.value.__notes__)
    assert children() == before


def test_a_killed_worker_is_named():
    before = children()
    pipeline = Pipeline(Noise(dies_at=7), 6, 1, workers=2)
    at = next(i for i in range(7) if 7 in pipeline.plan(0).indices[i])
    with (
        pipeline.prefetch(0, 7) as batches,
        pytest.raises(
            ChildProcessError, match=f"the batch of step {at}.*SIGKILL.*fewer"
        ),
    ):
        list(batches)
    assert children() == before


def test_closing_does_not_wait_for_slow_workers():
    before = children()
    begin = time.perf_counter()
    with Pipeline(Noise(sleeps=60), 6, workers=1).prefetch(0, 7):
        while children() == before:
            time.sleep(0.01)
    assert time.perf_counter() - begin < 20
    assert children() == before


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(TypeError, match="can be pickled.*without workers"):
        WorkerPool(lambda: None, 1)
    with pytest.raises(ValueError, match="workers=0"):
        WorkerPool(Noise(), 0)
    script = """
import pixmodels.training as t
class Mine:
    lengths = None
    def __len__(self):
        return 3
try:
    with t.Pipeline(Mine(), 3, workers=1).prefetch(0, 1) as batches:
        next(batches)
except TypeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert "not in a script or a notebook" in done.stdout, done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(how, tmp_path):
    # A shell's job in the background hands on that SIGINT is ignored.
    script = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
import sources
import pixmodels.training as t
with t.Pipeline(sources.Noise(), 3, workers=2).prefetch(0, 10**9) as batches:
    print(*batches._fetch._pool.pids, flush=True)
    for _ in batches:
        pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(HERE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert all(map(alive, pids))
    process.send_signal(how)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))
