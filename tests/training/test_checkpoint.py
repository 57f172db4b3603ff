import json

import numpy as np
import pytest

from pixmodels.training import CheckpointStore
from pixmodels.training import checkpoint
from pixmodels.training import variables
from pixmodels.training import workdir

ARRAYS = {
    "model/a/kernel": np.arange(15.0).reshape(3, 5),
    "count": np.array(7, np.int64),
}


def filled(path, steps=(3, 5, 7), keep_last=3):
    store = CheckpointStore(path, keep_last)
    for step in steps:
        arrays = {**ARRAYS, "count": np.array(step)}
        store.save(step, arrays, {"seed": 11})
    return store


def test_round_trip(tmp_path):
    store = filled(tmp_path)
    found = store.restore_latest()
    assert found.step == 7
    assert found.state["seed"] == 11
    assert found.arrays["count"] == 7
    np.testing.assert_array_equal(
        found.arrays["model/a/kernel"], ARRAYS["model/a/kernel"]
    )
    assert found.path.name == "step_00000007"
    assert CheckpointStore(tmp_path / "empty").restore_latest() is None


def test_old_ones_are_deleted(tmp_path):
    assert filled(tmp_path, range(1, 8), keep_last=2).steps() == [6, 7]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped bit": lambda path: flip(path / "arrays.npz"),
    "torn arrays": lambda path: (path / "arrays.npz").write_bytes(
        (path / "arrays.npz").read_bytes()[:-20]
    ),
    "no arrays": lambda path: (path / "arrays.npz").unlink(),
    "torn state": lambda path: (path / "state.json").write_text('{"seed'),
    "no state": lambda path: (path / "state.json").unlink(),
    "another step": lambda path: (path / "state.json").write_text(
        json.dumps({"step": 5, "sha256": "0"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_falls_back_with_a_warning(tmp_path, damage):
    store = filled(tmp_path)
    DAMAGE[damage](store.path(7))
    with pytest.warns(UserWarning, match="step_00000007, which is damaged"):
        assert store.restore_latest().step == 5
    # The damaged one is replaced when its step is reached again.
    store.save(7, ARRAYS, {})
    assert store.restore_latest().step == 7


def test_all_damaged(tmp_path):
    store = filled(tmp_path, [3])
    flip(store.path(3) / "arrays.npz")
    with (
        pytest.warns(UserWarning, match="Skipping"),
        pytest.raises(ValueError, match="can be read"),
    ):
        store.restore_latest()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    store = filled(tmp_path)

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_flush", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(11, ARRAYS, {})
    monkeypatch.undo()
    assert store.restore_latest().step == 7
    assert sorted(p.name[:5] for p in store.folder.iterdir()) == ["step_"] * 3


def test_a_killed_save_is_cleaned_up(tmp_path):
    store = filled(tmp_path)
    (store.folder / ".partial-step_00000011").mkdir()
    assert store.restore_latest().step == 7
    store.save(11, ARRAYS, {})
    assert store.steps() == [5, 7, 11]
    assert not list(store.folder.glob(".partial*"))


def test_keys_do_not_depend_on_what_was_built_before():
    import keras

    def build():
        inner = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(5)])
        inner.add(keras.layers.Dense(2, name="block_1"))
        inner.add(keras.layers.Dense(2, name="block_0"))
        inner.build((None, 7))
        return inner

    def keys(model):
        return variables.variable_keys(model.variables, model.name)

    first, second = build(), build()
    assert [v.path for v in first.variables] != [
        v.path for v in second.variables
    ]
    assert keys(first) == keys(second)
    assert keys(first) == [
        f"{layer}/{name}"
        for layer in ("dense", "dense_1", "block_1", "block_0")
        for name in ("kernel", "bias")
    ]


def test_loading_reports_everything_together():
    import keras

    layer = keras.layers.Dense(3, name="one")
    layer.build((None, 5))
    keys = variables.variable_keys(layer.variables)
    before = [v.numpy() for v in layer.variables]
    arrays = {"one/kernel": np.zeros((5, 2)), "two/bias": np.zeros(3)}
    with pytest.raises(ValueError) as caught:
        variables.assign_all(layer.variables, keys, arrays, "file")
    for words in (
        "1 missing: one/bias",
        "1 unexpected: two/bias",
        "one/kernel: expected (5, 3), found (5, 2)",
    ):
        assert words in str(caught.value)
    for value, variable in zip(before, layer.variables):
        np.testing.assert_array_equal(value, variable.numpy())


def test_workdir_of_another_config(tmp_path):
    config = {"train": {"steps": 7, "seed": 3, "log_every": 2}}
    assert workdir.claim(tmp_path, config) == {}
    assert workdir.claim(tmp_path, config) == {}
    longer = {"train": {"steps": 11, "seed": 3, "log_every": 2}}
    assert workdir.claim(tmp_path, longer) == {"train.steps": (7, 11)}
    other = {"train": {"steps": 11, "seed": 5}, "init": "x"}
    with pytest.raises(ValueError) as caught:
        workdir.check(tmp_path, other)
    for words in ("train.seed=5 (there: 3)", "init='x' (there: None)"):
        assert words in str(caught.value)
    assert "train.steps" not in str(caught.value)


def test_history_is_cut(tmp_path):
    history = workdir.History(tmp_path)
    history.cut(3)
    for step in (2, 4, 6):
        history.append({"step": step, "loss": 0.5})
    with open(history.path, "a") as file:
        file.write('{"step": 8, "lo')
    assert [line["step"] for line in history.read()] == [2, 4, 6]
    history.cut(4)
    assert history.path.read_text().count("\n") == 2
    history.append({"step": 6})
    assert [line["step"] for line in history.read()] == [2, 4, 6]
