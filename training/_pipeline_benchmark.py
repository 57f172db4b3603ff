"""Does drawing keep ahead of the model? Batches alone, steps alone, together.

Here: interleaved rounds, their table and a verdict. Not here: other
benchmarks (`benchmarks`), what makes the batches (`pipeline`).
"""

import dataclasses
import statistics
import time

import numpy as np

from pixmodels.training import benchmarks

_SECONDS = 2.0  # Of each candidate in a round, at least one batch.
_SETTLE = 2  # Steps before the watch runs: the store of batches fills again.
_READY = 4  # Batches that the steps alone take in turn.


@dataclasses.dataclass(frozen=True)
class Rate:
    """One candidate.

    Attributes:
        name: what was measured.
        milliseconds: of a batch or step, median over rounds.
        examples, patches: a second, at the median; texts or images, and
            patches that are not padding.
        waited: milliseconds of a step that waited for its batch, median; None
            for batches alone.
        ratios: one a round: its time over that of the steps alone.
    """

    name: str
    milliseconds: float
    examples: float
    patches: float
    waited: float | None
    ratios: tuple

    @property
    def ratio(self):
        """Median of `ratios`."""
        return statistics.median(self.ratios)


def run(config, *, workers=(0, 1, 2), rounds=7, seconds=None):
    """Prints how fast batches are made, beside the training step they feed.

    Every round measures the training step on batches that are ready, then,
    for each number of workers, batches alone and training fed by them.

    Args:
        config: `ExperimentConfig`; one device is used.
        workers: numbers of processes; 0: the thread of the trainer.
        rounds: int.
        seconds: of each candidate in a round; 2 by default.

    Returns:
        list of `Rate`, the training step on ready batches first.
    """
    from pixmodels.training import experiment
    from pixmodels.training.pipeline import Pipeline
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    config = experiment.resolve(config)
    source = experiment.build_sources(config, ("train",))["train"]
    train = dataclasses.replace(config.train, strategy="one_device")

    def pipeline(count):
        return Pipeline(
            source,
            train.batch_size,
            train.seed,
            config.data.buckets,
            pack=config.data.pack,
            workers=count,
        )

    first = pipeline(0)
    ready = [first.batch(step) for step in range(_READY)]
    driver = TensorFlowDriver(
        lambda: experiment.build_model(config), train, ready[0]
    )
    for batch in _of_each_shape(first):
        driver.fetch(driver.train_step(batch, 0))  # Compiles.
    feed = _Feed(driver, _SECONDS if seconds is None else seconds)
    candidates = {"step, batches ready": lambda: feed.ready(ready)}
    for count in workers:
        made = pipeline(count)
        name = f"{count} worker" + ("" if count == 1 else "s")
        name = "in the thread" if count == 0 else name
        candidates[f"batches, {name}"] = lambda p=made: feed.alone(p)
        candidates[f"step, {name}"] = lambda p=made: feed.fed(p)
    shape = "x".join(map(str, ready[0]["pixels"].shape))
    fill = "" if first.fill is None else f", {1 - first.fill:.1%} padding"
    benchmarks.head(
        f"input pipeline of {config.name}, data {config.data.name}, pixels "
        f"{shape}{fill}, {rounds} interleaved rounds"
    )
    rates = _rates(candidates, rounds)
    _show(rates)
    return rates


def _of_each_shape(pipeline):
    """A batch of each length of a plan."""
    plan = pipeline.plan(0)
    for length in pipeline.bucket_lengths:
        yield pipeline.batch(plan.lengths.index(length))


class _Feed:
    """Runs candidates; each returns (batches, seconds, counts, waited)."""

    def __init__(self, driver, seconds):
        self._driver = driver
        self._seconds = seconds
        self._step = 0

    def ready(self, batches):
        """Steps on batches that are there."""
        return self._timed(iter(lambda: batches[self._step % _READY], None))

    def alone(self, pipeline):
        """Batches without steps."""
        with self._begun(pipeline) as ahead:
            counts, begin = [], time.perf_counter()
            for _, batch in ahead:
                counts.append(_counted(batch))
                taken = time.perf_counter() - begin
                if taken > self._seconds:
                    break
        return len(counts), taken, np.sum(counts, axis=0), None

    def fed(self, pipeline):
        """Steps on batches that are made while they run."""
        with self._begun(pipeline) as ahead:
            batches = self._waiting(ahead)
            for _ in range(_SETTLE):
                batch = next(batches)
                self._driver.fetch(self._driver.train_step(batch, self._step))
                self._step += 1
            return self._timed(batches)

    def _begun(self, pipeline):
        """A prefetcher whose store of ready batches has been used up."""
        stop = self._step + (1 << 30)
        ahead = pipeline.prefetch(self._step, stop)
        for _ in range(4 + 3 * pipeline.workers):
            next(ahead)
        return ahead

    def _waiting(self, ahead):
        self._waited = 0.0
        for _, batch in ahead:
            self._waited += ahead.waited
            yield batch

    def _timed(self, batches):
        """Steps as the trainer's loop takes them: results are fetched late."""
        self._waited = 0.0
        counts, handles, begin = [], [], time.perf_counter()
        for batch in batches:
            handles.append(self._driver.train_step(batch, self._step))
            self._step += 1
            counts.append(_counted(batch))
            if len(handles) > 1:
                self._driver.fetch(handles.pop(0))
            if time.perf_counter() - begin > self._seconds:
                break
        for handle in handles:
            self._driver.fetch(handle)
        taken = time.perf_counter() - begin
        return len(counts), taken, np.sum(counts, axis=0), self._waited


def _counted(batch):
    """(texts or images, patches that are not padding) of a batch."""
    real = batch["weight"] > 0
    if "segment_ids" in batch:
        segments = batch["segment_ids"]
        return np.array([segments.max(1).sum(), (segments > 0).sum()])
    if "num_patches" in batch:
        return np.array([real.sum(), (batch["num_patches"] + 1)[real].sum()])
    return np.array([real.sum(), 0])


def _rates(candidates, rounds):
    found = {name: [] for name in candidates}
    for number in range(rounds):
        for name in benchmarks.turns(candidates, number):
            found[name].append(candidates[name]())
    first = [taken / count for count, taken, _, _ in next(iter(found.values()))]
    rates = []
    for name, results in found.items():
        times = [taken / count for count, taken, _, _ in results]
        counts = sum(result[2] for result in results)
        batches = sum(result[0] for result in results)
        median = statistics.median(times)
        examples, patches = counts / batches / median
        waits = [w / n for n, _, _, w in results if w is not None]
        rates.append(
            Rate(
                name,
                1e3 * median,
                float(examples),
                float(patches),
                1e3 * statistics.median(waits) if waits else None,
                tuple(a / b for a, b in zip(times, first)),
            )
        )
    return rates


def _show(rates):
    print(
        f"{'':24}{'ms':>9}{'examples/s':>12}{'patches/s':>12}{'waited':>9}  "
        "time over the step's"
    )
    for rate in rates:
        waited = "" if rate.waited is None else f"{rate.waited:.1f} ms"
        print(
            f"{rate.name:24}{rate.milliseconds:9.1f}{rate.examples:12,.0f}"
            f"{rate.patches:12,.0f}{waited:>9}  x{rate.ratio:.2f} "
            f"[{min(rate.ratios):.2f}..{max(rate.ratios):.2f}]",
            flush=True,
        )
    print("\n".join(verdict(rates)))


def verdict(rates):
    """Lines that say whether batches keep ahead of the model.

    Args:
        rates: list of `Rate`, as `run` returns it.

    Returns:
        list of str, one for each number of workers.
    """
    lines = []
    for alone, fed in zip(rates[1::2], rates[2::2], strict=True):
        name = alone.name.partition(", ")[2]
        if alone.ratio <= 1:
            first = f"keeps ahead: {1 / alone.ratio:.2f} times as many batches"
        else:
            first = f"does not keep ahead: {1 / alone.ratio:.2f} of the batches"
        more = 100 * (fed.ratio - 1)
        lines.append(
            f"{name}: {first} as the step takes; fed by it, a step takes "
            f"{more:+.1f} % of time, {fed.waited:.1f} ms of it waiting"
        )
    return lines
