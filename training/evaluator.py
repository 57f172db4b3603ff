"""Metrics of a model over a source, on the devices that train it.

Not here: when a run evaluates and where its numbers go (`trainer`).
"""

import contextlib

from pixmodels.training.meters import Meter
from pixmodels.training.pipeline import Pipeline


def evaluate(driver, pipeline, stopped=lambda: False):
    """Averages a model's metrics over a pipeline, each example once.

    Args:
        driver: a driver, which owns the model.
        pipeline: `Pipeline` with the driver's batch size.
        stopped: function that says, before each batch, whether to give up.

    Returns:
        dict from metric to float: sums of numerators over sums of counts;
        None if it was stopped.
    """
    meter = Meter()
    for batch in pipeline.evaluation_batches(driver.team.host):
        if stopped():
            return None
        meter.add(driver.fetch(driver.eval_step(batch)))
    return meter.averages()


class Evaluator:
    """Evaluates as `config` says: averaged weights, batches as in training.

    Args:
        driver: a driver, which owns the model.
        source: the source to evaluate on, or None.
        config: `TrainConfig`.
        buckets, pack: see `Pipeline`.
        scores: function of the model that returns a dict of floats, beside
            the metrics of its steps or in their place; or None. Its attribute
            `names`, the keys, saves a call before the first step.

    Raises:
        ValueError: if `config` asks for the best and there is nothing to
            evaluate on.
    """

    def __init__(
        self, driver, source, config, buckets=(), pack=False, scores=None
    ):
        self._needs_best = bool(
            config.keep_best or config.early_stopping is not None
        )
        if self._needs_best and source is None:
            raise ValueError(
                "Expected an eval_source to know the best checkpoints by. "
                f"Received: train.early_stopping={config.early_stopping}, "
                f"train.keep_best={config.keep_best}, eval_source=None"
            )
        self._driver = driver
        self._source = source
        self._config = config
        self._buckets = buckets
        self._pack = pack
        self._scores = scores or (lambda model: {})

    def due(self, done):
        """Whether to evaluate after `done` updates."""
        if self._source is None:
            return False
        every = self._config.eval_every
        return done == self._config.steps or bool(every and done % every == 0)

    def run(
        self,
        source=None,
        buckets=None,
        stopped=lambda: False,
        scored=False,
    ):
        """Averages the metrics over a source, each example once.

        Args:
            source: a source; the one given to `__init__` by default.
            buckets: lengths in patches; likewise.
            stopped: see `evaluate`.
            scored: whether to add `scores`.

        Returns:
            dict from metric to float, or None if it was stopped.

        Raises:
            ValueError: if there is no source.
        """
        pipeline = self._pipeline(source, buckets)
        with self._weights():
            found = evaluate(self._driver, pipeline, stopped)
            if scored and found is not None:
                found |= self._scores(self._driver.model)
            return found

    def check_best_metric(self):
        """Evaluates one batch rather than fail after hours of steps.

        Raises:
            ValueError: if `config.best_metric` is needed and not there.
        """
        if not self._needs_best:
            return
        host = self._driver.team.host
        batch = next(self._pipeline().evaluation_batches(host))
        names = list(self._driver.fetch(self._driver.eval_step(batch)))
        if self._config.best_metric not in names:
            scores = getattr(self._scores, "names", None)
            if scores is None:
                scores = self._scores(self._driver.model)
            names += [name for name in scores if name not in names]
        if self._config.best_metric not in names:
            raise ValueError(
                "Expected train.best_metric to be a metric of the "
                f"evaluation: {', '.join(names)}. "
                f"Received: train.best_metric={self._config.best_metric!r}"
            )

    def _pipeline(self, source=None, buckets=None):
        source = self._source if source is None else source
        if source is None:
            raise ValueError(
                "Expected a source to evaluate on. Received: source=None and "
                "a Trainer without eval_source"
            )
        return Pipeline(
            source,
            self._config.batch_size,
            self._config.seed,
            self._buckets if buckets is None else buckets,
            pack=self._pack,
        )

    def _weights(self):
        if self._config.eval_ema:
            return self._driver.averaged_weights()
        return contextlib.nullcontext()
