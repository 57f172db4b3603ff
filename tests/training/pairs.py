"""Toy trainings in two real processes: `start`, and the process itself.

A job is a dict with `workdir`, `config` (of `toys.config`), `model` (of
`toys.ToyModel`), and optionally `pause` (seconds more for each step) and
`signals`: a list of `[worker, step, signal]`, which that worker sends itself
in the middle of that step.
"""

import json
import os
import subprocess
import sys
import time

import toys

from pixmodels.training import Trainer
from pixmodels.training import launch

# 23 examples in batches of 6: the last batch of an epoch has one filler.
CONFIG = {
    "steps": 20,
    "batch_size": 6,
    "checkpoint_every": 7,
    "jit_compile": True,
    "deterministic": True,
    "strategy": "multi_worker",
    "curves": False,
}


def start(jobs, workers=2):
    """Starts the processes; one device, in one process, for `workers=None`."""
    environments = [None]
    if workers is not None:
        environments = launch.environments(workers)
    return [
        subprocess.Popen(
            [sys.executable, "-W", "error::UserWarning", __file__]
            + [json.dumps(jobs)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]


def finish(processes, timeout=240):
    """Waits for all; a list of their results, one per job."""
    results = []
    for process in processes:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        results.append(json.loads(out.splitlines()[-1]))
    return results


def hurt(trainer, job):
    """Adds the pauses and signals of a job."""
    step = trainer.driver.train_step

    def train_step(batch, done):
        time.sleep(job.get("pause", 0.0))
        handle = step(batch, done)
        for worker, at, number in job.get("signals", ()):
            if (worker, at) == (trainer.driver.team.index, done):
                os.kill(os.getpid(), number)
        return handle

    trainer.driver.train_step = train_step


def run(job):
    trainer = Trainer(
        lambda: toys.ToyModel(**job["model"]),
        toys.ToySource(23),
        toys.config(**job["config"]),
        job["workdir"],
        eval_source=toys.ToySource(13),
        progress=toys.QuietProgress(),
    )
    hurt(trainer, job)
    result = trainer.train()
    return {
        "step": result.step,
        "evaluation": result.evaluation,
        "interrupted": result.interrupted,
        "notes": trainer.progress.notes,
    }


if __name__ == "__main__":
    print(json.dumps([run(job) for job in json.loads(sys.argv[1])]))
