"""Processes that draw shards.

Here: starting them, handing out work, collecting what they say. Not here:
the work (_corpus_shard.py). A worker is a new Python that imports neither
the caller's script nor TensorFlow, and ends when its parent does."""

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading

from pixmodels.renderers import _corpus_shard

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pixmodels.renderers import _corpus_workers; _corpus_workers.main()"
)

# A thread may wait for an iterator of the caller's, which nothing can end.
_PATIENCE = 5.0


def run(setup, jobs, workers):
    """Draws shards and yields what happens.

    Args:
        setup: Setup.
        jobs: iterator of Job, or of ("done", entry) for shards that need no
            drawing; asked for the next by one thread at a time.
        workers: int, processes; 0 draws in this one.

    Yields:
        ("drawn", number of texts) and ("done", the shard's entry).

    Raises:
        ValueError, RuntimeError: a text cannot be drawn, a worker died.
    """
    if workers == 0:
        yield from _here(setup, jobs)
        return
    team = _Team(setup, jobs, workers)
    try:
        yield from team.events()
    finally:
        team.stop()


def _here(setup, jobs):
    for job in jobs:
        if not isinstance(job, _corpus_shard.Job):
            yield job
            continue
        drawn = []
        entry = _corpus_shard.draw(setup, job, drawn.append)
        yield "drawn", sum(drawn)
        yield "done", entry


class _Team:
    """Worker processes, each with a thread that feeds it."""

    def __init__(self, setup, jobs, workers):
        self._jobs = iter(jobs)
        self._setup = setup
        self._lock = threading.Lock()
        self._events = queue.Queue()
        self._stopped = False
        self._processes = []
        self._threads = []
        for _ in range(workers):
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C is for the parent, which then ends its workers.
                start_new_session=True,
            )
            self._processes.append(process)
            thread = threading.Thread(
                target=self._feed, args=(process,), daemon=True
            )
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def events(self):
        """Yields events until all threads have ended; raises errors."""
        running = len(self._threads)
        while running:
            kind, value = self._events.get()
            if kind == "end":
                running -= 1
            elif kind == "error":
                raise value
            else:
                yield kind, value

    def stop(self):
        """Ends the processes; what they had not finished is lost."""
        self._stopped = True
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join(_PATIENCE)
        for process in self._processes:
            with contextlib.suppress(OSError):  # Unsent bytes for the dead.
                process.stdin.close()
            process.stdout.close()
            process.wait()

    def _feed(self, process):
        try:
            _send(process.stdin, self._setup)
            while not self._stopped:
                with self._lock:
                    job = next(self._jobs, None)
                if job is None:
                    break
                if isinstance(job, _corpus_shard.Job):
                    self._draw(process, job)
                else:
                    self._events.put(job)
            self._events.put(("end", None))
        except Exception as error:
            self._events.put(("error", error))

    def _draw(self, process, job):
        kind = None
        try:
            _send(process.stdin, job)
            while kind != "done":
                kind, value = pickle.load(process.stdout)
                if kind == "error":
                    raise value
                self._events.put((kind, value))
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            raise RuntimeError(
                f"expected the worker to draw texts {job.first} to "
                f"{job.first + len(job.texts) - 1}, {job.places[0]} and after. "
                f"Received: it ended, status {process.poll()}"
            ) from error


def _send(stream, value):
    pickle.dump(value, stream)
    stream.flush()


def main():
    """What a worker does: jobs from stdin, events to stdout."""
    jobs = sys.stdin.buffer
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What anything prints must not get between the events.
    try:
        setup = pickle.load(jobs)
        while True:
            job = pickle.load(jobs)
            _send(events, _answer(setup, job, events))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # The parent has ended.


def _answer(setup, job, events):
    try:
        entry = _corpus_shard.draw(
            setup, job, lambda count: _send(events, ("drawn", count))
        )
    except BrokenPipeError:
        raise
    except Exception as error:
        kind = ValueError if isinstance(error, ValueError) else RuntimeError
        return "error", kind(str(error))
    return "done", entry
