"""What the drivers of all backends have in common.

Here: checks of what they are given, names of their variables, the learning
rate. Not here: steps (`tensorflow_driver`, `jax_driver`), which of them runs
(`drivers`).
"""

import keras

from pixmodels.training import variables as variables_lib
from pixmodels.training.precision import dtype_policy
from pixmodels.training.team import Team


class Driver:
    """Base of the drivers: owns a model and moves it.

    A subclass sets `config` (`TrainConfig`), `schedule`, `updates`
    (`Updates`) and `_model`, and defines `scope`, the steps and `state`.

    Attributes:
        team: the `Team` of processes that train the model; one alone here.
    """

    team = Team()

    @property
    def model(self):
        """The Keras model, with its present weights."""
        return self._model

    def learning_rate(self, step):
        """The learning rate of update number `step`, as a float."""
        return float(self.schedule(step))

    def load_state(self, arrays, what="checkpoint"):
        """Takes back what `state` gave, in this driver or another.

        Raises:
            ValueError: if an array is missing, unexpected or misshapen; all
                are listed, and nothing is changed.
        """
        keyed = self._keyed()
        with self.scope():
            variables_lib.assign_all(
                list(keyed.values()), list(keyed), arrays, what
            )

    def _keyed(self):
        """dict from a stable key to each variable that a step changes."""
        model = self._model
        keys = variables_lib.variable_keys(model.variables, model.name)
        keyed = {f"model/{k}": v for k, v in zip(keys, model.variables)}
        return keyed | self.updates.keyed()

    @staticmethod
    def _signature(batch, training):
        shapes = [(k, a.shape, str(a.dtype)) for k, a in sorted(batch.items())]
        return training, tuple(shapes)


def check_backend(backend, driver):
    """Raises ValueError unless Keras runs on a backend.

    Args:
        backend: its name for Keras.
        driver: the driver's name in words.
    """
    if keras.backend.backend() != backend:
        raise ValueError(
            f"Expected Keras on the {backend} backend for the {driver} "
            f"driver; set KERAS_BACKEND={backend}. "
            f"Received: backend={keras.backend.backend()!r}"
        )


def check_batch_size(config, count, noun):
    """Raises ValueError unless a batch divides over devices and parts.

    Args:
        config: `TrainConfig`.
        count: int, devices.
        noun: str, what they are called.
    """
    parts = config.accumulate_steps
    if config.batch_size % (count * parts):
        each = f" times accumulate_steps, {parts}" if parts > 1 else ""
        raise ValueError(
            f"Expected batch_size to be a multiple of the number of {noun}, "
            f"{count}{each}. Received: batch_size={config.batch_size}"
        )


def make_model(model, config):
    """A model, or what a function makes under the config's dtype policy.

    Raises:
        ValueError: if it has no `loss_sums`.
    """
    if not isinstance(model, keras.Model):
        with dtype_policy(config.dtype):
            model = model()
    if not hasattr(model, "loss_sums"):
        raise ValueError(
            "Expected a model with a method loss_sums(batch, key, "
            f"training). Received: model={model!r}"
        )
    return model


def check_trainable(model):
    """Raises ValueError unless a built model has something to train."""
    if not model.trainable_variables:
        raise ValueError(
            "Expected a model with trainable weights. "
            f"Received: model={model!r}"
        )


def loss_first(names):
    """The names of metrics in order, "loss" in front."""
    return sorted(names, key=lambda name: (name != "loss", name))
