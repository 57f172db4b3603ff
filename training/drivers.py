"""Which driver runs the steps: the one for the backend that Keras runs on.

Not here: the drivers (`tensorflow_driver`, `jax_driver`), which load their
framework when they are imported.
"""


def make(model, config, example_batch, strategy=None):
    """The driver of the Keras backend.

    Args:
        model, config, example_batch: as `TensorFlowDriver` and `JaxDriver`.
        strategy: `tf.distribute.Strategy` or `jax.sharding.Mesh`; that of
            `config.strategy` by default.

    Raises:
        ValueError: if there is no driver for the backend; see the drivers.
    """
    if _backend() == "jax":
        from pixmodels.training.jax_driver import JaxDriver as Driver
    else:
        from pixmodels.training.tensorflow_driver import (
            TensorFlowDriver as Driver,
        )
    return Driver(model, config, example_batch, strategy)


def prepare(name, timeout=None):
    """Makes the devices of a strategy, before its framework starts.

    Args:
        name: of the strategy, as in `TrainConfig`.
        timeout: seconds to wait for other processes; TensorFlow's default.

    Returns:
        bool, whether this process writes the files of the run.

    Raises:
        ConnectionError, ValueError: see `strategies.prepare` and
            `jax_driver.prepare`.
    """
    if _backend() == "jax":
        from pixmodels.training import jax_driver

        jax_driver.prepare(name)
        return True
    from pixmodels.training import strategies

    options = [] if timeout is None else [timeout]
    return strategies.prepare(name, *options)


def load():
    """Imports the framework of the backend, TensorFlow without its chatter.

    Raises:
        ImportError: if jax is wanted and not installed.
    """
    if _backend() == "jax":
        import jax  # noqa: F401
    else:
        from pixmodels.training import _quiet

        _quiet.load_tensorflow()


def _backend():
    import keras

    name = keras.backend.backend()
    if name not in ("tensorflow", "jax"):
        raise ValueError(
            "Expected Keras on the tensorflow or the jax backend: set "
            f"KERAS_BACKEND. Received: backend={name!r}"
        )
    return name
