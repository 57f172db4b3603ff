"""SIGKILL at random moments: a plan of them, and the loop that carries it out.

The loop takes any command that says `step N` on its standard output as it
goes; a process kills itself in the middle of what only it knows (`arm`).
"""

import dataclasses
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time

import numpy as np

# clock: from outside, a while after a step has begun. The others from
# inside: while a step is computed, between or within the files of a
# checkpoint, in an evaluation.
PLACES = ("clock", "update", "write", "evaluate")


@dataclasses.dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Attributes:
        place: one of `PLACES`.
        at: how many times the place is passed before, from the start of the
            process.
        delay: seconds more.
    """

    place: str
    at: int
    delay: float


def plan(seed, places, furthest, longest=0.1):
    """Random kills.

    Args:
        seed: int; the same seed gives the same kills.
        places: list of places, put into a random order.
        furthest: dict from place to the largest `at`.
        longest: the largest delay, seconds.

    Returns:
        List of `Kill`.
    """
    rng = np.random.default_rng(seed)
    return [
        Kill(
            place,
            int(rng.integers(furthest[place] + 1)),
            round(float(rng.uniform(0, longest)), 3),
        )
        for place in rng.permutation(places).tolist()
    ]


def arm(driver, place, at, delay):
    """Makes this process kill itself when it has passed a place `at` times."""
    left = [at]

    def passed():
        left[0] -= 1
        return left[0] == -1

    if place == "update":
        _before(driver, "train_step", lambda: passed() and _soon(delay))
    elif place == "evaluate":
        _before(driver, "eval_step", lambda: passed() and _soon(delay))
    elif place == "write":
        # All that a checkpoint's thread does, one after the other.
        for owner, name in (
            (np.lib.format, "write_array"),
            (os, "fsync"),
            (shutil, "rmtree"),
        ):
            _before(owner, name, lambda: passed() and _kill_self())


def run_killed(command, kills, *, patience, stop=None, say=print):
    """Starts a command again and again, kills it each time, lets it end.

    Args:
        command: function from a `Kill` (None the last time) to the list of
            arguments to start. It arranges for kills from inside itself;
            those of place `clock` come from here.
        kills: list of `Kill`.
        patience: seconds that one start may take.
        stop: function of the process (`subprocess.Popen`, leader of its own
            process group) that kills it or some of it; all by default.
        say: takes lines about what is done.

    Returns:
        The text that the last start, which was not killed, printed.

    Raises:
        AssertionError: if a start ends before its kill, or does not end, or
            the last one fails.
    """
    for number, kill in enumerate(kills):
        process, last = _run(command(kill), kill, patience, stop or kill_all)
        say(f"kill {number}: {kill} reached {last or 'no step'}")
        assert process.returncode != 0, f"{kill} came too late"
        if (stop or kill_all) is kill_all:
            assert process.returncode == -signal.SIGKILL, process.stderr
    process, _ = _run(command(None), None, patience, kill_all)
    assert process.returncode == 0, process.stderr
    return process.stdout


def kill_all(process):
    """SIGKILL to a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)


def _run(arguments, kill, patience, stop):
    """(`CompletedProcess`, the last `step N` it said)."""
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines, errors = queue.Queue(), []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines.put)),
        threading.Thread(target=_read, args=(process.stderr, errors.append)),
    ]
    for reader in readers:
        reader.start()
    text, steps, deadline = [], [], time.monotonic() + patience
    try:
        while any(reader.is_alive() for reader in readers) or lines.qsize():
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                assert time.monotonic() < deadline, (arguments, text, errors)
                continue
            text.append(line)
            if re.search(r"\bstep \d+", line):
                steps.append(line.strip())
                if kill and kill.place == "clock" and len(steps) == kill.at + 1:
                    time.sleep(kill.delay)
                    stop(process)
        process.wait(timeout=patience)
    finally:
        if process.poll() is None:
            kill_all(process)
            process.wait()
    done = subprocess.CompletedProcess(
        arguments, process.returncode, "".join(text), "".join(errors)
    )
    return done, (steps or [None])[-1]


def _read(stream, put):
    with stream:
        for line in stream:
            put(line)


def _before(owner, name, act):
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        act()
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)


def _soon(seconds):
    timer = threading.Timer(seconds, _kill_self)
    timer.daemon = True
    timer.start()


def _kill_self():
    os.kill(os.getpid(), signal.SIGKILL)
