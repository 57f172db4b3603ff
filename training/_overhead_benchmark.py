"""What the trainer's loop costs beside a bare step of the same model.

Here: both loops, interleaved rounds, the interval of the median. Not here:
steps beside torch (_step_benchmark.py), other benchmarks (benchmarks.py)."""

import dataclasses
import math
import tempfile
import time

import numpy as np

from pixmodels.training import benchmarks

_EXAMPLES = 1024  # At most so many examples are drawn, once.
_SECONDS = 1.0  # Of a round, at least.
_DRAWS = 10_000  # Of the bootstrap.


def run(config, *, rounds=20, seconds=_SECONDS):
    """Prints the overhead of the trainer's loop over a bare XLA step.

    Ours is what `Trainer.train` does for each step: batches of a source,
    prefetched by a thread; the driver; metrics fetched and logged at
    `train.log_every`. No evaluation, checkpoint or picture falls into it.
    The bare loop is one `tf.function(jit_compile=True)` with the same model,
    gradients and Keras' AdamW, fed with tensors that lie ready; its loss is
    read at the end of a round. Both read examples that are drawn once, of one
    length, so that drawing takes no part. They take turns, in one process.

    Args:
        config: `ExperimentConfig`; one device is used.
        rounds: int.
        seconds: of a round of each, about.

    Returns:
        dict: `bare_ms` and `ours_ms`, medians; `overhead`, the median over
        rounds of the ratio of times, less one; `low` and `high`, its 95 %
        bootstrap interval; `losses` of both after the first step.

    Raises:
        ValueError: for settings that the bare step does not have.
    """
    from pixmodels.training import experiment

    config = experiment.resolve(config)
    train = settings_of(config.train)
    source = experiment.build_sources(config, ("train",))["train"]
    source = _DrawnOnce(source, config.data.buckets, train.seed)

    def make_model():
        return experiment.build_model(config)

    with tempfile.TemporaryDirectory() as folder:
        ours = _Ours(make_model, source, train, folder)
        bare = _Bare(make_model, source, train)
        losses = ours.first_loss(), bare.first_loss()
        steps = _steps_for(bare, seconds)
        benchmarks.head(
            f"overhead of the loop: {config.name}, batches of "
            f"{train.batch_size} x {source.shape}, {train.dtype}, "
            f"steps_per_loop={train.steps_per_loop}, {rounds} interleaved "
            f"rounds of {steps} steps"
        )
        times = _take_turns({"ours": ours, "bare": bare}, rounds, steps)
        ours.close()
    return _show(times, losses, rounds)


def interval(ratios, draws=_DRAWS, share=0.95):
    """A percentile bootstrap interval of the median (Efron 1979).

    Args:
        ratios: list of float.
        draws: resamplings, from a fixed seed.
        share: of the medians that lie inside.

    Returns:
        (low, high).
    """
    ratios = np.asarray(ratios)
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(ratios), (draws, len(ratios)))
    medians = np.median(ratios[places], axis=1)
    tail = (1 - share) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return float(low), float(high)


class _DrawnOnce:
    """Examples of a source in memory, all of one length."""

    lengths = None

    def __init__(self, source, buckets, seed):
        count = min(len(source), _EXAMPLES)
        length = None
        if source.lengths is not None:
            length = int(max(buckets or source.lengths))
        self._rows = source.get_batch(np.arange(count), length, seed, 0)
        self._count = count
        largest = max(self._rows.values(), key=lambda rows: rows.size)
        self.shape = "x".join(map(str, largest.shape[1:]))

    def __len__(self):
        return self._count

    def get_batch(self, indices, length, seed, epoch):
        batch = {name: rows[indices] for name, rows in self._rows.items()}
        if "weight" in batch:
            batch["weight"] = batch["weight"] * (indices >= 0)
        return batch


class _Ours:
    """The trainer's loop, a number of steps at a time."""

    def __init__(self, make_model, source, train, folder):
        from pixmodels.training import Trainer
        from pixmodels.training.progress import NoProgress
        from pixmodels.training.step_groups import step_groups

        self._trainer = Trainer(
            make_model, source, train, folder, progress=NoProgress()
        )
        self._batches = self._trainer.pipeline.prefetch(
            0,
            train.steps,
            depth=max(2, train.steps_per_loop),
            put=self._trainer.driver.put,
        )
        self._groups = step_groups(self._batches, train)

    def first_loss(self):
        self.run(1)
        # The next ones may be compiled as a loop.
        self.run(self._trainer.config.steps_per_loop + 1)
        return self._first

    def run(self, steps):
        trainer = self._trainer
        end = trainer.step + steps
        while trainer.step < end:
            trainer.do_steps(*next(self._groups))
        trainer.wait()
        if not hasattr(self, "_first"):
            self._first = trainer.averages()["loss"]

    @property
    def done(self):
        return self._trainer.step

    def close(self):
        self._batches.close()


class _Bare:
    """A step by hand: one compiled function, and batches that lie ready."""

    def __init__(self, make_model, source, train):
        import keras
        import tensorflow as tf

        from pixmodels.training import Pipeline
        from pixmodels.training.groups import takes_decay
        from pixmodels.training.schedules import schedule_of

        keras.utils.set_random_seed(train.seed)
        model = make_model()
        pipeline = Pipeline(source, train.batch_size, train.seed)
        self._batches = [
            {k: tf.constant(v) for k, v in pipeline.batch(step).items()}
            for step in range(min(16, pipeline.batches_per_epoch))
        ]
        self._keys = [
            tf.constant([train.seed, step], tf.int32) for step in range(1009)
        ]
        model.loss_sums(self._batches[0], self._keys[0], training=False)
        weights = model.trainable_variables
        optimizer = keras.optimizers.AdamW(
            schedule_of(train),
            weight_decay=train.weight_decay,
            beta_1=train.beta_1,
            beta_2=train.beta_2,
            epsilon=train.epsilon,
            global_clipnorm=train.global_clipnorm,
        )
        optimizer.exclude_from_weight_decay(
            [v for v in weights if not takes_decay(v)]
        )
        optimizer.build(weights)

        @tf.function(jit_compile=True, autograph=False)
        def step(batch, key):
            with tf.GradientTape() as tape:
                sums, counts = model.loss_sums(batch, key, training=True)
                loss = sums["loss"] / counts["loss"]
            optimizer.apply(tape.gradient(loss, weights), weights)
            return loss

        self._step = step
        self.done = 0

    def first_loss(self):
        return self.run(1)

    def run(self, steps):
        for number in range(self.done, self.done + steps):
            loss = self._step(
                self._batches[number % len(self._batches)],
                self._keys[number % len(self._keys)],
            )
        self.done += steps
        return float(loss)


def settings_of(train):
    """`TrainConfig` of both loops: that of a run, without ends and saves.

    Raises:
        ValueError: see `run`.
    """
    fixed = {"optimizer": "adamw", "groups": {}, "ema": None}
    fixed |= {"layer_decay": None, "accumulate_steps": 1, "jit_compile": True}
    for name, value in fixed.items():
        if getattr(train, name) != value:
            raise ValueError(
                f"Expected train.{name}={value!r}, as the bare step has it. "
                f"Received: train.{name}={getattr(train, name)!r}"
            )
    if train.dtype == "mixed_float16":
        raise ValueError(
            "Expected a dtype without loss scaling, as the bare step has "
            "none. Received: train.dtype='mixed_float16'"
        )
    never = 10**9
    return dataclasses.replace(
        train,
        steps=never,
        strategy="one_device",
        checkpoint_every=never,
        checkpoint_minutes=None,
        eval_every=0,
        keep_best=0,
        picture_every=None,
        curves=False,
        tensorboard=False,
    )


def _steps_for(bare, seconds):
    begin = time.perf_counter()
    bare.run(3)
    return max(2, math.ceil(3 * seconds / (time.perf_counter() - begin)))


def _take_turns(loops, rounds, steps):
    """dict from name to the seconds of a step, in each round."""
    times = {name: [] for name in loops}
    for loop in loops.values():
        loop.run(steps)  # warm, and not counted
    for number in range(rounds):
        for name in benchmarks.turns(loops, number):
            before, begin = loops[name].done, time.perf_counter()
            loops[name].run(steps)
            seconds = time.perf_counter() - begin
            # Whole groups of steps: ours may do a few more.
            times[name].append(seconds / (loops[name].done - before))
    return times


def _show(times, losses, rounds):
    ratios = [a / b for a, b in zip(times["ours"], times["bare"])]
    low, high = interval(ratios)
    found = {
        "bare_ms": 1e3 * float(np.median(times["bare"])),
        "ours_ms": 1e3 * float(np.median(times["ours"])),
        "overhead": float(np.median(ratios)) - 1,
        "low": low - 1,
        "high": high - 1,
        "losses": losses,
    }
    print(
        f"loss of the first step: trainer {losses[0]:.6f}, "
        f"bare {losses[1]:.6f}\n"
        f"bare step {found['bare_ms']:.2f} ms, trainer "
        f"{found['ours_ms']:.2f} ms\n"
        f"overhead {100 * found['overhead']:+.1f} % "
        f"[{100 * found['low']:+.1f} .. {100 * found['high']:+.1f}], median "
        f"of {rounds} rounds, 95 % bootstrap interval; rounds from "
        f"{100 * (min(ratios) - 1):+.1f} to {100 * (max(ratios) - 1):+.1f} %",
        flush=True,
    )
    return found
