"""Ratios of times, measured side by side in one run.

Rounds are interleaved, so that a busy machine slows all candidates alike, and
each round gives one ratio; medians are printed with versions and threads.
"""

import dataclasses
import os
import platform
import statistics
import time


@dataclasses.dataclass(frozen=True)
class Timing:
    """One candidate.

    Attributes:
        name: what was measured.
        milliseconds: median over rounds.
        ratio: median over rounds of its time over the first candidate's.
        low, high: the smallest and largest of these ratios.
    """

    name: str
    milliseconds: float
    ratio: float
    low: float
    high: float


def measure(candidates, rounds, seconds=0.2):
    """Times functions in interleaved rounds.

    Args:
        candidates: dict from name to a function without arguments that
            returns when its work is done; the first is the yardstick.
        rounds: int.
        seconds: each candidate is called in a round until this time is up,
            at least once.

    Returns:
        List of `Timing`, in the order of `candidates`.
    """
    times = {name: [] for name in candidates}
    for function in candidates.values():
        function()  # compiles
    for number in range(rounds):
        for name in turns(candidates, number):
            times[name].append(seconds_of(candidates[name], seconds))
    first = times[next(iter(candidates))]
    timings = []
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, first)]
        timings.append(
            Timing(
                name,
                1e3 * statistics.median(values),
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
        )
    return timings


def turns(names, number):
    """The names, as a list, in the order of a round: each begins with another.

    Args:
        names: iterable of str.
        number: int, which round.
    """
    names = list(names)
    turn = number % len(names)
    return names[turn:] + names[:turn]


def step(config, rounds):
    """Prints the time of a compiled training step over that of a graph step.

    Args:
        config: `ExperimentConfig`; one device is used.
        rounds: int.
    """
    from pixmodels.training import experiment
    from pixmodels.training.pipeline import Pipeline
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    config = experiment.resolve(config)
    source = experiment.build_sources(config, ("train",))["train"]
    train = dataclasses.replace(config.train, strategy="one_device")
    pipeline = Pipeline(
        source, train.batch_size, train.seed, config.data.buckets
    )
    batch = pipeline.batch(0)

    def candidate(jit_compile):
        driver = TensorFlowDriver(
            lambda: experiment.build_model(config),
            dataclasses.replace(train, jit_compile=jit_compile),
            batch,
        )
        return lambda: driver.fetch(driver.train_step(batch, 0))

    shape = "x".join(map(str, batch["pixels"].shape))
    head(f"training step of {config.name}, pixels {shape}")
    candidates = {"graph": candidate(False), "XLA": candidate(True)}
    _show("step", measure(candidates, rounds))


def quicker(make, calls):
    """The quicker of graph and XLA.

    Args:
        make: function of `jit_compile` that gives a function without
            arguments, which is called once before its time is taken.
        calls: whose shortest time counts, int.

    Returns:
        (that function, "graph" or "XLA").
    """
    found = {}
    for mode in ("graph", "XLA"):
        call = make(mode == "XLA")
        call()
        seconds = min(seconds_of(call, 0) for _ in range(calls))
        found[mode] = (seconds, call)
    mode = min(found, key=lambda mode: found[mode][0])
    return found[mode][1], mode


def seconds_of(function, seconds=0.2):
    """Seconds of a call, the mean over as many as fit; at least one."""
    begin, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - begin < seconds:
        function()
        calls += 1
    return (time.perf_counter() - begin) / calls


def head(title):
    """Prints a title, and what the numbers below it depend on."""
    import keras
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    devices = [d.device_type for d in tf.config.list_physical_devices()]
    print(
        f"{title}\n"
        f"python {platform.python_version()}, keras {keras.__version__}, "
        f"tensorflow {tf.__version__}, {'+'.join(devices)}, "
        f"{len(os.sched_getaffinity(0))} cores, intra-op threads "
        f"{threads or 'as many as cores'}"
    )


def _show(label, timings):
    for timing in timings:
        print(
            f"{label} {timing.name:24} {timing.milliseconds:9.2f} ms  "
            f"x{timing.ratio:.2f} [{timing.low:.2f}..{timing.high:.2f}] "
            f"of {timings[0].name}",
            flush=True,
        )
