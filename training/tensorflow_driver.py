"""Runs the step definition on TensorFlow, under any `tf.distribute` strategy.

Public TensorFlow and Keras API only. Not here: the loop, checkpoints on disk,
batches, progress. A driver for another backend has the same methods.
"""

import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

from pixmodels.training import strategies
from pixmodels.training import variables as variables_lib
from pixmodels.training.precision import dtype_policy
from pixmodels.training.schedules import schedule_of

_NO_DECAY_NAMES = ("bias", "gamma", "beta", "scale")
_NO_DECAY_PARTS = ("position", "token", "norm")


class TensorFlowDriver:
    """A model, its optimizer and the compiled steps that move them.

    Everything that owns variables is made inside the strategy's scope. A step
    computes, per replica, `loss_sums` and the gradients of
    `numerators["loss"]`; gradients and counts are summed over replicas, and
    only then divided, clipped and applied (AdamW; decay spares biases, norms,
    positions and tokens). Each replica's gradients are one function under
    `jit_compile`; reduction and update stand outside it, and on one device
    the update is a compiled function too, shared by batches of all lengths.

    Args:
        model: a Keras model with `loss_sums(batch, key, training)`, or a
            function without arguments that makes one. Pass a function
            wherever the initial weights shall follow from `config.seed`.
        config: `TrainConfig`.
        example_batch: dict of arrays, any batch; builds the model.
        strategy: `tf.distribute.Strategy`; `config.strategy` by default.

    Raises:
        ValueError: if Keras runs on another backend, `batch_size` is not a
            multiple of the number of replicas, the model has no `loss_sums`
            or no trainable weight, or was built outside the strategy.
    """

    def __init__(self, model, config, example_batch, strategy=None):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Expected Keras on the tensorflow backend for the TensorFlow "
                "driver; set KERAS_BACKEND=tensorflow. "
                f"Received: backend={keras.backend.backend()!r}"
            )
        self.config = config
        self.strategy = strategy or strategies.make(config.strategy)
        self.num_replicas = self.strategy.num_replicas_in_sync
        if config.batch_size % self.num_replicas:
            raise ValueError(
                "Expected batch_size to be a multiple of the number of "
                f"replicas, {self.num_replicas}. "
                f"Received: batch_size={config.batch_size}"
            )
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.schedule = schedule_of(config)
        self._compiled = set()
        with self.strategy.scope():
            self.model = self._build_model(model, example_batch)
            self.optimizer = keras.optimizers.Adam(
                self.schedule,
                beta_1=config.beta_1,
                beta_2=config.beta_2,
                epsilon=config.epsilon,
            )
            self.optimizer.build(self.model.trainable_variables)
        self._trainable = list(self.model.trainable_variables)
        # Plain variables: one replica, without the machinery of a strategy.
        self._plain = not _is_distributed(self._trainable[0])
        self._decays = [
            config.weight_decay > 0 and takes_decay(v) for v in self._trainable
        ]
        self._multipliers = self._layer_multipliers()
        self._train_function = self._make_train_function()
        self._eval_function = self._make_eval_function()

    def scope(self):
        """Context in which the model's variables may be assigned."""
        return self.strategy.scope()

    def learning_rate(self, step):
        """The learning rate of update number `step`, as a float."""
        return float(self.schedule(step))

    def is_compiled(self, batch, training=True):
        """False if a step on this batch would first have to compile."""
        return self._signature(batch, training) in self._compiled

    def train_step(self, batch, step):
        """One update.

        Args:
            batch: dict of arrays with `batch_size` rows.
            step: int, updates done before this one.

        Returns:
            An object for `fetch`; the device may still be working on it.
        """
        self._compiled.add(self._signature(batch, True))
        return self._train_function(self._distribute(batch), self._key(step))

    def eval_step(self, batch):
        """`loss_sums` of a batch with `training=False`, for `fetch`."""
        self._compiled.add(self._signature(batch, False))
        return self._eval_function(self._distribute(batch), self._key(0))

    def fetch(self, handle):
        """Waits for a step.

        Returns:
            dict from metric to `(numerator, count)`, floats, summed over all
            replicas.
        """
        names = sorted(handle, key=lambda name: (name != "loss", name))
        arrays = {name: handle[name].numpy() for name in names}
        return {k: (float(v[0]), float(v[1])) for k, v in arrays.items()}

    def state(self):
        """Everything that a step changes, as a dict of arrays."""
        return {
            key: keras.ops.convert_to_numpy(variable)
            for key, variable in self._keyed().items()
        }

    def load_state(self, arrays, what="checkpoint"):
        """Takes back what `state` gave; strict.

        Raises:
            ValueError: if an array is missing, unexpected or misshapen; all
                are listed, and nothing is changed.
        """
        keyed = self._keyed()
        with self.strategy.scope():
            variables_lib.assign_all(
                list(keyed.values()), list(keyed), arrays, what
            )

    def _keyed(self):
        model = self.model
        keys = variables_lib.variable_keys(model.variables, model.name)
        keyed = {f"model/{k}": v for k, v in zip(keys, model.variables)}
        for i, variable in enumerate(self.optimizer.variables):
            keyed[f"optimizer/{i:05d}"] = variable
        return keyed

    def _build_model(self, model, example_batch):
        keras.utils.set_random_seed(self.config.seed)
        if not isinstance(model, keras.Model):
            with dtype_policy(self.config.dtype):
                model = model()
        if not hasattr(model, "loss_sums"):
            raise ValueError(
                "Expected a model with a method loss_sums(batch, key, "
                f"training). Received: model={model!r}"
            )
        # One example, run eagerly, builds whatever is not built yet.
        first = {name: tf.constant(a[:1]) for name, a in example_batch.items()}
        model.loss_sums(first, self._key(0), training=False)
        if not model.trainable_variables:
            raise ValueError(
                "Expected a model with trainable weights. "
                f"Received: model={model!r}"
            )
        if self.num_replicas > 1 and not all(
            map(_is_distributed, model.trainable_variables)
        ):
            raise ValueError(
                "Expected a model made inside the strategy's scope; pass a "
                f"function that makes it. Received: model={model!r}"
            )
        return model

    def _layer_multipliers(self):
        """One factor of the learning rate for each trainable variable."""
        if self.config.layer_decay is None:
            return [1.0] * len(self._trainable)
        from pixmodels.tasks import layer_lr_multipliers

        found = layer_lr_multipliers(self.model, self.config.layer_decay)
        return [found[v.path] for v in self._trainable]

    def _make_train_function(self):
        compile_ = functools.partial(
            tf.function, jit_compile=self.config.jit_compile, autograph=False
        )
        gradients = compile_(self._gradients)
        if self._plain:
            # Apart from the gradients, the update compiles once and serves
            # batches of all lengths; in one function with them it would
            # double the compilation for each length.
            update = compile_(self._update)
        else:
            update = self._update

        def replica_step(batch, key):
            return update(*gradients(batch, key))

        if self._plain:
            return tf.function(replica_step, autograph=False)
        return self._run_on_replicas(replica_step)

    def _make_eval_function(self):
        compute = tf.function(
            lambda batch, key: self._loss_sums(batch, key, False),
            jit_compile=self.config.jit_compile,
            autograph=False,
        )
        if self._plain:
            return compute

        def replica_step(batch, key):
            return _all_reduce(compute(batch, key))

        return self._run_on_replicas(replica_step)

    def _run_on_replicas(self, replica_step):
        def step(batch, key):
            results = self.strategy.run(replica_step, args=(batch, key))
            # The sums are the same on every replica: take the first's.
            return {
                name: self.strategy.experimental_local_results(value)[0]
                for name, value in results.items()
            }

        return tf.function(step, autograph=False)

    def _loss_sums(self, batch, key, training):
        """dict from metric to (2,) float32: numerator, count."""
        numerators, counts = self.model.loss_sums(batch, key, training=training)
        if "loss" not in numerators or set(numerators) != set(counts):
            raise ValueError(
                "Expected loss_sums to return two dicts with the same keys, "
                f"'loss' among them. Received: {sorted(numerators)} and "
                f"{sorted(counts)}"
            )
        return {
            name: tf.stack(
                [
                    tf.cast(numerators[name], "float32"),
                    tf.cast(counts[name], "float32"),
                ]
            )
            for name in sorted(numerators)
        }

    def _gradients(self, batch, key):
        with tf.GradientTape() as tape:
            sums = self._loss_sums(batch, key, True)
            loss = sums["loss"][0]
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
        """Reduces over replicas, divides, clips, applies; returns the sums."""
        pairs = [(i, g) for i, g in enumerate(gradients) if g is not None]
        places, gradients = [i for i, _ in pairs], [g for _, g in pairs]
        if not self._plain:
            sums = _all_reduce(sums)
            gradients = _all_reduce(gradients)
        count = sums["loss"][1]
        gradients = [
            tf.math.divide_no_nan(g, tf.cast(count, g.dtype)) for g in gradients
        ]
        if self.config.global_clipnorm is not None:
            gradients, norm = tf.clip_by_global_norm(
                gradients, self.config.global_clipnorm
            )
            sums = {**sums, "gradient_norm": tf.stack([norm, 1.0])}
        if self._plain:
            self._apply(gradients, places)
        else:
            apply = functools.partial(self._apply_everywhere, places=places)
            context = tf.distribute.get_replica_context()
            context.merge_call(apply, (gradients,))
        return sums

    def _apply(self, gradients, places):
        rate = self.optimizer.learning_rate
        for i, gradient in zip(places, gradients):
            self._move(self._trainable[i].value, gradient, rate, i)
        self.optimizer.iterations.assign_add(1)

    def _apply_everywhere(self, strategy, gradients, places):
        # `optimizer.apply` would sum the gradients over replicas once more,
        # after its own clipping: so each variable is updated from here.
        rate = self.optimizer.learning_rate
        for i, gradient in zip(places, gradients):
            strategy.extended.update(
                self._trainable[i].value,
                functools.partial(self._move, place=i),
                args=(gradient, rate),
                group=False,
            )
        self.optimizer.iterations.assign_add(1)

    def _move(self, variable, gradient, rate, place):
        """Decoupled weight decay, then the optimizer's own update."""
        if self._multipliers[place] != 1.0:
            rate = rate * self._multipliers[place]
        if self._decays[place]:
            decay = tf.cast(rate, variable.dtype) * self.config.weight_decay
            variable.assign_sub(variable * decay)
        self.optimizer.update_step(gradient, variable, rate)

    def _distribute(self, batch):
        if self._plain:
            return {name: tf.constant(a) for name, a in batch.items()}
        share = self.config.batch_size // self.num_replicas

        def slice_of(context):
            start = context.replica_id_in_sync_group * share
            return {
                name: tf.constant(a[start : start + share])
                for name, a in batch.items()
            }

        return self.strategy.experimental_distribute_values_from_function(
            slice_of
        )

    def _key(self, step):
        return tf.constant(np.array([self.config.seed, step], np.int32))

    @staticmethod
    def _signature(batch, training):
        shapes = [(k, a.shape, str(a.dtype)) for k, a in sorted(batch.items())]
        return training, tuple(shapes)


def takes_decay(variable):
    """Whether weight decay applies: True for matrices and kernels only.

    False for variables of rank 0 or 1, for biases and norms of any rank, and
    for position tables and class or mask tokens.
    """
    *parents, name = variable.path.lower().split("/")
    near = "/".join([*parents[-1:], name])
    return (
        len(variable.shape) > 1
        and name not in _NO_DECAY_NAMES
        and not any(part in near for part in _NO_DECAY_PARTS)
    )


def _is_distributed(variable):
    return isinstance(variable.value, tf.distribute.DistributedValues)


def _all_reduce(values):
    """Sums over replicas; to be called in a replica."""
    context = tf.distribute.get_replica_context()
    flat = tf.nest.flatten(values)
    reduced = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
    return tf.nest.pack_sequence_as(values, reduced)
