"""Small trainings in two real processes: `start`, and the processes.

A job is one of `child`, with, for `mae`, arguments of `tiny_mae.make`, and
for `signals`, a list of `[worker, step, signal]`: what that worker sends
itself in the middle of that step.
`python pairs.py launch JOBS` runs jobs in two processes that end together,
as `pixmodels launch` does.
"""

import json
import os
import subprocess
import sys

import child
import tiny_mae
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


def command(how, jobs):
    """The list of arguments that runs jobs: `launch` or `run`."""
    return [
        *(sys.executable, "-W", "error::UserWarning", __file__),
        *(how, str(os.getpid()), json.dumps(jobs)),
    ]


def start(jobs, workers=2):
    """Starts the processes; one device, in one process, for `workers=None`."""
    environments = [None]
    if workers is not None:
        environments = launch.environments(workers)
    return [
        subprocess.Popen(
            command("run", jobs),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]


def finish(processes, timeout=1800):
    """Waits for all; a list of their results, one per job."""
    results = []
    for process in processes:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        results.append(json.loads(out.splitlines()[-1]))
    return results


def hurt(trainer, signals):
    """Sends this process what a job asks for."""
    step = trainer.driver.train_step

    def train_step(batch, done):
        handle = step(batch, done)
        for worker, at, number in signals:
            if (worker, at) == (trainer.driver.team.index, done):
                os.kill(os.getpid(), number)
        return handle

    trainer.driver.train_step = train_step


def make(job):
    if "mae" not in job:
        return child.make(job)
    return {
        "model": lambda: tiny_mae.make(**job["mae"]),
        "train_source": tiny_mae.Source(),
        "eval_source": tiny_mae.Source(13),
    }


def run(job):
    trainer = Trainer(
        config=toys.config(**job["config"]),
        workdir=job["workdir"],
        progress=toys.QuietProgress(),
        **make(job),
    )
    hurt(trainer, job.get("signals", ()))
    child.report(trainer, job.get("pause", 0))
    result = trainer.train()
    return {
        "step": result.step,
        "evaluation": result.evaluation,
        "interrupted": result.interrupted,
        "notes": trainer.progress.notes,
    }


def main(how, parent, jobs):
    launch.die_with(int(parent))
    if how == "run":
        print(json.dumps([run(job) for job in jobs]))
        return 0
    commands = [command("run", jobs)] * 2
    return launch.Processes(commands, launch.environments(2)).wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3], json.loads(sys.argv[3])))
