"""What the processes of a run agree on: who writes, when to stop, the step.

Here: one process (`Team`), and several under a strategy of TensorFlow
(`Workers`). Not here: who they are and where (`cluster`), the steps.
"""

import contextlib
import json
import re
import time
import zlib

import numpy as np

# Seconds from one question whether to stop to the next, about.
_ASK = 0.25


class WorkersLost(ConnectionError):
    """Other processes of a run have ended or cannot be reached."""


class Team:
    """One process alone; the base of several.

    Attributes:
        index: int, the place of this process; 0 writes.
        count: int, number of processes.
    """

    index = 0
    count = 1

    @property
    def is_chief(self):
        """Whether this process writes the files of the run."""
        return self.index == 0

    @property
    def host(self):
        """`(index, count)`: which slice of a global batch is made here."""
        return self.index, self.count

    def gather(self, values):
        """Brings the numbers of all processes together.

        All processes must call it at the same place.

        Args:
            values: list of n floats.

        Returns:
            (count, n) float64, a row per process.
        """
        return np.array([values], np.float64)

    def check_same(self, step, config):
        """Checks that all processes begin alike.

        Args:
            step: int, updates done.
            config: dict of settings.

        Raises:
            ValueError: if they do not; each one's step is named.
        """
        text = json.dumps(config, sort_keys=True, default=str)
        rows = self.gather([step, zlib.crc32(text.encode())])
        steps = rows[:, 0].astype(int).tolist()
        if len(set(steps)) > 1:
            found = ", ".join(f"{s} in worker {i}" for i, s in enumerate(steps))
            raise ValueError(
                "Expected all workers to start from the same checkpoint, in "
                f"a workdir that all of them see. Received: step {found}"
            )
        others = np.flatnonzero(rows[:, 1] != rows[0, 1]).tolist()
        if others:
            raise ValueError(
                "Expected the same settings in all workers. Received: others "
                f"in worker {', '.join(map(str, others))} than in worker 0"
            )

    def barrier(self):
        """Waits until all processes are here."""
        self.gather([0.0])

    def stop_flag(self):
        """A new `StopFlag` of these processes."""
        return StopFlag(self)

    @contextlib.contextmanager
    def watch(self):
        """Context in which the loss of a process is a `WorkersLost`."""
        yield


class StopFlag:
    """A flag that each process may raise and all see at the same step.

    Args:
        team: `Team`.
    """

    def __init__(self, team):
        self._team = team
        self._raised = False
        self.clear()

    def set(self):
        """Raises the flag in this process; safe in a signal handler."""
        self._raised = True

    def clear(self):
        """Takes the flag down."""
        self._raised = self._agreed = False
        self._calls, self._wait = 0, 1
        self._last = time.monotonic()

    def is_set(self):
        """Whether to stop: the same answer in all processes.

        All of them must ask equally often. They really ask each other about
        twice a second: how many calls go by in between follows from what
        they told each other last, so it is the same number, too.
        """
        if self._team.count == 1:
            return self._raised
        self._calls += 1
        if self._agreed or self._calls < self._wait:
            return self._agreed
        now = time.monotonic()
        rows = self._team.gather([self._raised, now - self._last])
        seconds = rows[:, 1].max() / self._calls
        self._wait = max(1, int(_ASK / max(seconds, 1e-3)))
        self._calls, self._last = 0, now
        self._agreed = bool(rows[:, 0].any())
        return self._agreed


class Workers(Team):
    """The processes of a `tf.distribute.MultiWorkerMirroredStrategy`.

    Args:
        strategy: the strategy.
    """

    def __init__(self, strategy):
        import tensorflow as tf

        resolver = strategy.cluster_resolver
        self._jobs = resolver.cluster_spec().as_dict()
        names = [
            (job, task)
            for job in ("chief", "worker")
            for task in range(len(self._jobs.get(job, ())))
        ]
        self._own = (resolver.task_type, resolver.task_id)
        self.index = names.index(self._own)
        self.count = len(names)
        self._strategy = strategy

        def replica_gather(values):
            context = tf.distribute.get_replica_context()
            return context.all_gather(values[None], axis=0)

        def gather(values):
            rows = strategy.run(replica_gather, args=(values,))
            return strategy.experimental_local_results(rows)[0]

        self._gather = tf.function(gather, autograph=False)

    def gather(self, values):
        import tensorflow as tf

        strategy = self._strategy
        values = tf.constant(values, tf.float64)
        spread = strategy.experimental_distribute_values_from_function(
            lambda context: values
        )
        rows = self._gather(spread).numpy()
        # Each replica of a process has told the same.
        return rows[:: len(rows) // self.count]

    @contextlib.contextmanager
    def watch(self):
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            if not _is_loss(error):
                raise
            raise WorkersLost(
                f"Expected all {self.count} workers to go on. Received: "
                f"{self._lost(str(error))}. This one, {_name(self._own)}, "
                "stops, too; start all of them again, and the run goes on "
                "from its last checkpoint"
            ) from error

    def _lost(self, message):
        found = {
            (job, int(task))
            for job, task in re.findall(
                r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", message
            )
        } - {self._own}
        if not found:
            return "no answer from one of them"
        names = [
            f"{_name(key)} at {self._jobs[key[0]][key[1]]}"
            for key in sorted(found)
        ]
        return f"no answer from {', '.join(names)}"


def of(strategy):
    """The `Team` of a strategy."""
    import tensorflow as tf

    several = tf.distribute.MultiWorkerMirroredStrategy
    if isinstance(strategy, several) and strategy.cluster_resolver:
        if strategy.cluster_resolver.cluster_spec().as_dict():
            return Workers(strategy)
    return Team()


def _name(key):
    return f"{key[0]} {key[1]}"


def _is_loss(error):
    """Whether an operation failed because a process is gone."""
    import tensorflow as tf

    return isinstance(error, tf.errors.UnavailableError) or (
        "Collective ops is aborted" in str(error)
    )
