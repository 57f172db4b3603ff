"""Runs the step definition on jax, data-parallel over a mesh of devices.

The same methods as the TensorFlow driver, the same checkpoints. Not here: the
step itself (`_jax_step`), the loop, checkpoints on disk, batches, progress,
what drivers of all backends share (`_driver`).
"""

import contextlib
import random

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh

from pixmodels.training._driver import Driver
from pixmodels.training._driver import check_backend
from pixmodels.training._driver import check_batch_size
from pixmodels.training._driver import check_trainable
from pixmodels.training._driver import loss_first
from pixmodels.training._driver import make_model
from pixmodels.training._jax_step import AXIS
from pixmodels.training._jax_step import JaxStep
from pixmodels.training._settings import nearest
from pixmodels.training.prefetcher import Placed
from pixmodels.training.schedules import schedule_of
from pixmodels.training.updates import Updates

STRATEGIES = ("one_device", "none", "mesh", "mesh:K")


class JaxDriver(Driver):
    """A model, its optimizer and the compiled steps that move them.

    One function under `jax.jit` computes `loss_sums`, gradients of
    `numerators["loss"]` and the update of a global batch, which is split over
    the mesh; weights are whole on every device. Every sum over the batch is a
    sum over all devices, so counts that differ from device to device are
    exact. Buffers of weights and moments are reused from step to step.

    Args:
        model, config, example_batch: as `TensorFlowDriver`.
        mesh: `jax.sharding.Mesh` with one axis, "data"; that of
            `config.strategy` by default.

    Raises:
        ValueError: if Keras runs on another backend, `batch_size` is not a
            multiple of the number of devices, or the model has no
            `loss_sums` or no trainable weight.
    """

    def __init__(self, model, config, example_batch, mesh=None):
        check_backend("jax", "jax")
        self.config = config
        mesh = mesh or make_mesh(config.strategy)
        self.num_replicas = mesh.size
        check_batch_size(config, self.num_replicas, "devices")
        self.schedule = schedule_of(config)
        self._compiled = set()
        self._model = build_model(model, config, example_batch)
        self.updates = Updates(self._model, config, self.schedule)
        self._step = JaxStep(self._model, self.updates, mesh)
        self._stale = False
        self._take()

    @property
    def model(self):
        """The Keras model, with its present weights."""
        self._give_back()
        return self._model

    def scope(self):
        """Context in which the model's variables may be assigned."""
        return self._assigning()

    def is_compiled(self, batch, training=True, steps=1):
        """False if a step on this batch would first have to compile.

        Arguments as `TensorFlowDriver`'s; several steps are single ones here.
        """
        return self._signature(batch, training) in self._compiled

    def put(self, batch):
        """Copies a batch to the devices; as `TensorFlowDriver`'s."""
        return Placed(batch, jax.device_put(batch, self._step.split))

    def train_step(self, batch, step):
        """One update; arguments and result as `TensorFlowDriver`'s."""
        self._compiled.add(self._signature(batch, True))
        batch = self._placed(batch)
        self._state, sums = self._step.train(
            self._state, batch, self._key(step)
        )
        # The variables still hold the buffers that the step took.
        self._stale = True
        return sums

    def train_steps(self, batches, step):
        """Several updates, one call of the device after the other.

        jax does not wait for a step before it sends the next one, so a loop on
        the device would save nothing. Arguments as `TensorFlowDriver`'s;
        returns an object for `fetch_all`.
        """
        return [
            self.train_step(batch, step + i) for i, batch in enumerate(batches)
        ]

    def eval_step(self, batch):
        """`loss_sums` of a batch with `training=False`, for `fetch`."""
        self._compiled.add(self._signature(batch, False))
        batch = self._placed(batch)
        return self._step.evaluate(self._state, batch, self._key(0))

    def fetch(self, handle):
        """Waits for a step; result as `TensorFlowDriver`'s."""
        arrays = jax.device_get(handle)
        names = loss_first(arrays)
        return {k: (float(arrays[k][0]), float(arrays[k][1])) for k in names}

    def fetch_all(self, handle):
        """Waits for the steps of `train_steps`; list of dicts as `fetch`."""
        return [self.fetch(one) for one in handle]

    @contextlib.contextmanager
    def averaged_weights(self):
        """Inside, the weights are their averages, see `Updates`."""
        self._give_back()
        with self.updates.averaged_weights():
            self._take()
            yield
        self._take()

    def state(self):
        """Everything that a step changes, as a dict of arrays."""
        self._give_back()
        return {
            key: np.array(variable.value)
            for key, variable in self._keyed().items()
        }

    @contextlib.contextmanager
    def _assigning(self):
        self._give_back()
        yield
        self._take()

    def _take(self):
        """The values of all variables -> the state on the devices."""
        values = [variable.value for variable in self._step.variables]
        # A copy: a step may overwrite the state's buffers, never another's.
        values = [jnp.array(value, copy=True) for value in values]
        self._state = jax.device_put(values, self._step.whole)
        self._stale = False

    def _give_back(self):
        """The state on the devices -> the values of all variables."""
        if self._stale:
            for variable, value in zip(self._step.variables, self._state):
                value = value.addressable_data(0)
                variable.assign(jnp.array(value, copy=True))
            self._stale = False

    def _placed(self, batch):
        if not isinstance(batch, Placed):
            batch = self.put(batch)
        return batch.on_device

    def _key(self, step):
        return np.array([self.config.seed, step], np.int32)


def make_mesh(name):
    """The mesh of a strategy's name.

    Args:
        name: `one_device` (alias `none`): the first device. `mesh`: all local
            devices. `mesh:K`: K logical CPU devices, for tests; jax must not
            have started yet.

    Returns:
        A `jax.sharding.Mesh` with the axis "data".

    Raises:
        ValueError: if the name is unknown, or jax has started with fewer CPU
            devices.
    """
    prepare(name)
    devices = jax.local_devices()
    if name in ("one_device", "none"):
        devices = devices[:1]
    elif name != "mesh":
        devices = jax.local_devices(backend="cpu")[: _count(name)]
    return Mesh(np.array(devices), (AXIS,))


def prepare(name):
    """Makes the logical devices of `mesh:K`, before jax starts.

    Raises:
        ValueError: see `make_mesh`.
    """
    if name in ("one_device", "none", "mesh"):
        return
    count = _count(name)
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        pass  # jax has started: maybe with enough devices.
    found = len(jax.local_devices(backend="cpu"))
    if found < count:
        raise ValueError(
            f"Expected jax not to have started before {count} logical CPU "
            f"devices are made. Received: strategy={name!r}, {found} device(s)"
        )


def _count(name):
    kind, _, count = name.partition(":")
    if kind != "mesh" or not count.isdigit() or int(count) < 1:
        raise ValueError(
            f"Expected a strategy of the jax backend: {', '.join(STRATEGIES)}."
            f"{nearest(name, STRATEGIES)} Received: strategy={name!r}"
        )
    return int(count)


def build_model(model, config, example_batch):
    """Makes the model under its seed and policy and builds all its weights."""
    # `keras.utils.set_random_seed` would import TensorFlow where it can.
    random.seed(config.seed)
    np.random.seed(config.seed)  # noqa: NPY002
    model = make_model(model, config)
    # Shapes alone build whatever is not built yet; nothing is computed.
    first = {
        name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype)
        for name, array in example_batch.items()
    }
    key = jax.ShapeDtypeStruct((2,), np.int32)
    with keras.StatelessScope():
        jax.eval_shape(
            lambda batch, key: model.loss_sums(batch, key, training=False),
            first,
            key,
        )
    check_trainable(model)
    return model
