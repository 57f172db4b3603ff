"""`--strategy NAME` -> a `tf.distribute.Strategy`, and nothing else.

Not here: who the other processes are (`cluster`), the steps (the drivers).
"""

import faulthandler
import os
import sys

from pixmodels.training import cluster
from pixmodels.training._settings import nearest

NAMES = (
    "one_device",
    "one_device:DEVICE",
    "none",
    "mirrored",
    "mirrored:K",
    "multi_worker",
    "tpu",
    "tpu:NAME",
)
# Seconds in which TensorFlow connects processes that are all there.
_CONNECT = 120.0
# Strategies of which a process can have one: name -> strategy.
_made = {}


def make(name, timeout=300.0):
    """The strategy of a name.

    Args:
        name: `one_device` (alias `none`): TensorFlow's default strategy;
            `one_device:DEVICE`: that device, such as `gpu:1`.
            `mirrored`: one replica per GPU. `mirrored:K`: K logical CPU
            devices, for tests; TensorFlow must not have started yet.
            `multi_worker`: all GPUs, or else the CPU, of several processes,
            see `cluster.from_environment`; one such strategy per process,
            and TensorFlow must not have started yet. `tpu`: the TPU of this
            machine or of the environment variable TPU_NAME; `tpu:NAME`: a TPU
            by its name or `grpc://` address.
        timeout: seconds to wait for the other processes of `multi_worker`.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        TimeoutError: if a process of `multi_worker` does not come.
        ValueError: if the name is unknown, there is no such device or TPU, K
            is not a positive int, TensorFlow has started already, or the
            environment does not say who the processes are.
    """
    import tensorflow as tf

    kind, colon, rest = name.partition(":")
    if name in ("one_device", "none"):
        return tf.distribute.get_strategy()
    if kind == "one_device" and rest:
        return _one_device(rest)
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if kind == "mirrored" and rest.isdigit() and int(rest) > 0:
        _split_cpu(int(rest))
        return tf.distribute.MirroredStrategy(
            [f"/cpu:{i}" for i in range(int(rest))]
        )
    if name in _made:
        return _made[name]
    if name == "multi_worker":
        return _made.setdefault(name, _multi_worker(timeout))
    if kind == "tpu" and bool(colon) == bool(rest):
        tpu = rest or os.environ.get("TPU_NAME") or "local"
        return _made.setdefault(name, _tpu(tpu))
    raise ValueError(
        f"Expected a strategy: {', '.join(NAMES)}."
        f"{nearest(name, NAMES)} Received: strategy={name!r}"
    )


def prepare(name, timeout=300.0):
    """Does what must be done before TensorFlow starts.

    Makes the logical devices of `mirrored:K`, and the strategies that must
    come first: `make` returns them later.

    Returns:
        bool, whether this process is the one that writes and talks.

    Raises:
        TimeoutError: see `make`.
        ValueError: see `make`.
    """
    kind, _, count = name.partition(":")
    if kind == "mirrored" and count.isdigit() and int(count) > 0:
        _split_cpu(int(count))
    if kind == "tpu":
        make(name)
    if name == "multi_worker":
        make(name, timeout)
        return cluster.from_environment().index == 0
    return True


def _one_device(device):
    import tensorflow as tf

    known = [d.name for d in tf.config.list_logical_devices()]
    wanted = device.lower().removeprefix("/").removeprefix("device:")
    kind, _, number = wanted.partition(":")
    full = f"/device:{kind.upper()}:{number or 0}"
    if full not in known:
        raise ValueError(
            "Expected a device of this machine: "
            f"{', '.join(n.removeprefix('/device:').lower() for n in known)}. "
            f"Received: strategy='one_device:{device}'"
        )
    return tf.distribute.OneDeviceStrategy(full)


def _multi_worker(timeout):
    import tensorflow as tf

    found = cluster.from_environment()
    found.wait(timeout, lambda text: print(text, file=sys.stderr, flush=True))
    # All were there a moment ago. Should one die now, TensorFlow would wait
    # for an hour and let no other thread run.
    faulthandler.dump_traceback_later(_CONNECT, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(found.resolver())
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise ValueError(
            "Expected TensorFlow not to have started before the strategy of "
            "several processes is made. Received: strategy='multi_worker', "
            f"{error}"
        ) from error
    finally:
        faulthandler.cancel_dump_traceback_later()


def _tpu(name):
    import tensorflow as tf

    try:
        _check_reachable(name)
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # of many kinds, from several libraries
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"Expected a TPU at TPUClusterResolver({name!r}), with a build of "
            "TensorFlow for TPUs: pip install 'pixmodels[tpu]' on a machine "
            "with a TPU; without one, `pixmodels compile-check` compiles for "
            f"it. Received: strategy='tpu:{name}', TensorFlow "
            f"{tf.__version__}, {type(error).__name__}: {reason}"
        ) from error


def _check_reachable(name):
    # TensorFlow would wait for it for ever.
    if name.startswith("grpc://"):
        reason = cluster.refusal(name.removeprefix("grpc://"))
        if reason:
            raise ConnectionError(f"no answer: {reason}")


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
