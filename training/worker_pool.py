"""Processes that make batches: a source's methods, called elsewhere.

Results come back in the order of the calls, whatever the number of workers.
A worker is a new Python that imports neither the caller's script nor
TensorFlow or keras (unless the source does), and ends when its parent does.
Not here: which calls to make (`pipeline`), what a worker runs (`_worker`).
"""

import collections
import contextlib
import json
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import weakref

import numpy as np

from pixmodels.training import _worker

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pixmodels.training import _worker; "
    "_worker.main(int(sys.argv[2]), int(sys.argv[3]))"
)
# Workers share the cores: each computes on one.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PATIENCE = 5.0  # Seconds until a dead worker's status is known.


class WorkerPool:
    """Worker processes that hold a copy of an object and call its methods.

    Call k goes to worker k modulo their number, and arrays come back through
    shared memory without a name, which nothing can leave behind. Use it as a
    context manager or call `close()`; a forgotten pool is closed when it is
    collected or the process ends. Not for use by several threads at once.

    Args:
        target: the object; it is pickled, and its class must be importable
            (not from `__main__`).
        workers: processes, at least 1.

    Raises:
        TypeError: if the target cannot be pickled.
        ValueError: if `workers` is below 1.
    """

    def __init__(self, target, workers):
        if workers < 1:
            raise ValueError(
                f"Expected at least one worker. Received: workers={workers}"
            )
        data = _pickled(target)
        self._processes, self._sockets = [], []
        self._pending = [collections.deque() for _ in range(workers)]
        self._results, self._next = {}, 0
        self._finalizer = weakref.finalize(
            self, _end, self._processes, self._sockets
        )
        with _memory(data) as shared:
            for _ in range(workers):
                self._start(shared)

    def _start(self, shared):
        ours, theirs = socket.socketpair()
        self._sockets.append(ours)
        self._processes.append(
            subprocess.Popen(
                [
                    *[sys.executable, "-c", _BOOT, json.dumps(sys.path)],
                    *[str(theirs.fileno()), str(shared)],
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), shared),
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                # Ctrl-C is for the parent, which then ends its workers.
                start_new_session=True,
            )
        )
        theirs.close()

    def __len__(self):
        return len(self._processes)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    @property
    def pids(self):
        """Process ids of the workers, a list of int."""
        return [process.pid for process in self._processes]

    def submit(self, method, *arguments):
        """Has a worker call `target.method(*arguments)`.

        The method None asks for the names of the modules that it has loaded.

        Returns:
            int, the ticket that `result` takes.
        """
        ticket, self._next = self._next, self._next + 1
        number = ticket % len(self)
        message = pickle.dumps((method, arguments))
        with self._dying(number, f"the call of {method}"):
            _worker.send(self._sockets[number], message)
        self._pending[number].append(ticket)
        return ticket

    def result(self, ticket, what="the batch"):
        """What a call returned; waits for it.

        Args:
            ticket: int, from `submit`; each is taken once.
            what: words for what the worker makes, for errors.

        Raises:
            ChildProcessError: if the worker has ended.
            Exception: what the call raised in the worker, with the worker's
                traceback as a note.
        """
        number = ticket % len(self)
        while ticket not in self._results:
            with self._dying(number, what):
                value = _worker.receive(self._sockets[number])
            self._results[self._pending[number].popleft()] = value
        return _unpacked(*self._results.pop(ticket))

    def kill(self):
        """Ends the processes; a thread that waits for one gets an error."""
        for process in self._processes:
            process.kill()

    def close(self):
        """Ends the processes, also in the middle of a call; waits for them."""
        for _, shared in self._results.values():
            if shared is not None:
                os.close(shared)
        self._results.clear()
        self._finalizer()

    @contextlib.contextmanager
    def _dying(self, number, what):
        if not self._finalizer.alive:
            raise ValueError("Expected an open pool. Received: a closed one")
        try:
            yield
        except (EOFError, ConnectionError) as error:
            process = self._processes[number]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            raise ChildProcessError(
                f"Expected worker process {number} of {len(self)} to make "
                f"{what}. Received: its end, {_status(process.returncode)}"
            ) from error


def _end(processes, sockets):
    for process in processes:
        process.kill()
    for connection in sockets:
        connection.close()
    for process in processes:
        process.wait()


def _status(code):
    if code is None:
        return "though the process runs"
    if code >= 0:
        return f"status {code}; its own message stands above"
    name = signal.Signals(-code).name
    hint = ""
    if -code == signal.SIGKILL:
        hint = "; the system does so when memory runs out: try fewer workers"
    return f"killed by {name}{hint}"


def _pickled(target):
    try:
        return pickle.dumps(target, protocol=5)
    except Exception as error:
        raise TypeError(
            "Expected a source that can be pickled for worker processes; "
            "without workers it need not. Received: "
            f"{target!r} ({type(error).__name__}: {error})"
        ) from error


@contextlib.contextmanager
def _memory(data):
    """A file descriptor of memory that holds `data`."""
    shared = os.memfd_create("pixmodels-source")
    try:
        with open(shared, "wb", closefd=False) as file:
            file.write(data)
        yield shared
    finally:
        os.close(shared)


def _unpacked(message, shared):
    """The value of a message; arrays stand in the shared memory."""
    kind, value, places = pickle.loads(message)
    if kind == "error":
        raise value
    if shared is None:
        return value
    try:
        # Private: a change of an array is the reader's own affair.
        memory = mmap.mmap(
            shared, 0, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE
        )
    finally:
        os.close(shared)
    for name, (dtype, shape, start) in places.items():
        count = int(np.prod(shape))
        array = np.frombuffer(memory, dtype, count, start)
        value[name] = array.reshape(shape)
    return {name: value[name] for name in value}
