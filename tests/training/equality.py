"""Runs the TensorFlow driver with several settings: `equality.py OUT JOBS`.

JOBS is JSON: a dict from name to settings of `toys.config`, with `toy` (true:
`toys.ToyModel`, else `tiny_mae`) and `keyed` (false: see `unkeyed`). Writes
OUT/NAME.npz, the state after the last step, and prints the sums of the last
step. Two logical devices are there.
"""

import functools
import json
import pathlib
import sys

import numpy as np
import tiny_mae
import toys
from keras import ops

from pixmodels.training import Pipeline
from pixmodels.training import strategies
from pixmodels.training.tensorflow_driver import TensorFlowDriver

# One of each: TensorFlow's strategies of one process share the numbers of
# their all-reduces, and mix them up where dtypes differ.
strategy_of = functools.cache(strategies.make)


def unkeyed(model):
    """Numbers examples by their place among those of the device.

    That is what the example key is there to prevent.
    """
    loss_sums = model.loss_sums

    def by_place(batch, key, training=True):
        places = ops.arange(ops.shape(batch["weight"])[0], dtype="int32")
        return loss_sums({**batch, "example_id": places}, key, training)

    model.loss_sums = by_place
    return model


def run(settings, toy=False, keyed=True):
    """(state, sums of the last step)."""
    if toy:
        source = toys.ToySource(23)
    else:
        source = tiny_mae.Source(23)

    def make():
        if toy:
            model = toys.ToyModel(rate=0.3, counter=True)
        else:
            model = tiny_mae.make()
        return model if keyed else unkeyed(model)

    config = toys.config(**settings)
    # 23 examples in batches of 6: the last of an epoch has one filler.
    pipeline = Pipeline(source, config.batch_size, config.seed)
    driver = TensorFlowDriver(
        make,
        config,
        pipeline.batch(0),
        strategy_of(config.strategy),
    )
    step, sums = 0, None
    while step < config.steps:
        count = min(config.steps_per_loop, config.steps - step)
        batches = [pipeline.batch(step + i) for i in range(count)]
        if count > 1:
            sums = driver.fetch_all(driver.train_steps(batches, step))[-1]
        else:
            sums = driver.fetch(driver.train_step(batches[0], step))
        step += count
    return driver.state(), sums


if __name__ == "__main__":
    folder, jobs = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
    strategies.prepare("mirrored:2")
    results = {}
    for name, settings in jobs.items():
        options = {
            k: settings.pop(k) for k in ("toy", "keyed") if k in settings
        }
        state, results[name] = run(settings, **options)
        np.savez(folder / f"{name}.npz", **state)
    print(json.dumps(results))
