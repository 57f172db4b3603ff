import threading

import numpy as np
import pytest

from pixmodels.training import CheckpointStore
from pixmodels.training import Saver


class SlowStore(CheckpointStore):
    """Writes when it is told to; the thread waits until then."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.go = threading.Event()
        self.begun = threading.Event()

    def save(self, *args):
        self.begun.set()
        assert self.go.wait(30)
        return super().save(*args)


def test_writes_behind_the_loops_back(tmp_path):
    store = SlowStore(tmp_path)
    saver = Saver(store, every=3)
    weights = np.arange(5.0)
    saver.save(3, lambda: {"w": weights[:]}, {"seed": 7})
    assert store.begun.wait(30)
    assert store.steps() == []
    weights += 1  # the next update: the copy is not touched
    saver.check()
    store.go.set()
    saver.wait()
    found = store.load(3)
    np.testing.assert_array_equal(found.arrays["w"], np.arange(5.0))
    assert found.state == {"seed": 7}


def test_arrays_of_their_own_are_not_copied(tmp_path):
    kept = []

    class Store(CheckpointStore):
        def save(self, step, arrays, *args):
            kept.append(arrays["w"])

    weights = np.zeros(5)
    with Saver(Store(tmp_path), every=3) as saver:
        saver.save(3, lambda: {"w": weights}, {})
    assert kept[0] is weights


def test_the_next_save_waits(tmp_path):
    store = SlowStore(tmp_path)
    saver = Saver(store, every=1)
    saver.save(1, dict, {})
    order = []

    def snapshot():
        order.append(store.steps())
        return {}

    timer = threading.Timer(0.1, store.go.set)
    timer.start()
    saver.save(2, snapshot, {})
    assert saver.blocked > 0.05
    saver.wait()
    # No second copy of the state before the first is on disk.
    assert order == [[1]]
    assert store.steps() == [1, 2]


def save_and_raise(saver, step, error):
    with saver:
        saver.save(step, lambda: {"w": np.zeros(10**6)}, {})
        raise error


def test_leaving_waits(tmp_path):
    store = CheckpointStore(tmp_path)
    with Saver(store, every=1) as saver:
        saver.save(1, lambda: {"w": np.zeros(10**6)}, {})
    assert store.steps() == [1]
    with pytest.raises(KeyboardInterrupt):
        save_and_raise(saver, 2, KeyboardInterrupt)
    assert store.steps() == [1, 2]


def test_a_failed_write_is_raised_once(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    saver = Saver(CheckpointStore(tmp_path), every=1)
    for notice in (saver.wait, lambda: saver.save(3, dict, {})):
        saver.save(2, dict, {})
        saver._thread.join()
        with pytest.raises(OSError, match="Expected to write"):
            notice()
        saver.check()
    with pytest.raises(OSError, match="Expected to write"), saver:
        saver.save(2, dict, {})
    with pytest.raises(RuntimeError) as caught:
        save_and_raise(saver, 2, RuntimeError)
    (note,) = caught.value.__notes__
    assert "not saved" in note
    (tmp_path / "checkpoints").unlink()
    with saver:
        saver.save(5, dict, {})
    assert CheckpointStore(tmp_path).steps() == [5]


def test_due_by_steps(tmp_path):
    saver = Saver(CheckpointStore(tmp_path), every=5, step=7)
    assert [step for step in range(8, 21) if saver.due(step)] == [
        *range(10, 21)
    ]
    saver.save(11, dict, {})  # a loop of several steps went past the 10
    assert not saver.due(14)
    assert saver.due(15)
    saver.wait()


def test_due_by_minutes(tmp_path):
    now = [0.0]
    saver = Saver(
        CheckpointStore(tmp_path), 100, minutes=2, clock=lambda: now[0]
    )
    now[0] = 119.0
    assert not saver.due(3)
    now[0] = 120.0
    assert saver.due(3)
    saver.save(3, dict, {})
    assert not saver.due(4)
    assert saver.unsaved() == 0
    assert not saver.due_before_compiling(4)
    now[0] = 180.0
    assert saver.due_before_compiling(4)
    assert not saver.due_before_compiling(3)
    saver.wait()


def test_due_after_a_good_evaluation(tmp_path):
    def saver(keep_best):
        return Saver(
            CheckpointStore(tmp_path, 1, keep_best=keep_best), every=100
        )

    assert not saver(0).due(1, {"loss": 0.5})
    first = saver(2)
    dues = []
    for step, loss in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.6), (5, np.nan)):
        dues.append(first.due(step, {"loss": loss}))
        if dues[-1]:
            first.save(step, dict, {}, {"loss": loss})
    assert dues == [True, True, True, False, False]
    assert not first.due(6)
    first.wait()
    assert CheckpointStore(tmp_path).steps() == [1, 3]
    again = saver(2)  # a resumed run knows them
    assert not again.due(6, {"loss": 0.6})
    assert again.due(6, {"loss": 0.55})
