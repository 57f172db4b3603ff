"""The training step as pure functions on jax, jitted over a mesh.

Here: weights in, weights out, and where each array lies. Not here: which
devices, the loop, checkpoints (`jax_driver`); what an update is (`updates`).
"""

import warnings

import jax
import jax.numpy as jnp
import keras
from jax.extend.core import Var
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec

from pixmodels.remat import remat_scope
from pixmodels.training.updates import stacked

AXIS = "data"


class JaxStep:
    """A built model and its updates as functions of a state.

    The batch is split over the mesh, weights are whole on every device. A
    device computes the sums and gradients of its rows; these are added up over
    all devices, in float32, and every device makes the same update.

    Args:
        model: a built Keras model with `loss_sums(batch, key, training)`.
        updates: `Updates` of the model.
        mesh: `jax.sharding.Mesh` with the one axis "data"; of devices that
            are at hand, or only described (to compile for them).

    Attributes:
        variables: list of `keras.Variable`: those of the model that are
            trained, its others, those of the optimizer.
        train: jitted `(state, batch, key) -> (state, sums)`; the buffers of
            the state are reused. `state` is a list of arrays, one for each
            of `variables`; `sums` a dict from metric to (2,) float32,
            numerator and count.
        evaluate: jitted `(state, batch, key) -> sums`.
    """

    def __init__(self, model, updates, mesh):
        self.model = model
        self.config = updates.config
        self.updates = updates
        self.trainable = list(model.trainable_variables)
        known = {id(v) for v in self.trainable}
        self.others = [v for v in model.variables if id(v) not in known]
        self.variables = [*self.trainable, *self.others, *updates.variables]
        self.whole = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec(AXIS))
        self.unused = None
        placed = (self.whole, self.split, self.whole)
        self.train = jax.jit(
            self._train,
            in_shardings=placed,
            out_shardings=self.whole,
            donate_argnums=0,
        )
        self.evaluate = jax.jit(
            self._evaluate, in_shardings=placed, out_shardings=self.whole
        )

    def _train(self, state, batch, key):
        trainable, _, moments = self._split_state(state)
        compute = self._everywhere(self._gradients)
        sums, gradients, others = compute(state, batch, key)
        for place in self.unused:
            gradients[place] = None
        mapping = [
            *zip(self.trainable, trainable),
            *zip(self.updates.variables, moments),
        ]
        with keras.StatelessScope(mapping) as scope:
            sums = self.updates.apply(sums, gradients)
        values = _values(scope, mapping)
        count = len(trainable)
        return [*values[:count], *others, *values[count:]], sums

    def _evaluate(self, state, batch, key):
        return self._everywhere(self._local_sums)(state, batch, key)

    def _everywhere(self, function):
        """A function of (state, batch, key), run by each device on its rows."""
        return jax.shard_map(
            function,
            mesh=self.whole.mesh,
            in_specs=(self.whole.spec, self.split.spec, self.whole.spec),
            out_specs=self.whole.spec,
            # What comes out is the same everywhere: it was added up.
            check_vma=False,
        )

    def _local_sums(self, state, batch, key):
        sums = self._sums(*self._split_state(state), batch, key, False)[1]
        return jax.lax.psum(sums, AXIS)

    def _split_state(self, state):
        first = len(self.trainable)
        second = first + len(self.others)
        return state[:first], state[first:second], state[second:]

    def _gradients(self, state, batch, key):
        """Sums, gradients and new `others` of the whole batch."""
        *found, others = self._local_gradients(
            *self._split_state(state), batch, key
        )
        sums, gradients = jax.lax.psum(tuple(found), AXIS)
        # Statistics of a batch are averaged; counters are the same anyway.
        others = [
            jax.lax.pmean(value, AXIS)
            if jnp.issubdtype(value.dtype, jnp.floating)
            else value
            for value in others
        ]
        return sums, gradients, others

    def _local_gradients(self, trainable, others, moments, batch, key):
        gradients_of = jax.grad(self._loss, has_aux=True)

        def of_part(others, part):
            self._look_for_unused(trainable, others, moments, part, key)
            gradients, (sums, others) = gradients_of(
                trainable, others, moments, part, key
            )
            return sums, gradients, others

        parts = self.config.accumulate_steps
        if parts == 1:
            return of_part(others, batch)
        # A loop: the activations of one part are there at a time.
        batch = jax.tree.map(
            lambda array: array.reshape(parts, -1, *array.shape[1:]), batch
        )
        first = jax.tree.map(lambda array: array[0], batch)
        shapes = jax.eval_shape(of_part, others, first)
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[:2]
        )

        def body(carry, part):
            totals, others = carry
            *found, others = of_part(others, part)
            return (jax.tree.map(jnp.add, totals, tuple(found)), others), None

        (totals, others), _ = jax.lax.scan(body, (zeros, others), batch)
        return *totals, others

    def _loss(self, trainable, others, moments, batch, key):
        loss, sums, others = self._sums(
            trainable, others, moments, batch, key, True
        )
        return loss, (sums, others)

    def _sums(self, trainable, others, moments, batch, key, training):
        """(scaled loss, sums, new values of the model's other variables)."""
        mapping = [
            *zip(self.others, others),
            *zip(self.trainable, trainable),
            *zip(self.updates.variables, moments),
        ]
        remat = remat_scope(self.config.remat)
        with keras.StatelessScope(mapping) as scope, remat:
            sums = stacked(*self.model.loss_sums(batch, key, training=training))
            loss = self.updates.scaled(sums["loss"][0])
        return loss, sums, _values(scope, mapping[: len(others)])

    def _look_for_unused(self, trainable, *rest):
        """Sets `unused`, the places of weights that the loss ignores.

        jax gives them gradients of zero, which weight decay would not leave
        alone; TensorFlow gives none.
        """
        if self.unused is not None:
            return
        shapes = jax.tree.map(_shape, (trainable, *rest))
        traced = jax.make_jaxpr(lambda *a: self._loss(*a)[0])(*shapes).jaxpr
        needed = _needed(traced)
        inputs = traced.invars[: len(trainable)]
        self.unused = [i for i, v in enumerate(inputs) if v not in needed]
        if self.unused:
            paths = [self.trainable[i].path for i in self.unused]
            warnings.warn(
                "The loss does not depend on these trainable weights, which "
                f"stay as they are: {', '.join(paths)}",
                stacklevel=2,
            )


def _values(scope, mapping):
    """What a scope left in variables that it began with values for."""
    values = []
    for variable, old in mapping:
        new = scope.get_current_value(variable)
        values.append(old if new is None else new)
    return values


def _shape(array):
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _needed(jaxpr):
    """The variables that a jaxpr's outputs are computed from."""
    needed = {v for v in jaxpr.outvars if isinstance(v, Var)}
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed |= {v for v in equation.invars if isinstance(v, Var)}
    return needed
