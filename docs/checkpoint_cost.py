"""How long saving holds the steps up: `python docs/checkpoint_cost.py`.

PIXEL-base with its decoder and AdamW, one CPU process: seconds of the copy
that the step loop waits for, and of the writing behind its back. Beside it,
the plain way: `numpy.savez` and a hash of the file, while the loop waits.
On a busy machine the processor's seconds say more than the clock's.
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

ROUNDS = 3


def main():
    """Prints medians of a few rounds, whose parts take turns."""
    driver = make_driver()
    sizes = [array.nbytes for array in driver.state().values()]
    print(f"{len(sizes)} arrays, {sum(sizes) / 1e9:.2f} GB")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        rounds = [
            [*behind(driver, folder), plain(driver, folder)]
            for _ in range(ROUNDS)
        ]
    names = ("copy, the loop waits", "write, it does not", "savez and hash")
    print(f"{'seconds':22}{'clock':>7}{'processor':>11}")
    for name, times in zip(names, zip(*rounds)):
        clock, processor = map(statistics.median, zip(*times))
        print(f"{name:22}{clock:7.2f}{processor:11.2f}")


def now():
    """(seconds by the clock, seconds of the processor), of this process."""
    return np.array([time.perf_counter(), time.process_time()])


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
    """Times of `Saver.save`, and from then until all is on disk."""
    saver = Saver(CheckpointStore(folder, keep_last=1), every=1)
    begin = now()
    saver.save(1, driver.state, {})
    copied = now()
    saver.wait()
    return copied - begin, now() - copied


def plain(driver, folder):
    """Times of a save that the loop waits for to the end."""
    path = Path(folder) / "plain.npz"
    begin = now()
    with open(path, "wb") as file:
        np.savez(file, **driver.state())
        file.flush()
        os.fsync(file.fileno())
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256")
    return now() - begin


if __name__ == "__main__":
    main()
