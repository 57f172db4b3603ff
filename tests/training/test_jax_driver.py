"""The jax driver: equal on one device and two, equal to TensorFlow's.

Runs with KERAS_BACKEND=jax (`make test-backends`), where both frameworks are.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import toys

from pixmodels.training import CheckpointStore

if keras.backend.backend() != "jax":
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

FOLDER = pathlib.Path(__file__).parent
BATCH = 6  # of 23 examples: the fourth batch of an epoch has a filler


def start(backend, script, jobs):
    return subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", str(FOLDER / script)]
        + [json.dumps(jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )


def finish(process):
    out, err = process.communicate(timeout=1800)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def job(path, name, steps=(0, 8), model="mae", begin=None, **config):
    found = {
        "config": {"batch_size": BATCH, "steps": 20, **config},
        "model": model,
        "steps": steps,
        "to": str(path / f"{name}.npz"),
    }
    return found | ({"from": str(path / f"{begin}.npz")} if begin else {})


def states(path, *names):
    found = []
    for name in names:
        with np.load(path / f"{name}.npz") as file:
            found.append(dict(file))
    return found


def close(a, b, atol):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(
            a[key], b[key], rtol=0, atol=atol, err_msg=key
        )


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


SGD = {"optimizer": "sgd", "momentum": 0.7, "learning_rate": 0.1}


def test_one_device_equals_a_mesh_and_parts_and_remat(tmp_path):
    """The same float32 terms in another order; SGD passes errors on as is."""
    settings = {
        "one": {},
        "mesh": {"strategy": "mesh:2"},
        "parts": {"strategy": "mesh:2", "accumulate_steps": 3},
        "remat": {"remat": True},
        "seed": {"seed": 7},
    }
    jobs = [
        job(tmp_path, name, **SGD, ema=0.7, global_clipnorm=0.2, **changes)
        for name, changes in settings.items()
    ]
    found = finish(start("jax", "runs_of_steps.py", jobs))
    assert not found["tensorflow"]
    one, mesh, parts, remat, seed = states(tmp_path, *settings)
    for other in (mesh, parts, remat):
        close(one, other, atol=1e-6)
    assert any(key.startswith("ema/") for key in one)
    # Masks and dropout depend on the seed: equality above means something.
    key = "model/mask_token"
    assert abs(one[key] - seed[key]).max() > 1e-5
    first, *others = found["found"][:4]
    for other in others:
        for kind in ("sums", "evaluated"):
            for name, (numerator, count) in first[kind].items():
                assert other[kind][name][1] == count
                np.testing.assert_allclose(
                    other[kind][name][0], numerator, rtol=1e-5
                )


def test_equals_tensorflow_and_takes_its_checkpoints(tmp_path):
    """From TensorFlow's state to jax and back, with masks and dropout."""
    settings = {"mae": SGD, "toy": {"weight_decay": 0.1}}
    begun = [
        job(tmp_path, f"{model}-tf-5", (0, 5), model, **config)
        for model, config in settings.items()
    ]
    more = [
        job(tmp_path, f"{m}-tf-9", (5, 9), m, f"{m}-tf-5", **config)
        for m, config in settings.items()
    ]
    finish(start("tensorflow", "runs_of_steps.py", begun + more))
    there = [
        job(tmp_path, f"{m}-jax-9", (5, 9), m, f"{m}-tf-5", **config)
        for m, config in settings.items()
    ]
    on = [
        job(tmp_path, f"{m}-jax-13", (9, 13), m, f"{m}-jax-9", **config)
        for m, config in settings.items()
    ]
    finish(start("jax", "runs_of_steps.py", there + on))
    back = [
        job(tmp_path, f"{m}-back-13", (9, 13), m, f"{m}-jax-9", **config)
        for m, config in settings.items()
    ]
    finish(start("tensorflow", "runs_of_steps.py", back))
    for model in settings:
        five, nine, ours, thirteen, again = states(
            tmp_path,
            *(f"{model}-{name}" for name in ("tf-5", "tf-9", "jax-9")),
            *(f"{model}-{name}" for name in ("jax-13", "back-13")),
        )
        assert not equal(five, nine)
        close(nine, ours, atol=2e-6)
        close(thirteen, again, atol=2e-6)


def test_a_run_goes_on_with_the_other_backend(tmp_path):
    jobs = {
        "workdir": str(tmp_path),
        "config": {"steps": 9, "batch_size": 4, "checkpoint_every": 4},
        "model": {"rate": 0.3, "counter": True},
    }
    finish(start("tensorflow", "child.py", [{**jobs, "term_at": 5}]))
    assert CheckpointStore(tmp_path).steps()[-1] == 6
    (found,) = finish(start("jax", "child.py", [jobs]))
    assert found["step"] == 9
    assert any("step_00000006" in note for note in found["notes"])


def test_bad_strategies():
    from pixmodels.training import drivers
    from pixmodels.training import jax_driver

    with pytest.raises(ValueError, match="jax backend.*Did you mean 'mesh'"):
        drivers.prepare("mash")
    with pytest.raises(ValueError, match="strategy='mirrored'"):
        jax_driver.make_mesh("mirrored")
    with pytest.raises(ValueError, match="strategy='mesh:0'"):
        jax_driver.make_mesh("mesh:0")
    config = toys.config(batch_size=BATCH, accumulate_steps=1)
    config = type(config)(**{**vars(config), "accumulate_steps": 3})
    batch = toys.ToySource().get_batch(np.arange(BATCH), None, 0, 0)
    assert jax_driver.JaxDriver(toys.ToyModel, config, batch).num_replicas == 1
    with pytest.raises(ValueError, match="trainable weights"):
        jax_driver.JaxDriver(Frozen, config, batch)
    with pytest.raises(ValueError, match="method loss_sums"):
        jax_driver.JaxDriver(keras.Sequential, config, batch)


class Frozen(toys.LinearModel):
    def __init__(self):
        super().__init__()
        self.trainable = False


def test_scope_and_model_see_present_weights():
    from pixmodels.training.jax_driver import JaxDriver

    batch = toys.ToySource().get_batch(np.arange(BATCH), None, 0, 0)
    driver = JaxDriver(toys.LinearModel, toys.config(ema=0.5), batch)
    before = np.array(driver.model.dense.kernel)
    for step in range(2):  # the first update makes averages copies
        driver.fetch(driver.train_step(batch, step))
    after = np.array(driver.model.dense.kernel)
    assert not np.array_equal(before, after)
    with driver.averaged_weights():
        inside = driver.fetch(driver.eval_step(batch))
    assert inside != driver.fetch(driver.eval_step(batch))
    np.testing.assert_array_equal(driver.model.dense.kernel, after)
    with driver.scope():
        driver.model.dense.kernel.assign(before)
    driver.train_step(batch, 2)
    moved = np.array(driver.model.dense.kernel)
    assert abs(moved - before).max() < 0.011  # AdamW: by the learning rate
