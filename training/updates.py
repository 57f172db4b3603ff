"""From summed gradients to new weights, on any backend.

Division by the count, unscaling, clipping, decay, the optimizer, averages of
weights. Not here: gradients and their sums over replicas (the drivers).
"""

import contextlib

import keras
from keras import ops

from pixmodels.training import groups
from pixmodels.training import variables as variables_lib
from pixmodels.training.precision import LEAST_LOSS_SCALE
from pixmodels.training.schedules import schedule_of

# Dynamic loss scaling: Micikevicius et al. 2018, section 3.2; the numbers are
# those of Keras and of torch's GradScaler. The loss is a sum over examples
# here, not a mean: so the first scale is divided by the batch size.
_FIRST_SCALE = 15
_GROW_AFTER = 2000
_LARGEST_SCALE = 2.0**30


class Updates:
    """The optimizer's side of a training step, and all its state.

    A step computes sums and gradients of the summed loss, adds both up over
    micro-batches and replicas, and hands them over:

        loss = updates.scaled(sums["loss"][0])      # before the gradient
        sums = updates.apply(sums, gradients)       # after the reduction

    `apply` is `prepare`, which only computes, then `move` for each variable
    and `counters`, which assign. A driver whose variables are spread over
    replicas calls the three itself: `prepare` in a replica, `move` where
    one copy of a variable may be assigned (`strategy.extended.update`), then
    assigns `counters`. In a `keras.StatelessScope` over the model's trainable
    variables and `variables`, all assignments become new values of the scope.

    One update: gradients of the summed loss, divided by the count of "loss";
    with `mixed_float16` also by the loss scale; clipped by their global norm;
    decoupled weight decay (Loshchilov & Hutter 2019), `w -= rate * decay *
    w`, for the variables that take it; the Keras optimizer's own
    `update_step`, with the variable's own rate (`groups.plan`); the average
    of weights. Where loss scaling finds a gradient that is not finite, the
    update changes nothing but the scale, which is halved; it is doubled
    after 2,000 finite updates.

    LAMB (You et al. 2020) is Keras', in which decay stands outside the trust
    ratio; in the paper it stands inside.

    Args:
        model: a built Keras model; under `tf.distribute`, make both in the
            strategy's scope.
        config: `TrainConfig`.
        schedule: learning rate of an update; `config`'s by default.

    Attributes:
        trainable: the model's trainable variables, in its order.
        optimizer: the Keras optimizer.
        variables: list of `keras.Variable`, all that an update changes beside
            `trainable`, in a stable order.
        averages: list of `keras.Variable` like `trainable`, the exponential
            averages of `config.ema`; empty without. The first update makes
            them copies of the weights; only trainable weights are averaged.

    Raises:
        ValueError: see `groups.plan`.
    """

    def __init__(self, model, config, schedule=None):
        self.config = config
        self.trainable = list(model.trainable_variables)
        self.multipliers, self.decays = groups.plan(model, config)
        self._names = _names(model)
        self.optimizer = make_optimizer(config, schedule or schedule_of(config))
        self.optimizer.build(self.trainable)
        self._optimizer_variables = list(self.optimizer.variables)
        self._slots = self._slots_of_variables()
        self.averages = []
        if config.ema is not None:
            self.averages = [
                self.optimizer.add_variable_from_reference(v, name="average")
                for v in self.trainable
            ]
            for average, variable in zip(self.averages, self.trainable):
                average.assign(variable)
        self.loss_scale = self.good_updates = None
        if config.dtype == "mixed_float16":
            self._add_loss_scale()
        self.variables = list(self.keyed().values())

    def keyed(self):
        """dict from a stable key to each of `variables`, for checkpoints.

        Keys: `optimizer/00000` (the number of updates), `optimizer/00001`
        and on: moments, variable by variable; `ema/KEY OF THE VARIABLE`;
        `loss_scale/scale` and `loss_scale/good_updates`.
        """
        keyed = {
            f"optimizer/{place:05d}": variable
            for place, variable in enumerate(self._optimizer_variables)
        }
        names = (f"ema/{name}" for name in self._names)
        keyed.update(zip(names, self.averages))
        if self.loss_scale is not None:
            keyed["loss_scale/scale"] = self.loss_scale
            keyed["loss_scale/good_updates"] = self.good_updates
        return keyed

    def scaled(self, loss):
        """The summed loss, times the loss scale if there is one."""
        if self.loss_scale is None:
            return loss
        return loss * ops.cast(self.loss_scale, loss.dtype)

    def apply(self, sums, gradients):
        """One update.

        Args:
            sums: dict from metric to (2,), numerator and count, over the
                whole global batch.
            gradients: list like `trainable`, of the scaled, summed loss over
                the whole global batch; None for a variable that the loss does
                not depend on: it stays as it is.

        Returns:
            `sums`, with `gradient_norm` (before clipping) where it is
            computed, and with loss scaling `loss_scale` and `skipped`.
        """
        sums, gradients, scalars = self.prepare(sums, gradients)
        for place, gradient in enumerate(gradients):
            self.move(place, gradient, scalars)
        for variable, value in self.counters(scalars):
            variable.assign(value)
        return sums

    def prepare(self, sums, gradients):
        """All of an update that comes before the first assignment.

        Returns:
            (sums, gradients, scalars): as `apply` returns them; divided,
            unscaled and clipped; dict of scalar tensors for `move`.
        """
        count = sums["loss"][1]
        scalars = {"rate": self.optimizer.learning_rate}
        divisor = ops.where(count > 0, count, ops.ones_like(count))
        if self.loss_scale is not None:
            divisor = divisor * ops.cast(self.loss_scale, divisor.dtype)
        present = [g is not None for g in gradients]
        # A count of zero comes with gradients of zero.
        gradients = [
            None if g is None else g / ops.cast(divisor, g.dtype)
            for g in gradients
        ]
        clip = self.config.global_clipnorm
        if any(present) and (clip is not None or self.loss_scale is not None):
            norm = _global_norm([g for g in gradients if g is not None])
            sums = {**sums, "gradient_norm": _pair(norm, 1.0)}
            if clip is not None:
                factor = clip / ops.maximum(norm, clip)
                gradients = [
                    None if g is None else g * ops.cast(factor, g.dtype)
                    for g in gradients
                ]
            if self.loss_scale is not None:
                sums, scalars = self._rescaled(sums, scalars, norm)
        return sums, gradients, {**scalars, **self._times(scalars)}

    def move(self, place, gradient, scalars, variable=None):
        """One variable's part of an update.

        Args:
            place: int, its place in `trainable`.
            gradient: as from `prepare`, or None.
            scalars: as from `prepare`.
            variable: the backend's own copy, where it is not to be
                `trainable[place]`.
        """
        variable = self.trainable[place] if variable is None else variable
        if gradient is not None:
            touched = [variable, *self._slots[place]]
            if "keep" in scalars:
                self._move_or_stay(place, gradient, scalars, touched)
            else:
                self._move(place, gradient, scalars["rate"], variable)
        if self.averages:
            self._average(place, scalars, variable)

    def counters(self, scalars):
        """list of (`keras.Variable`, value): to be assigned after `move`."""
        pairs = [(self.optimizer.iterations, scalars["updates"])]
        if self.loss_scale is not None:
            pairs.append((self.loss_scale, scalars["scale"]))
            pairs.append((self.good_updates, scalars["good_updates"]))
        return pairs

    @contextlib.contextmanager
    def averaged_weights(self):
        """Inside, the model's weights are `averages`; then they are as before.

        Raises:
            ValueError: without `config.ema`.
        """
        if not self.averages:
            raise ValueError(
                "Expected a run that averages its weights. Received: "
                "train.ema=None"
            )
        # Copies: an array may be a view of what a later step overwrites.
        before = [ops.convert_to_numpy(v).copy() for v in self.trainable]
        for variable, average in zip(self.trainable, self.averages):
            variable.assign(ops.convert_to_numpy(average))
        try:
            yield
        finally:
            for variable, value in zip(self.trainable, before):
                variable.assign(value)

    def _move(self, place, gradient, rate, variable):
        if self.multipliers[place] != 1.0:
            rate = rate * self.multipliers[place]
        if self.decays[place]:
            decay = ops.cast(rate, variable.dtype) * self.config.weight_decay
            self.optimizer.assign_sub(variable, variable * decay)
        self.optimizer.update_step(gradient, variable, rate)

    def _move_or_stay(self, place, gradient, scalars, touched):
        # Not a branch: inside one, variables of several replicas cannot be
        # assigned. XLA makes one loop of it either way.
        keep = scalars["keep"]
        before = [ops.copy(v) for v in touched]
        gradient = ops.where(keep, gradient, ops.zeros_like(gradient))
        self._move(place, gradient, scalars["rate"], touched[0])
        for variable, old in zip(touched, before):
            new = ops.where(keep, ops.convert_to_tensor(variable), old)
            self.optimizer.assign(variable, new)

    def _average(self, place, scalars, variable):
        average = self.averages[place]
        share = ops.cast(scalars["share"], average.dtype)
        change = ops.convert_to_tensor(variable) - average
        self.optimizer.assign(average, average + change * share)

    def _times(self, scalars):
        """Scalars that count: the number of updates, what averages take."""
        updates = ops.convert_to_tensor(self.optimizer.iterations)
        one = ops.ones_like(updates)
        if "keep" in scalars:
            one = ops.where(scalars["keep"], one, ops.zeros_like(updates))
        found = {"updates": updates + one}
        if self.averages:
            share = ops.where(updates > 0, 1.0 - self.config.ema, 1.0)
            if "keep" in scalars:
                share = ops.where(scalars["keep"], share, 0.0)
            found["share"] = share
        return found

    def _rescaled(self, sums, scalars, norm):
        keep = ops.isfinite(norm)
        zero = ops.zeros_like(norm)
        kept = ops.where(keep, zero + 1, zero)
        sums = {
            **sums,
            "gradient_norm": _pair(ops.where(keep, norm, zero), kept),
            "loss_scale": _pair(self.loss_scale, 1.0),
            "skipped": _pair(1 - kept, 1.0),
        }
        good = ops.convert_to_tensor(self.good_updates) + 1
        good = ops.where(keep, good, ops.zeros_like(good))
        grow = good >= _GROW_AFTER
        scale = ops.convert_to_tensor(self.loss_scale)
        scale = scale * ops.where(keep, ops.where(grow, 2.0, 1.0), 0.5)
        scalars = {
            **scalars,
            "keep": keep,
            "scale": ops.clip(scale, LEAST_LOSS_SCALE, _LARGEST_SCALE),
            "good_updates": ops.where(grow, ops.zeros_like(good), good),
        }
        return sums, scalars

    def _add_loss_scale(self):
        batch = (self.config.batch_size - 1).bit_length()
        self.loss_scale = _counter("loss_scale", "float32")
        self.loss_scale.assign(2.0 ** (_FIRST_SCALE - batch))
        self.good_updates = _counter("good_updates", "int32")

    def _slots_of_variables(self):
        """The moments of each variable: Keras adds them one by one."""
        slots = self._optimizer_variables[1:]
        each = len(slots) // len(self.trainable)
        found = [
            slots[place * each : (place + 1) * each]
            for place in range(len(self.trainable))
        ]
        for variable, mine in zip(self.trainable, found):
            assert all(slot.shape == variable.shape for slot in mine)
        return found


def make_optimizer(config, schedule):
    """The Keras optimizer of a `TrainConfig`, without decay or clipping.

    Args:
        config: `TrainConfig`.
        schedule: a Keras learning-rate schedule.
    """
    optimizers = keras.optimizers
    betas = {"beta_1": config.beta_1, "beta_2": config.beta_2}
    if config.optimizer == "adamw":
        return optimizers.Adam(schedule, **betas, epsilon=config.epsilon)
    if config.optimizer == "lamb":
        return optimizers.Lamb(schedule, **betas, epsilon=config.epsilon)
    if config.optimizer == "lion":
        return optimizers.Lion(schedule, **betas)
    return optimizers.SGD(schedule, momentum=config.momentum)


def stacked(numerators, counts):
    """What `loss_sums` gave, checked.

    Args:
        numerators, counts: dicts of scalars with equal keys, "loss" among
            them.

    Returns:
        dict, sorted by name, from metric to (2,): numerator, count; float32,
        or float64 if the numerator is.

    Raises:
        ValueError: if the keys differ or "loss" is missing.
    """
    if "loss" not in numerators or set(numerators) != set(counts):
        raise ValueError(
            "Expected loss_sums to return two dicts with the same keys, "
            f"'loss' among them. Received: {sorted(numerators)} and "
            f"{sorted(counts)}"
        )
    return {
        name: _pair(numerators[name], counts[name])
        for name in sorted(numerators)
    }


def _pair(numerator, count):
    numerator = ops.convert_to_tensor(numerator)
    wide = keras.backend.standardize_dtype(numerator.dtype) == "float64"
    dtype = "float64" if wide else "float32"
    return ops.stack([ops.cast(numerator, dtype), ops.cast(count, dtype)])


def _global_norm(gradients):
    squares = [ops.sum(ops.square(g)) for g in gradients]
    return ops.sqrt(sum(squares[1:], squares[0]))


def _names(model):
    keys = variables_lib.variable_keys(model.variables, model.name)
    names = {id(v): key for v, key in zip(model.variables, keys)}
    return [names[id(v)] for v in model.trainable_variables]


def _counter(name, dtype):
    return keras.Variable(
        0,
        dtype=dtype,
        trainable=False,
        name=name,
        aggregation="only_first_replica",
    )
