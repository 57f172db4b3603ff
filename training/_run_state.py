"""`run.json`: what is trained, on which devices, and how it stands.

Not here: the settings (`config.json`), the numbers (`workdir.History`).
"""

import math
import os
import platform
import socket
import sys
import time
from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training import peaks
from pixmodels.training.observers import Observer

FILE = "run.json"
# A run that another machine claims to be busy with is believed as long as it
# has written something in so many seconds.
_PATIENCE = 900


class RunState(Observer):
    """Writes `run.json` when training begins and ends."""

    def on_start(self, trainer):
        model, driver = trainer.model, trainer.driver
        self._path = Path(trainer.workdir) / FILE
        self._facts = {
            "parameters": model.count_params(),
            "trained_parameters": sum(
                math.prod(v.shape) for v in model.trainable_weights
            ),
            "device": peaks.device_kind() or platform.machine(),
            "devices": driver.num_replicas,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": round(time.time(), 3),
        }
        self._write("running")

    def on_end(self, result):
        if result is None:
            stopped = isinstance(sys.exception(), KeyboardInterrupt)
            self._write("interrupted" if stopped else "failed")
        else:
            self._write("interrupted" if result.interrupted else "finished")

    def _write(self, state):
        _settings.save_json({"state": state, **self._facts}, self._path)


def state_of(workdir, step, steps):
    """How a run stands, as far as its folder tells.

    Args:
        workdir: folder of the run.
        step: updates that its history knows of, or None.
        steps: updates that its config asks for, or None.

    Returns:
        (state, facts): state is "finished", "running", "interrupted",
        "failed" or "new"; facts is the dict of `run.json`, empty without it.
    """
    workdir = Path(workdir)
    try:
        facts = _settings.load_json(workdir / FILE)
    except (OSError, ValueError):
        facts = {}
    state = facts.get("state")
    if state == "running" and not _is_alive(workdir, facts):
        state = "interrupted"
    if state in ("running", "finished"):  # the latter perhaps early
        return state, facts
    if step is not None and steps is not None and step >= steps:
        return "finished", facts
    if state == "failed":
        return state, facts
    return ("interrupted" if step else "new"), facts


def _is_alive(workdir, facts):
    """Whether the process that claims a run is there."""
    if facts.get("host") == socket.gethostname():
        try:
            os.kill(int(facts["pid"]), 0)
        except PermissionError:
            return True
        except (OSError, KeyError, ValueError, TypeError):
            return False
        return True
    written = [
        path.stat().st_mtime
        for path in (workdir / FILE, workdir / "metrics.jsonl")
        if path.exists()
    ]
    return time.time() - max(written, default=0) < _PATIENCE
