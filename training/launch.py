"""`pixmodels launch`: one training in several processes on this machine.

Gives each process its `TF_CONFIG` and its lines a number, passes signals on,
and leaves nobody behind. Not here: what the processes do.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

_COMMANDS = ("pretrain", "finetune")
_STRATEGY = "multi_worker"
# Seconds that the others get after one has failed.
_GRACE = 5.0
_PAUSE = 0.1
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run(arguments, workers=2):
    """Runs `pixmodels ARGUMENTS` in several processes; waits for them.

    Args:
        arguments: list of str, a training command and its flags;
            `--strategy multi_worker` is added. A `--` in front is dropped.
        workers: int, number of processes.

    Returns:
        int, 0 if all succeeded, else the exit status of the first that did
        not (128 + n if signal n ended it); the others are then ended, too.

    Raises:
        ValueError: if the command is not one that trains, it has another
            strategy, or `workers` is not positive.
    """
    arguments = list(arguments)
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if workers < 1:
        raise ValueError(
            f"Expected at least one worker. Received: --workers {workers}"
        )
    if not arguments or arguments[0] not in _COMMANDS:
        raise ValueError(
            f"Expected a command to launch: {' or '.join(_COMMANDS)}. "
            f"Received: {' '.join(arguments) or 'none'}"
        )
    arguments += _strategy_of(arguments)
    module = [sys.executable, "-m", "pixmodels.training.launch"]
    commands = [module + [str(os.getpid()), *arguments]] * workers
    return Processes(commands, environments(workers)).wait()


def environments(workers):
    """One dict of environment variables per worker, with free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(workers)
        ]
        ports = [s.getsockname()[1] for s in sockets]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    found = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        found.append({**os.environ, "TF_CONFIG": json.dumps(cluster)})
    return found


class Processes:
    """Processes that live and end together.

    Each has a session of its own, with whatever it starts. Their lines go to
    stdout and stderr with `[number] ` in front. SIGTERM and SIGINT are passed
    on; a second SIGINT ends them at once.

    Args:
        commands: list of argument lists.
        environments: list of dicts, one per command.
    """

    def __init__(self, commands, environments):
        self._write = threading.Lock()
        self._started = []
        self._readers = []
        self._signals = []
        for number, command in enumerate(commands):
            process = subprocess.Popen(
                command,
                env=environments[number],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._started.append(process)
            for source, target in (
                (process.stdout, sys.stdout),
                (process.stderr, sys.stderr),
            ):
                reader = threading.Thread(
                    target=self._copy, args=(number, source, target)
                )
                reader.daemon = True
                reader.start()
                self._readers.append(reader)

    def wait(self):
        """Waits for all; returns the exit status, see `run`."""
        try:
            with self._passing_on():
                status = self._first_failure()
        finally:
            self._kill()
        for reader in self._readers:
            reader.join(timeout=_GRACE)
        return status

    def _first_failure(self):
        failed, deadline = None, None
        while True:
            codes = [process.poll() for process in self._started]
            if failed is None:
                bad = [i for i, code in enumerate(codes) if code]
                if bad:
                    failed, deadline = bad[0], time.monotonic() + _GRACE
            running = [i for i, code in enumerate(codes) if code is None]
            if not running:
                break
            if deadline is not None and time.monotonic() > deadline:
                self._say(failed, codes[failed], running)
                break
            if self._signals.count(signal.SIGINT) > 1:
                break
            time.sleep(_PAUSE)
        if failed is None:
            return 130 if running else 0
        code = codes[failed]
        return code if code > 0 else 128 - code

    def _say(self, failed, code, running):
        how = f"with status {code}"
        if code < 0:
            how = f"by signal {signal.Signals(-code).name}"
        others = ", ".join(map(str, running))
        print(
            f"worker {failed} ended {how}: worker {others} is ended, too; the "
            "same command goes on from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )

    def _kill(self):
        for process in self._started:
            # The whole session: what a worker has started goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def _passing_on(self):
        def handle(number, frame):
            self._signals.append(number)
            for process in self._started:
                if process.poll() is None:
                    process.send_signal(number)

        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _copy(self, number, source, target):
        with source:
            for line in source:
                text = line.decode(errors="replace").rstrip()
                # Nobody may be left to read; the worker must not notice.
                with self._write, contextlib.suppress(OSError, ValueError):
                    target.write(f"[{number}] {text}\n")
                    target.flush()


def _strategy_of(arguments):
    """The flags to add, so that the command uses the strategy of several."""
    given = None
    for place, argument in enumerate(arguments):
        if argument == "--strategy":
            given = (arguments[place + 1 : place + 2] or [""])[0]
        elif argument.startswith("--strategy="):
            given = argument.partition("=")[2]
    if given not in (None, _STRATEGY):
        raise ValueError(
            f"Expected --strategy {_STRATEGY}, or none, for `launch`: "
            "processes that do not know of each other would write over each "
            f"other. Received: --strategy {given}"
        )
    return [] if given else ["--strategy", _STRATEGY]


def die_with(parent):
    """Makes the kernel kill this process when its parent ends.

    Args:
        parent: int, the parent's process id; if it has ended already, this
            process ends with status 1.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _serve():
    die_with(int(sys.argv[1]))
    from pixmodels.training.main import main

    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_serve())
