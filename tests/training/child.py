"""Runs toy trainings in a process of its own: `python child.py JOBS`.

JOBS is JSON: a list of dicts with `workdir`, `config` (of `toys.config`),
`model` (of `toys.ToyModel`), and optionally `kill_at` and `term_at`, the step
at which the process sends itself SIGKILL or SIGTERM.
"""

import json
import os
import signal
import sys

import toys

from pixmodels.training import Trainer


def send(trainer, number, at):
    """Sends this process a signal in the middle of step `at`."""
    step = trainer.driver.train_step

    def train_step(batch, done):
        handle = step(batch, done)
        if done == at:
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
    if job.get("kill_at") is not None:
        send(trainer, signal.SIGKILL, job["kill_at"])
    if job.get("term_at") is not None:
        send(trainer, signal.SIGTERM, job["term_at"])
    result = trainer.train()
    return {
        "workdir": job["workdir"],
        "step": result.step,
        "evaluation": result.evaluation,
        "interrupted": result.interrupted,
        "notes": trainer.progress.notes,
    }


if __name__ == "__main__":
    print(json.dumps([run(job) for job in json.loads(sys.argv[1])]))
