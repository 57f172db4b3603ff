"""Runs the step definition on TensorFlow, under any `tf.distribute` strategy.

Public TensorFlow and Keras API only. Not here: the loop, checkpoints on disk,
batches, progress, what drivers of all backends share (`_driver`).
"""

import contextlib
import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

from pixmodels.remat import remat_scope
from pixmodels.training import _malloc
from pixmodels.training import strategies
from pixmodels.training import team
from pixmodels.training import updates
from pixmodels.training._driver import Driver
from pixmodels.training._driver import check_backend
from pixmodels.training._driver import check_batch_size
from pixmodels.training._driver import check_trainable
from pixmodels.training._driver import loss_first
from pixmodels.training._driver import make_model
from pixmodels.training.accumulation import accumulated
from pixmodels.training.prefetcher import Placed
from pixmodels.training.schedules import schedule_of
from pixmodels.training.updates import Updates


class TensorFlowDriver(Driver):
    """A model, its optimizer and the compiled steps that move them.

    Everything that owns variables is made inside the strategy's scope. A step
    computes, per replica, `loss_sums` and the gradients of
    `numerators["loss"]`; gradients and counts are summed over replicas, and
    only then divided, clipped and applied (`Updates`). Each replica's
    gradients are one function under `jit_compile`; reduction and update stand
    outside it, and on one device the update is a compiled function too, shared
    by batches of all lengths. `accumulate_steps` splits a replica's share
    inside the compiled function; `steps_per_loop` is a loop around all of it.

    Args:
        model: a Keras model with `loss_sums(batch, key, training)`, or a
            function without arguments that makes one. Pass a function
            wherever the initial weights shall follow from `config.seed`.
        config: `TrainConfig`.
        example_batch: dict of arrays, any batch; builds the model.
        strategy: `tf.distribute.Strategy`; `config.strategy` by default.

    Raises:
        ValueError: if Keras runs on another backend, `batch_size` is not a
            multiple of the number of replicas times `accumulate_steps`, the
            model has no `loss_sums` or no trainable weight, or was built
            outside the strategy.
    """

    def __init__(self, model, config, example_batch, strategy=None):
        check_backend("tensorflow", "TensorFlow")
        _malloc.keep_freed()
        self.config = config
        self.strategy = strategy or strategies.make(
            config.strategy, config.worker_timeout
        )
        self.team = team.of(self.strategy)
        self.num_replicas = self.strategy.num_replicas_in_sync
        check_batch_size(config, self.num_replicas, "replicas")
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        # A TPU program is compiled as a whole, with what is inside it.
        on_tpu = isinstance(self.strategy, tf.distribute.TPUStrategy)
        self._compile = functools.partial(
            tf.function,
            jit_compile=config.jit_compile and not on_tpu,
            autograph=False,
        )
        self.schedule = schedule_of(config)
        self._compiled = set()
        with self.team.watch(), self.strategy.scope():
            self._model = self._build_model(model, example_batch)
            self.updates = Updates(self._model, config, self.schedule)
        self._trainable = self.updates.trainable
        # Plain variables: one replica, without the machinery of a strategy.
        self._plain = not _is_distributed(self._trainable[0])
        replica_step = self._make_replica_step()
        self._train_function = self._make_train_function(replica_step)
        self._loop_function = self._make_loop_function(replica_step)
        self._eval_function = self._make_eval_function()

    def scope(self):
        """Context in which the model's variables may be assigned."""
        return self.strategy.scope()

    def is_compiled(self, batch, training=True, steps=1):
        """False if a step on this batch would first have to compile.

        Args:
            batch: dict of arrays.
            training: False asks for `eval_step`.
            steps: above 1 asks for `train_steps` with so many batches.
        """
        return (self._signature(batch, training), steps) in self._compiled

    def put(self, batch):
        """Copies a batch to the devices, ahead of its step and in any thread.

        Batches of loops are left alone, for they are stacked first, and so
        are those of several processes.

        Args:
            batch: as `train_step`.

        Returns:
            A `Placed` batch, or `batch`.
        """
        if self.config.steps_per_loop > 1 or self.team.count > 1:
            return batch
        with self._device():
            return Placed(batch, self._distribute(batch))

    def train_step(self, batch, step):
        """One update.

        Args:
            batch: dict of arrays with `batch_size` rows; of several
                processes, each gives its slice of the global batch.
            step: int, updates done before this one.

        Returns:
            An object for `fetch`; the device may still be working on it.
        """
        self._compiled.add((self._signature(batch, True), 1))
        with self._device():
            return self._train_function(
                self._distribute(batch), self._key(step)
            )

    def train_steps(self, batches, step):
        """Several updates in one call; the numbers are those of single ones.

        Args:
            batches: list of dicts of arrays; equal names, shapes and dtypes.
            step: int, updates done before the first of these.

        Returns:
            An object for `fetch_all`.
        """
        self._compiled.add((self._signature(batches[0], True), len(batches)))
        stacked = {k: np.stack([b[k] for b in batches]) for k in batches[0]}
        keys = [[self.config.seed, step + i] for i in range(len(batches))]
        with self._device():
            return self._loop_function(
                self._distribute(stacked, axis=1), tf.constant(keys, tf.int32)
            )

    def gradient_function(self, names):
        """A replica's part of a step, to be compiled for other devices.

        Args:
            names: of the arrays of a batch, in order.

        Returns:
            compiled function of the key and these arrays that gives `(sums,
            gradients)`, before any reduction over replicas.
        """

        def gradients(key, *arrays):
            return self._gradients(dict(zip(names, arrays)), key)

        return self._compile(gradients)

    def eval_step(self, batch):
        """`loss_sums` of a batch with `training=False`, for `fetch`."""
        self._compiled.add((self._signature(batch, False), 1))
        with self._device():
            return self._eval_function(self._distribute(batch), self._key(0))

    def fetch(self, handle):
        """Waits for a step.

        Returns:
            dict from metric to `(numerator, count)`, floats, summed over all
            replicas.
        """
        arrays = {name: handle[name].numpy() for name in loss_first(handle)}
        return {k: (float(v[0]), float(v[1])) for k, v in arrays.items()}

    def fetch_all(self, handle):
        """Waits for the steps of `train_steps`; list of dicts as `fetch`."""
        arrays = {name: value.numpy() for name, value in handle.items()}
        count = len(arrays["loss"])
        return [
            self.fetch({k: tf.constant(v[i]) for k, v in arrays.items()})
            for i in range(count)
        ]

    @contextlib.contextmanager
    def averaged_weights(self):
        """Inside, the weights are their averages, see `Updates`."""
        with self.strategy.scope(), self.updates.averaged_weights():
            yield

    def state(self):
        """Everything that a step changes, as a dict of arrays of its own."""
        # TensorFlow's `numpy` copies once; `keras.ops.convert_to_numpy`
        # took seven times as long (keras 3.15, numpy 2).
        return {
            key: np.asarray(variable.value.numpy())
            for key, variable in self._keyed().items()
        }

    def _build_model(self, model, example_batch):
        keras.utils.set_random_seed(self.config.seed)
        model = make_model(model, self.config)
        # One example, run eagerly, builds whatever is not built yet.
        first = {name: tf.constant(a[:1]) for name, a in example_batch.items()}
        model.loss_sums(first, self._key(0), training=False)
        if self.config.accumulate_steps > 1:
            self._like = updates.stacked(
                *model.loss_sums(first, self._key(0), training=True)
            )
        check_trainable(model)
        if self.num_replicas > 1 and not all(
            map(_is_distributed, model.trainable_variables)
        ):
            raise ValueError(
                "Expected a model made inside the strategy's scope; pass a "
                f"function that makes it. Received: model={model!r}"
            )
        return model

    def _make_replica_step(self):
        """Function of a replica's batch and the key: one update; the sums."""
        gradients = self._compile(self._gradients)
        update = self._update
        if self._plain:
            # Apart from the gradients, the update compiles once and serves
            # batches of all lengths; in one function with them it would
            # double the compilation for each length.
            update = self._compile(update)
        return lambda batch, key: update(*gradients(batch, key))

    def _make_train_function(self, replica_step):
        return tf.function(self._on_replicas(replica_step), autograph=False)

    def _make_loop_function(self, replica_step):
        def step_at(stacked, keys, place):
            batch = {name: value[place] for name, value in stacked.items()}
            return replica_step(batch, keys[place])

        step_at = self._on_replicas(step_at)

        def loop(stacked, keys):
            count = keys.shape[0]

            def step(place, rows):
                found = step_at(stacked, keys, place)
                return place + 1, {
                    name: rows[name].write(place, value)
                    for name, value in found.items()
                }

            # The first step, outside the loop, says what a step returns.
            rows = {
                name: tf.TensorArray(value.dtype, count).write(0, value)
                for name, value in step_at(stacked, keys, 0).items()
            }
            _, rows = tf.while_loop(
                lambda place, _: place < count,
                step,
                (tf.constant(1), rows),
                parallel_iterations=1,
            )
            return {name: row.stack() for name, row in rows.items()}

        return tf.function(loop, autograph=False)

    def _make_eval_function(self):
        compute = self._compile(
            lambda batch, key: self._loss_sums(batch, key, False)
        )
        if self._plain:
            return compute
        step = self._on_replicas(lambda *args: _all_reduce(compute(*args)))
        return tf.function(step, autograph=False)

    def _on_replicas(self, function):
        """Runs a function that returns sums everywhere; the sums, once."""
        if self._plain:
            return function

        def run(*args):
            results = self.strategy.run(function, args=args)
            # The sums are the same on every replica: take the first's.
            return {
                name: self.strategy.experimental_local_results(value)[0]
                for name, value in results.items()
            }

        return run

    def _loss_sums(self, batch, key, training):
        """dict from metric to (2,): numerator, count."""
        return updates.stacked(
            *self.model.loss_sums(batch, key, training=training)
        )

    def _gradients(self, batch, key):
        """(sums, gradients) of a replica's share of the batch."""
        parts = self.config.accumulate_steps
        return accumulated(
            lambda part: self._gradients_of_part(part, key),
            batch,
            parts,
            self._like if parts > 1 else None,
            self._trainable,
        )

    def _gradients_of_part(self, batch, key):
        with tf.GradientTape() as tape, remat_scope(self.config.remat):
            sums = self._loss_sums(batch, key, True)
            loss = self.updates.scaled(sums["loss"][0])
        gradients = tape.gradient(loss, self._trainable)
        missing = [
            v.path for v, g in zip(self._trainable, gradients) if g is None
        ]
        if missing:
            warnings.warn(
                "The loss does not depend on these trainable weights, which "
                f"stay as they are: {', '.join(missing)}",
                stacklevel=2,
            )
        # Gradients of gathers come as slices; a sum over replicas is dense.
        dense = [
            None if g is None else tf.convert_to_tensor(g) for g in gradients
        ]
        return sums, dense

    def _update(self, sums, gradients):
        """Reduces over replicas and updates; returns the sums."""
        if self._plain:
            return self.updates.apply(sums, gradients)
        places = [i for i, g in enumerate(gradients) if g is not None]
        sums, reduced = _all_reduce((sums, [gradients[i] for i in places]))
        for place, gradient in zip(places, reduced):
            gradients[place] = gradient
        sums, gradients, scalars = self.updates.prepare(sums, gradients)
        apply = functools.partial(self._apply_everywhere, places=places)
        present = [gradients[i] for i in places]
        context = tf.distribute.get_replica_context()
        context.merge_call(apply, (present, scalars))
        return sums

    def _apply_everywhere(self, strategy, gradients, scalars, places):
        # `optimizer.apply` would sum the gradients over replicas once more,
        # after its own clipping: so each variable is updated from here.
        gradients = dict(zip(places, gradients))

        def move(variable, gradient, scalars, place):
            self.updates.move(place, gradient, scalars, variable)

        def update(variable, function, *args):
            strategy.extended.update(
                variable.value, function, args=args, group=False
            )

        for place, variable in enumerate(self._trainable):
            part = functools.partial(move, place=place)
            update(variable, part, gradients.get(place), scalars)
        for variable, value in self.updates.counters(scalars):
            update(variable, lambda old, new: old.assign(new), value)

    def _device(self):
        """Context for the device of `one_device:DEVICE`."""
        if isinstance(self.strategy, tf.distribute.OneDeviceStrategy):
            return tf.device(self.strategy.extended.worker_devices[0])
        return contextlib.nullcontext()

    def _distribute(self, batch, axis=0):
        """Each replica's share of the rows, which stand on `axis`."""
        if isinstance(batch, Placed):
            return batch.on_device
        if self._plain:
            return {name: tf.constant(a) for name, a in batch.items()}
        share = self.config.batch_size // self.num_replicas
        replicas_before = self.num_replicas // self.team.count * self.team.index

        def slice_of(context):
            place = context.replica_id_in_sync_group - replicas_before
            start = place * share
            rows = (slice(None),) * axis + (slice(start, start + share),)
            return {name: tf.constant(a[rows]) for name, a in batch.items()}

        return self.strategy.experimental_distribute_values_from_function(
            slice_of
        )

    def _key(self, step):
        return tf.constant(np.array([self.config.seed, step], np.int32))


def _is_distributed(variable):
    return isinstance(variable.value, tf.distribute.DistributedValues)


def _all_reduce(values):
    """Sums over replicas; to be called in a replica."""
    context = tf.distribute.get_replica_context()
    flat = tf.nest.flatten(values)
    reduced = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
    return tf.nest.pack_sequence_as(values, reduced)
