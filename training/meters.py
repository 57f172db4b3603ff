"""Sums over a log interval: metrics as sums and counts, and times.

Not here: what is done with them (`trainer`, `progress`).
"""

import math


class Meter:
    """Averages metrics over steps as a sum of numerators over one of counts.

    Its sums go into checkpoints, so that the averages of an interval in which
    a run was interrupted are those of an uninterrupted run.
    """

    def __init__(self, sums=None):
        self._sums = {k: list(v) for k, v in (sums or {}).items()}

    def add(self, sums):
        """Adds a step: dict from metric to `(numerator, count)`."""
        for name, (numerator, count) in sums.items():
            total = self._sums.setdefault(name, [0.0, 0.0])
            total[0] += numerator
            total[1] += count

    def averages(self):
        """dict from metric to float; metrics that counted nothing are nan."""
        return {
            name: numerator / count if count else math.nan
            for name, (numerator, count) in self._sums.items()
        }

    def state(self):
        """dict for `__init__`, of JSON values."""
        return {name: list(pair) for name, pair in self._sums.items()}

    def clear(self):
        """Starts a new interval."""
        self._sums = {}


class Stopwatch:
    """Mean data and step times and rates, without steps that had to compile."""

    def __init__(self):
        self.steps = 0
        self._data = self._step = 0.0
        self._counts = {}
        self._all = [0, 0.0]

    def add(self, data, step, compiled=False, counts=(None,)):
        """Adds one or more steps: seconds waited for data, seconds of steps.

        Args:
            data, step: seconds.
            compiled: True leaves them out.
            counts: list with one dict of what is done for each step, see
                `rates`, or None.
        """
        if compiled:
            return
        self.steps += len(counts)
        self._data += data
        self._step += step
        self._all[0] += len(counts)
        self._all[1] += data + step
        for found in counts:
            for name, count in (found or {}).items():
                self._counts[name] = self._counts.get(name, 0) + count

    def add_wait(self, seconds):
        """Adds seconds spent waiting for steps to end on the device."""
        self._step += seconds
        self._all[1] += seconds

    def milliseconds(self):
        """dict with `data_ms` and `step_ms`; empty if nothing is measured."""
        if not self.steps:
            return {}
        return {
            "data_ms": 1e3 * self._data / self.steps,
            "step_ms": 1e3 * self._step / self.steps,
        }

    def rates(self):
        """Counts per second, of data and step time: dict, name -> float.

        Empty if nothing is measured.
        """
        seconds = self._data + self._step
        if not self.steps or seconds <= 0:
            return {}
        return {name: n / seconds for name, n in self._counts.items()}

    def eta(self, steps_left):
        """Seconds for the steps left, or None if nothing is measured."""
        steps, seconds = self._all
        return steps_left * seconds / steps if steps else None

    def clear(self):
        """Starts a new interval; the mean behind `eta` goes on."""
        self.steps, self._data, self._step = 0, 0.0, 0.0
        self._counts = {}
