"""The step loop: batches in, updates, metrics, evaluation, checkpoints.

Backend-neutral: a driver owns the model and runs the steps. Not here: what a
step is (the drivers), batches (`pipeline`), files (`checkpoint`,
`workdir`).
"""

import dataclasses
import math
import time

from pixmodels.training import _settings
from pixmodels.training import drivers
from pixmodels.training import progress as progress_lib
from pixmodels.training import workdir as workdir_lib
from pixmodels.training._signals import on_sigterm
from pixmodels.training._versions import versions
from pixmodels.training.checkpoint import CheckpointStore
from pixmodels.training.evaluator import Evaluator
from pixmodels.training.meters import Meter
from pixmodels.training.meters import Stopwatch
from pixmodels.training.observers import Observers
from pixmodels.training.observers import standard
from pixmodels.training.patience import Patience
from pixmodels.training.pipeline import Pipeline
from pixmodels.training.precision import LEAST_LOSS_SCALE
from pixmodels.training.saver import Saver
from pixmodels.training.step_groups import step_groups
from pixmodels.training.throughput import Throughput

# Seconds between looks at the results of steps, where nothing is logged.
_LOOK = 0.25
# Seconds that a save may hold the steps up without a word.
_LONG = 1.0


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """How `Trainer.train` ended.

    Attributes:
        step: updates done.
        metrics: dict, averages over the last log interval.
        evaluation: dict, the last evaluation; empty if there was none.
        interrupted: True if SIGTERM ended it before the last step; all that
            was done is saved, and `train` goes on from there.
    """

    step: int
    metrics: dict
    evaluation: dict
    interrupted: bool


class Trainer:
    """Trains a model; an interrupted run goes on exactly where it was.

    The result is a pure function of (model, source, config): same seed, same
    weights, bit for bit, on the same machine and versions, whether or not
    the run was interrupted. Checkpoints are written while the steps go on
    (`Saver`); SIGTERM ends the loop after the step at hand, with all saved.

    Args:
        model: function without arguments that makes a Keras model with
            `loss_sums(batch, key, training)`, or such a model. A function is
            called under `config.seed` and in the strategy's scope.
        train_source: a source, see `Pipeline`.
        config: `TrainConfig`.
        workdir: folder of the run, made if missing: `config.json`,
            `metrics.jsonl`, `metrics.csv`, `checkpoints/`, and what
            observers write.
        eval_source: a source to evaluate on, or None.
        buckets: lengths of batches in patches, see `Pipeline`.
        pack: whether windows hold several examples, see `Pipeline`.
        workers: processes that make the batches, see `Pipeline`.
        strategy: `tf.distribute.Strategy` or, on jax, `jax.sharding.Mesh`;
            `config.strategy` by default.
        run_config: dict, the whole config that the workdir shall be guarded
            by; `{"train": config}` by default.
        prepare: function of the model, called once on a new run, before the
            first step (loads pretrained weights).
        progress: display, see `progress`; by default one for stderr in the
            chief process, none in others.
        observers: list of `Observer`, told after those that `config` asks
            for; in the chief process only.
        scores: function of the model that returns a dict of floats, called
            after each evaluation; its values are added to it and take the
            place of those with the same name.

    Raises:
        ValueError: if the workdir holds another config (the keys that differ
            are named), `keep_best` has nothing to evaluate on, or see
            `Pipeline` and `drivers.make`.
    """

    def __init__(
        self,
        model,
        train_source,
        config,
        workdir,
        *,
        eval_source=None,
        buckets=(),
        pack=False,
        workers=0,
        strategy=None,
        run_config=None,
        prepare=None,
        progress=None,
        observers=(),
        scores=None,
    ):
        self.config = config
        self._run_config = run_config or {"train": _settings.to_dict(config)}
        workdir_lib.check(workdir, self._run_config)
        self.progress = progress or progress_lib.for_stream()
        self.pipeline = Pipeline(
            train_source,
            config.batch_size,
            config.seed,
            buckets,
            pack=pack,
            workers=workers,
        )
        self.eval_source = eval_source
        self.driver = drivers.make(
            model, config, self.pipeline.batch(0), strategy
        )
        self._evaluator = Evaluator(
            self.driver, eval_source, config, buckets, pack, scores
        )
        self._team = self.driver.team
        if progress is None and not self.is_chief:
            self.progress = progress_lib.NoProgress()
        self._claim(workdir)
        self._store = CheckpointStore(
            workdir,
            config.keep_last,
            keep_best=config.keep_best,
            metric=config.best_metric,
            mode=config.best_mode,
        )
        self.workdir = workdir
        self.history = workdir_lib.History(workdir)
        self.observers = Observers()
        if self.is_chief:
            self.observers = Observers([*standard(config), *observers])
        self._throughput = Throughput(self.model, config, self.driver)
        self._meter, self._watch = Meter(), Stopwatch()
        self._pending, self._last_look = [], 0.0
        self._last, self._evaluation = {}, {}
        # The step of the last evaluation; whether one was cut short.
        self._evaluated, self._evaluation_due = None, False
        self._patience = self._new_patience()
        self._clock = time.perf_counter()
        self._stop = self._team.stop_flag()
        self.step = 0
        with self._team.watch():
            self._restore(prepare)
            self._team.check_same(self.step, self._run_config)
        self._saver = Saver(
            self._store,
            config.checkpoint_every,
            config.checkpoint_minutes,
            self.step,
        )

    @property
    def model(self):
        """The Keras model, with its present weights."""
        return self.driver.model

    @property
    def is_chief(self):
        """Whether this process writes the files of the run."""
        return self._team.is_chief

    def train(self):
        """Trains up to `config.steps` updates, or until nothing gets better.

        Returns:
            A `TrainResult`.

        Raises:
            FloatingPointError: if the loss is not finite; the step is named,
                and no checkpoint holds the weights after it.
            OSError: if a checkpoint cannot be written; the loop ends with
                the step in which that is known. Those written before are
                unharmed.
            ValueError: if `best_metric` is not one of the evaluation.
            WorkersLost: if another process of the run has ended or cannot be
                reached.
        """
        with self._team.watch():
            result = self._train()
            self._team.barrier()  # the chief has written everything
        return result

    def _train(self):
        total, first = self.config.steps, self.step
        if first >= total or self._patience.exhausted:
            self.progress.note(f"step {first}/{total}: nothing left to do")
            total = min(first, total)
        self._begin_clock()
        self.observers.tell("on_start", self)
        self.progress.start(first, total)
        self._last_look = time.perf_counter()
        result = None
        try:
            with (
                on_sigterm(self._stop.set),
                self._saver,
                self.pipeline.prefetch(
                    first,
                    total,
                    host=self._team.host,
                    depth=max(2, self.config.steps_per_loop),
                    put=self.driver.put,
                ) as batches,
            ):
                self._evaluator.check_best_metric()
                if self._evaluation_due and self.eval_source is not None:
                    self._log_evaluation(first)
                    self._save()
                for step, group, waited in step_groups(batches, self.config):
                    if self._stop.is_set() or self._patience.exhausted:
                        break
                    self._saver.check()
                    self.do_steps(step, group, waited)
                if self._saver.step != self.step:
                    self._save()
            interrupted = self._stop.is_set() and (
                self.step < total or self._evaluation_due
            )
            result = TrainResult(
                self.step, self._last, self._evaluation, interrupted
            )
        finally:
            self.progress.stop()
            self.observers.tell("on_end", result)
        if interrupted:
            self.progress.note(
                f"stopped by SIGTERM at step {self.step}/{total}; saved: the "
                "same command goes on from here"
            )
        elif self._patience.exhausted and self.step > first:
            self.progress.note(
                f"stopped early at step {self.step}/{total}: {self._patience}"
            )
        self._stop.clear()
        return result

    def evaluate(self, source=None, buckets=None):
        """Averages the model's metrics over a source, each example once.

        Args:
            source: a source; `eval_source` by default.
            buckets: lengths in patches; those of training by default.

        Returns:
            dict from metric to float.

        Raises:
            ValueError: if there is no source.
        """
        return self._evaluator.run(source, buckets)

    def save(self):
        """Writes a checkpoint of the present state, and waits for the disk.

        Of several processes, only the chief writes.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: if it cannot be written, see `CheckpointStore.save`.
        """
        self._save()
        self._saver.wait()
        return self._store.path(self.step)

    def _save(self):
        """Begins to write a checkpoint of the present state."""
        self._look()
        done = self.step
        if not self.is_chief:
            self._saver.skip(done)
            return
        scores = self._evaluation if self._evaluated == done else {}
        self._saver.save(done, self.driver.state, self._saved_state(), scores)
        if self._saver.blocked > _LONG:
            self.progress.note(
                f"step {done}: the checkpoint held the steps up for "
                f"{self._saver.blocked:.1f} s"
            )

    def do_steps(self, step, group, waited):
        """Trains on batches, and does what is due after them.

        Args:
            step: int, updates done before the first of these.
            group: list of batches, see `step_groups`.
            waited: seconds waited for them.
        """
        batch = group[0]
        fresh = not self.driver.is_compiled(batch, steps=len(group))
        if fresh:
            if self._saver.due_before_compiling(step):
                self._save()
            shape = "x".join(map(str, _largest(batch).shape))
            loop = f"a loop of {len(group)} steps"
            what = "the step" if len(group) == 1 else loop
            self.progress.note(f"compiling {what} for batches of {shape}")
        begin = time.perf_counter()
        if len(group) > 1:
            handle = self.driver.train_steps(group, step)
        else:
            handle = self.driver.train_step(batch, step)
        self._pending.append((step, len(group), handle))
        self.step = done = step + len(group)
        if fresh:
            self._look()
        self._watch.add(
            waited,
            time.perf_counter() - begin,
            compiled=fresh,
            counts=list(map(self._throughput.counts, group)),
        )
        last = done == self.config.steps
        if done % self.config.log_every == 0 or last:
            self._log(done)
        elif self.progress.live:
            self._show(done)
        scores = {}
        if self._evaluator.due(done):
            scores = self._log_evaluation(done)
        if last or self._saver.due(done, scores):
            self._save()
        self.observers.tell("on_step", done)

    def averages(self):
        """dict of metrics over the steps of this log interval, fetched."""
        self._look()
        return self._meter.averages()

    def wait(self):
        """Waits for the steps that are still out; their time is theirs."""
        self._timed_look()

    def _look(self):
        """Fetches the results of the steps that are still out."""
        for first, count, handle in self._pending:
            if count > 1:
                found = self.driver.fetch_all(handle)
            else:
                found = [self.driver.fetch(handle)]
            for step, sums in enumerate(found, first):
                self._check_finite(step, sums)
                self._meter.add(sums)
        self._pending = []
        self._last_look = time.perf_counter()

    def _check_finite(self, step, sums):
        numerator, count = sums["loss"]
        found = f"loss={numerator}/{count}"
        if math.isfinite(numerator) and math.isfinite(count):
            scale = sums.get("loss_scale", (1.0, 1.0))[0]
            if scale > LEAST_LOSS_SCALE:
                return
            found = f"{found}, gradients that no loss_scale makes finite"
        self._saver.wait()
        raise FloatingPointError(
            f"Expected a finite loss at step {step}. Received: {found}; the "
            f"last checkpoint is from step "
            f"{(self._store.steps() or [None])[-1]}. A lower "
            "train.learning_rate or train.global_clipnorm may help."
        )

    def _timed_look(self):
        begin = time.perf_counter()
        self._look()
        self._watch.add_wait(time.perf_counter() - begin)

    def _show(self, done):
        if time.perf_counter() - self._last_look < _LOOK:
            return
        self._timed_look()
        self.progress.step(done, self._values(done), self._eta(done))

    def _log(self, done):
        self._timed_look()
        values = self._values(done)
        self._last = self._meter.averages()
        self.progress.report(done, values, self._eta(done))
        self.observers.tell("on_log", self._write(done, "train", values))
        self._meter.clear()
        self._watch.clear()

    def _log_evaluation(self, done):
        """Evaluates; returns the metrics, or {} if SIGTERM came."""
        self.wait()
        self._evaluation_due = True
        if self._evaluated is None and self._saver.due_before_compiling(done):
            self._save()
        found = self._evaluator.run(stopped=self._stop.is_set, scored=True)
        if found is None:
            return {}
        self._evaluation, self._evaluation_due = found, False
        self._evaluated = done
        self._patience.see(found)
        text = progress_lib.metric_text(self._evaluation)
        self.progress.note(f"step {done} evaluation: {text}")
        line = self._write(done, "eval", self._evaluation)
        self.observers.tell("on_evaluation", line)
        return found

    def _new_patience(self, state=None):
        return Patience(
            self.config.best_metric,
            self.config.best_mode,
            self.config.early_stopping,
            state,
        )

    def _write(self, done, split, values):
        # JSON has no nan: a metric that counted nothing is null.
        values = {k: v if math.isfinite(v) else None for k, v in values.items()}
        line = {
            "step": done,
            "split": split,
            "time": round(time.time(), 3),
            "seconds": round(time.perf_counter() - self._clock, 3),
            **values,
        }
        if self.is_chief:
            self.history.append(line)
        return line

    def _begin_clock(self):
        """`seconds` of a line are those of training, without interruptions."""
        lines = self.history.read()
        before = lines[-1].get("seconds", 0.0) if lines else 0.0
        self._clock = time.perf_counter() - before

    def _values(self, done):
        return {
            **self._meter.averages(),
            "learning_rate": self.driver.learning_rate(done - 1),
            **self._watch.milliseconds(),
            **self._throughput.values(self._watch.rates()),
        }

    def _eta(self, done):
        return self._watch.eta(self.config.steps - done)

    def _claim(self, workdir):
        if not self.is_chief:
            return
        changed = workdir_lib.claim(workdir, self._run_config)
        for key, (old, new) in changed.items():
            self.progress.note(f"{key} changes from {old} to {new}")

    def _restore(self, prepare):
        if self.is_chief:
            self._store.recover()
        found = self._store.restore_latest()
        if found is None:
            if prepare is not None:
                with self.driver.scope():
                    prepare(self.model)
            self._cut(0)
            return
        self.driver.load_state(found.arrays, f"checkpoint {found.path}")
        self._meter = Meter(found.state["meter"])
        self._last = found.state["metrics"]
        self._evaluation = found.state["evaluation"]
        self._evaluation_due = found.state["evaluation_due"]
        self._evaluated = found.step if found.scores else None
        self._patience = self._new_patience(found.state.get("patience"))
        self.step = found.step
        self._cut(found.step, evaluated=not self._evaluation_due)
        self.progress.note(f"resuming from {found.path}")

    def _cut(self, step, evaluated=True):
        if self.is_chief:
            self.history.cut(step, evaluated)

    def _saved_state(self):
        return {
            "seed": self.config.seed,
            "meter": self._meter.state(),
            "metrics": self._last,
            "evaluation": self._evaluation,
            "evaluation_due": self._evaluation_due,
            "patience": self._patience.state(),
            "versions": versions(),
        }


def _largest(batch):
    return max(batch.values(), key=lambda array: array.size)
