"""How long saving holds the steps up: `python docs/checkpoint_cost.py`.

PIXEL-base with its decoder and AdamW, one CPU process: seconds of the copy
that the step loop waits for, and of the writing behind its back. Beside it,
the plain way: `numpy.savez` and a hash of the file, while the loop waits.
"""

import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from pixmodels.tasks import RenderedTextSource
from pixmodels.training import CheckpointStore
from pixmodels.training import Saver
from pixmodels.training import TrainConfig
from pixmodels.training import experiment
from pixmodels.training import recipes
from pixmodels.training.tensorflow_driver import TensorFlowDriver

ROUNDS = 5


def main():
    """Prints the medians of some rounds, with the least and the most."""
    driver = make_driver()
    state = driver.state()
    size = sum(array.nbytes for array in state.values())
    print(f"{len(state)} arrays, {size / 1e9:.2f} GB")
    del state
    with tempfile.TemporaryDirectory(dir=".") as folder:
        times = [
            (*behind(driver, folder), plain(driver, folder))
            for _ in range(ROUNDS)
        ]
    names = ("copy, the loop waits", "write, it does not", "savez and hash")
    for name, seconds in zip(names, zip(*times)):
        middle = statistics.median(seconds)
        print(
            f"{name}: {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        )


def make_driver():
    """The model and optimizer of the recipe, built and not trained."""
    config = experiment.resolve(recipes.get("pixel_base_pretrain"))
    renderer = experiment.build_renderer(config)
    source = RenderedTextSource(["a text"], renderer, masking="span")
    batch = source.get_batch(np.arange(1), length=529)
    return TensorFlowDriver(
        lambda: experiment.build_model(config), TrainConfig(batch_size=1), batch
    )


def behind(driver, folder):
    """(seconds that `Saver.save` takes, seconds until all is on disk)."""
    saver = Saver(CheckpointStore(folder, keep_last=1), every=1)
    saver.save(1, driver.state, {})
    begin = time.perf_counter()
    saver.wait()
    return saver.blocked, time.perf_counter() - begin


def plain(driver, folder):
    """Seconds of a save that the loop waits for to the end."""
    path = Path(folder) / "plain.npz"
    begin = time.perf_counter()
    with open(path, "wb") as file:
        np.savez(file, **driver.state())
        file.flush()
        os.fsync(file.fileno())
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
