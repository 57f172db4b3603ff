"""When a run has stopped getting better.

Not here: what is evaluated, and what ends the loop (`trainer`).
"""

import math


class Patience:
    """Counts evaluations since the best one.

    Args:
        metric: name of the metric that counts.
        mode: "min" or "max", which values are the better ones.
        evaluations: how many without a better one are borne, or None for any
            number.
        state: what `state` gave, to go on from there.

    Attributes:
        best: float, the best value so far, or None.
        waited: evaluations since then.
    """

    def __init__(self, metric, mode, evaluations, state=None):
        self.metric = metric
        self.mode = mode
        self.evaluations = evaluations
        self.best, self.waited = state or (None, 0)

    def see(self, metrics):
        """Takes in an evaluation: dict of floats; nan is never better."""
        value = metrics.get(self.metric, math.nan)
        if self._is_better(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    @property
    def exhausted(self):
        """Whether it is time to stop."""
        return self.evaluations is not None and self.waited >= self.evaluations

    def state(self):
        """[best, waited], of JSON values."""
        return [self.best, self.waited]

    def __str__(self):
        best = "none yet" if self.best is None else f"best {self.best:.4g}"
        return (
            f"{self.waited} evaluations without a better {self.metric} ({best})"
        )

    def _is_better(self, value):
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        if self.mode == "min":
            return value < self.best
        return value > self.best
