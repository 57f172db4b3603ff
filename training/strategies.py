"""`--strategy NAME` -> a `tf.distribute.Strategy`, and nothing else."""

from pixmodels.training._settings import nearest

NAMES = ("one_device", "none", "mirrored", "mirrored:K")


def make(name):
    """The strategy of a name.

    Args:
        name: `one_device` (alias `none`): TensorFlow's default strategy.
            `mirrored`: one replica per GPU. `mirrored:K`: K logical CPU
            devices, for tests; TensorFlow must not have started yet.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: if the name is unknown, K is not a positive int, or
            TensorFlow has started with fewer CPU devices.
    """
    import tensorflow as tf

    if name in ("one_device", "none"):
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    kind, _, count = name.partition(":")
    if kind != "mirrored" or not count.isdigit() or int(count) < 1:
        raise ValueError(
            f"Expected a strategy: {', '.join(NAMES)}."
            f"{nearest(name, NAMES)} Received: strategy={name!r}"
        )
    _split_cpu(int(count))
    return tf.distribute.MirroredStrategy(
        [f"/cpu:{i}" for i in range(int(count))]
    )


def prepare(name):
    """Makes the logical devices of a strategy, before TensorFlow starts.

    Raises:
        ValueError: see `make`.
    """
    kind, _, count = name.partition(":")
    if kind == "mirrored" and count.isdigit() and int(count) > 0:
        _split_cpu(int(count))


def _split_cpu(count):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    present = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(present) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ValueError(
            f"Expected TensorFlow not to have started before {count} logical "
            f"CPU devices are made. Received: strategy='mirrored:{count}', "
            f"{len(present)} device(s)"
        ) from error
