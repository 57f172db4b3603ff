"""Runs the TensorFlow driver with several settings: `equality.py OUT JOBS`.

JOBS is JSON: a dict from name to settings of `toys.config`, and `keyed` of
`tiny_mae.make`. Writes OUT/NAME.npz, the state after the last step, and
prints the sums of the last step. Two logical devices are there.
"""

import functools
import json
import pathlib
import sys

import numpy as np
import tiny_mae
import toys

from pixmodels.training import Pipeline
from pixmodels.training import strategies
from pixmodels.training.tensorflow_driver import TensorFlowDriver

# One of each: TensorFlow's strategies of one process share the numbers of
# their all-reduces, and mix them up where dtypes differ.
strategy_of = functools.cache(strategies.make)


def run(settings, keyed=True):
    """(state, sums of the last step)."""
    config = toys.config(**settings)
    # 23 examples in batches of 6: the last of an epoch has one filler.
    pipeline = Pipeline(tiny_mae.Source(), config.batch_size, config.seed)
    driver = TensorFlowDriver(
        lambda: tiny_mae.make(keyed=keyed),
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
        keyed = settings.pop("keyed", True)
        state, results[name] = run(settings, keyed)
        np.savez(folder / f"{name}.npz", **state)
    print(json.dumps(results))
