import errno
import math
import resource
import shutil
import subprocess
import sys
import tempfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from pixmodels.training import CheckpointStore
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


FILES = ("arrays.npz", "state.json", "SHA256SUMS")


def test_sha256sum_verifies(tmp_path):
    path = filled(tmp_path).path(7)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "arrays.npz: OK\nstate.json: OK\n"
    with np.load(path / "arrays.npz") as file:  # NumPy's own reader
        np.testing.assert_array_equal(file["count"], 7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("whole")).folder.parent


@hypothesis.settings(max_examples=150)
@hypothesis.given(data=strategies.data())
def test_any_damage_falls_back_with_a_warning(whole, data):
    """Bits flipped, files cut, emptied or gone: never the wrong numbers."""
    draw = data.draw
    name = draw(strategies.sampled_from(FILES))
    kind = draw(strategies.sampled_from(("flip", "cut", "grow", "gone")))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        store = CheckpointStore(folder)
        path = store.path(7) / name
        content = bytearray(path.read_bytes())
        place = draw(strategies.integers(0, len(content) - 1))
        if kind == "flip":
            content[place] ^= 1 << draw(strategies.integers(0, 7))
        elif kind == "cut":
            del content[place:]  # down to nothing
        elif kind == "grow":
            content += bytes(place + 1)
        path.write_bytes(content)
        if kind == "gone":
            path.unlink()
        with pytest.warns(UserWarning, match="step_00000007, which is damaged"):
            assert store.restore_latest().step == 5
        with pytest.raises(ValueError, match="damaged"):
            store.restore(7)
        # The damaged one is replaced when its step is reached again.
        store.save(7, ARRAYS, {})
        assert store.restore_latest().step == 7


def test_folders_that_are_no_checkpoints(tmp_path):
    store = filled(tmp_path)
    (store.folder / "step_00000011").mkdir()
    (store.folder / "step_00000013").write_text("a file")
    (store.folder / "notes").mkdir()
    shutil.copytree(store.path(5), store.path(17))
    with pytest.warns(UserWarning, match="Skipping") as warned:
        assert store.restore_latest().step == 7
    assert ["of step 5" in str(w.message) for w in warned] == [
        True,
        False,
        False,
    ]
    store.save(13, ARRAYS, {})
    assert store.load(13).step == 13


def test_all_damaged(tmp_path):
    store = filled(tmp_path, [3])
    (store.path(3) / "arrays.npz").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="Skipping"),
        pytest.raises(ValueError, match="can be read"),
    ):
        store.restore_latest()


def test_reading_beside_a_run_that_goes_on(tmp_path):
    class Reader(CheckpointStore):
        def load(self, step):
            filled(tmp_path, [step + 2] if step < 7 else [], keep_last=1)
            return super().load(step)

    filled(tmp_path, [3], keep_last=1)
    with pytest.warns(UserWarning, match="No such file"):
        assert Reader(tmp_path).restore_latest().step == 7


def names(store):
    return sorted(path.name for path in store.folder.iterdir())


@pytest.mark.parametrize("limit", [0, 300, 4000])
def test_a_file_too_large_loses_nothing(tmp_path, limit):
    store = filled(tmp_path)
    before = names(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="Expected to write") as caught:
            store.save(11, {"a": np.zeros(1009)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    for words in ("8,072 bytes to", str(store.folder), "unharmed: 3, 5, 7"):
        assert words in str(caught.value)
    assert names(store) == before
    assert store.restore_latest().step == 7


FULL_DISK = """
import sys
import numpy as np
from pixmodels.training import CheckpointStore
store = CheckpointStore(sys.argv[1])
store.save(3, {"a": np.zeros(101)}, {})
try:
    store.save(5, {"a": np.zeros(1_000_003)}, {})
except OSError as error:
    print(error)
print(store.restore_latest().step, [p.name for p in store.folder.iterdir()])
store.save(7, {"a": np.zeros(101)}, {})  # as soon as there is room
print(store.steps())
"""


def test_a_full_disk_loses_nothing(tmp_path):
    """On a real file system of one megabyte, where that may be mounted."""
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        able = subprocess.run([*space, mount], capture_output=True).returncode
    except FileNotFoundError:
        able = 1
    if able != 0:
        pytest.skip("needs user namespaces (unshare), to mount a small disk")
    script = f'{mount}; "$0" -c "$1" {tmp_path}'
    done = subprocess.run(
        [*space, script, sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    message, left, after = done.stdout.splitlines()
    assert message.startswith(
        "[Errno 28] Expected to write a checkpoint of 8,000,024 bytes to "
        f"{tmp_path}/checkpoints, where "
    )
    assert "No space left on device" in message
    assert left == "3 ['step_00000003']"
    assert after == "[3, 7]"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    store = CheckpointStore(tmp_path)
    with pytest.raises(FileExistsError, match="bytes are free"):
        store.save(3, ARRAYS, {})


def test_a_killed_save_is_cleaned_up(tmp_path):
    store = filled(tmp_path)
    (store.folder / ".partial-step_00000011").mkdir()
    store.path(3).rename(store.folder / ".partial-doomed-step_00000003")
    assert store.restore_latest().step == 7
    store.save(11, ARRAYS, {})
    assert names(store) == [f"step_{step:08d}" for step in (5, 7, 11)]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_killed_replacement_brings_back_the_old_one(tmp_path, renamed):
    store = filled(tmp_path, [3])
    # Killed between or after the two renames of a save of step 3.
    old = store.folder / ".partial-replaced-step_00000003"
    store.path(3).rename(old)
    if renamed:
        shutil.copytree(old, store.path(3))
    assert store.restore_latest() is None or renamed
    store.recover()
    assert store.restore_latest().arrays["count"] == 3
    assert names(store) == ["step_00000003"]


def scored(path, scores, **kwargs):
    store = CheckpointStore(path, 2, metric="accuracy", **kwargs)
    for step, score in scores.items():
        store.save(
            step, ARRAYS, {}, {} if score is None else {"accuracy": score}
        )
    return store


SCORES = {3: 0.5, 5: 0.7, 7: None, 11: 0.7, 13: math.nan, 17: 0.2, 19: 0.1}


@pytest.mark.parametrize(
    ("mode", "best", "kept"),
    [("max", 5, [5, 11, 17, 19]), ("min", 19, [17, 19])],
)
def test_the_best_are_kept(tmp_path, mode, best, kept):
    store = scored(tmp_path, SCORES, keep_best=2, mode=mode)
    assert store.steps() == kept
    assert store.restore("best").step == best
    assert store.restore("latest").step == store.restore().step == 19
    assert store.restore("17").step == store.restore(17).step == 17
    assert store.restore("best").scores == {"accuracy": SCORES[best]}


def test_best_falls_back(tmp_path):
    store = scored(tmp_path, SCORES, keep_best=2, mode="max")
    (store.path(5) / "arrays.npz").write_bytes(b"")
    with pytest.warns(UserWarning, match="next to it"):
        assert store.restore("best").step == 11
    (store.path(11) / "state.json").write_bytes(b"")
    (store.path(5) / "state.json").write_bytes(b"")
    assert store.restore("best").step == 17


def test_bad_names_of_checkpoints(tmp_path):
    assert CheckpointStore(tmp_path).restore("best") is None
    store = filled(tmp_path)
    with pytest.raises(ValueError, match=r"3, 5, 7\. .*checkpoint='11'"):
        store.restore(11)
    with pytest.raises(ValueError, match="checkpoint='beast'"):
        store.restore("beast")
    with pytest.raises(ValueError, match=r"evaluation of 'loss'.*keep_best"):
        store.restore("best")


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
    elastic = {"train": {**longer["train"], "strategy": "mirrored"}}
    assert workdir.claim(tmp_path, elastic) == {
        "train.strategy": (None, "mirrored")
    }
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
    for split in ("train", "eval"):
        history.append({"step": 8, "split": split})
    history.cut(8, evaluated=False)
    assert history.read()[2:] == [{"step": 6}, {"step": 8, "split": "train"}]
