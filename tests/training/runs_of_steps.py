"""Runs steps with the driver of KERAS_BACKEND: `runs_of_steps.py JOBS`.

JOBS is JSON: a list of dicts with `config` (of `toys.config`), `model` ("mae",
"toy"), `steps` [first, last), `from` and `to`, files of a driver's state to
begin with and to write; both may be absent. Prints JSON: the sums of each
job's last step, and whether TensorFlow was loaded.
"""

import json
import sys

import numpy as np
import tiny_mae
import toys

from pixmodels.training import Pipeline
from pixmodels.training import drivers

MODELS = {
    "mae": (tiny_mae.make, tiny_mae.Source),
    "toy": (lambda: toys.ToyModel(rate=0.3, counter=True), toys.ToySource),
}


def run(job):
    make, source = MODELS[job["model"]]
    config = toys.config(**job["config"])
    pipeline = Pipeline(source(), config.batch_size, config.seed)
    driver = drivers.make(make, config, pipeline.batch(0))
    if "from" in job:
        with np.load(job["from"]) as file:
            driver.load_state(dict(file))
    first, last = job["steps"]
    for step in range(first, last):
        sums = driver.fetch(driver.train_step(pipeline.batch(step), step))
    evaluated = driver.fetch(driver.eval_step(pipeline.batch(0)))
    np.savez(job["to"], **driver.state())
    return {"sums": sums, "evaluated": evaluated}


def main():
    jobs = json.loads(sys.argv[1])
    for job in jobs:
        # Logical devices must be made before the framework starts.
        drivers.prepare(toys.config(**job["config"]).strategy)
    found = [run(job) for job in jobs]
    print(
        json.dumps({"found": found, "tensorflow": "tensorflow" in sys.modules})
    )


if __name__ == "__main__":
    main()
