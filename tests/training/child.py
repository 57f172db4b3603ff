"""Runs small trainings in a process of its own: `python child.py JOBS`.

JOBS is JSON: a list of dicts with `workdir`, `config` (of `toys.config`) and
`model` (arguments of `toys.ToyModel`), or `pixel` (arguments of
`tiny_pixel.model`) in its place. Optional: `pause`, seconds after each step;
`kill_at` and `term_at`, the step at which the process sends itself SIGKILL or
SIGTERM; `kill`, a dict for `kills.arm`; `term_in`, the call (`eval_step` or
`train_step`), counted from 0, in which SIGTERM comes. Says `begin` and
`step N` as it goes.
"""

import json
import os
import signal
import sys
import time

import kills
import toys

from pixmodels.training import Trainer
from pixmodels.training import strategies


def send(trainer, number, at):
    """Sends this process a signal in the middle of step `at`."""
    step = trainer.driver.train_step

    def train_step(batch, done):
        handle = step(batch, done)
        if done == at:
            os.kill(os.getpid(), number)
        return handle

    trainer.driver.train_step = train_step


def terminate_in(driver, name, at):
    """Sends this process SIGTERM in call number `at` of a driver's method."""
    method, calls = getattr(driver, name), []

    def call(*args):
        calls.append(name)
        if len(calls) == at + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return method(*args)

    setattr(driver, name, call)


def report(trainer, pause):
    """Says where the steps are, for those who kill by the clock."""
    step = trainer.driver.train_step

    def train_step(batch, done):
        print(f"step {done}", flush=True)
        handle = step(batch, done)
        time.sleep(pause)
        return handle

    trainer.driver.train_step = train_step


def make(job):
    if "pixel" in job:
        import tiny_pixel

        return {
            "model": lambda: tiny_pixel.model(**job["pixel"]),
            "train_source": tiny_pixel.source("train"),
            "eval_source": tiny_pixel.source("validation"),
            "buckets": tiny_pixel.BUCKETS,
        }
    return {
        "model": lambda: toys.ToyModel(**job["model"]),
        "train_source": toys.ToySource(23),
        "eval_source": toys.ToySource(13),
    }


def run(job):
    trainer = Trainer(
        config=toys.config(**job["config"]),
        workdir=job["workdir"],
        progress=toys.QuietProgress(),
        **make(job),
    )
    if job.get("kill_at") is not None:
        send(trainer, signal.SIGKILL, job["kill_at"])
    if job.get("term_at") is not None:
        send(trainer, signal.SIGTERM, job["term_at"])
    if job.get("term_in") is not None:
        terminate_in(trainer.driver, *job["term_in"])
    if job.get("kill") is not None:
        kills.arm(trainer.driver, **job["kill"])
    report(trainer, job.get("pause", 0))
    print("begin", flush=True)
    result = trainer.train()
    return {
        "workdir": job["workdir"],
        "step": result.step,
        "evaluation": result.evaluation,
        "interrupted": result.interrupted,
        "notes": trainer.progress.notes,
    }


if __name__ == "__main__":
    jobs = json.loads(sys.argv[1])
    for job in jobs:  # logical devices, before TensorFlow starts
        strategies.prepare(job["config"].get("strategy", "one_device"))
    print(json.dumps([run(job) for job in jobs]))
