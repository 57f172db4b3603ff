"""`pixmodels compile-check`: steps before the TPU compiler, without a TPU.

libtpu compiles for chips that are only described. Here: what is compiled, in
processes of their own, and the report. Not here: the compilation of one step
(`_compile_worker`).
"""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training._own_data import image_shape
from pixmodels.training._task_data import row_shape

_TOPOLOGY = re.compile(r"v\d+\w*:\d+x\d+(x\d+)?")
_WORKER = "pixmodels.training._compile_worker"
# Of the block around each mechanism: one example, 4,096 patches.
_BLOCK = {
    "rows": 1,
    "length": 4096,
    "width": 128,
    "heads": 2,
    "dtype": "mixed_bfloat16",
}
_UNPROVEN = (
    "Not proven without hardware: the all-reduce and the update that "
    "TPUStrategy puts around the TensorFlow driver's step."
)


def _print(line):
    print(line, flush=True)


class CompileCheck:
    """Compiles training steps for a TPU topology and reports on them.

    Args:
        topology: chips, as `v5e:2x4`.
        say: function that prints a line.

    Raises:
        ImportError: if libtpu or jax is not installed.
        ValueError: if libtpu does not know the topology.
    """

    def __init__(self, topology, say=_print):
        _need("libtpu", "jax")
        if not _TOPOLOGY.fullmatch(topology):
            raise ValueError(
                "Expected a topology such as v5e:2x4: a kind of chip, a colon, "
                f"its rows and columns. Received: topology={topology!r}"
            )
        self.topology = topology
        self.say = say
        (found,) = self._work("chips")
        self.chips, self.kind = found["chips"], found["kind"]
        self.memory = found["memory"]
        self.say(
            f"{topology}: {self.chips} chips, {self.kind}, "
            f"{_size(self.memory)} of memory each\n{_versions()}"
        )

    def steps(self, config, *, drivers=("jax", "tensorflow"), largest=True):
        """Compiles a config's training step by each driver.

        Args:
            config: `ExperimentConfig`; `train.batch_size` is that of all
                chips together.
            drivers: which ones.
            largest: also look for the largest batch of a chip that fits, with
                the jax driver: two or three compilations more.

        Returns:
            dict from "jax", "tensorflow" and "largest" to what was found.

        Raises:
            ValueError: if the batch does not divide over the chips, or the
                task is not pre-training.
        """
        config = self._checked(config)
        found = {}
        if "jax" in drivers:
            found["jax"] = self._jax(config)
            self._show(
                f"jax driver, sharded step, batch {config.train.batch_size}",
                found["jax"],
            )
        if "tensorflow" in drivers:
            found["tensorflow"] = self._tensorflow(config)
            self._show(
                "TensorFlow driver, gradients of one replica, batch "
                f"{config.train.batch_size // self.chips}",
                found["tensorflow"],
            )
            self.say(_UNPROVEN)
        if largest:
            found["largest"] = self._largest(config, found.get("jax"))
        return found

    def mechanisms(self, names=()):
        """Compiles a block around each mechanism, forward and backward.

        Args:
            names: of mixers; all registered ones if empty.

        Returns:
            dict from name to what was found.
        """
        self.say(
            f"\none block of width {_BLOCK['width']} on {_BLOCK['length']:,} "
            "patches, forward and backward, one chip, "
            f"{_BLOCK['dtype']}\n"
            f"{'mechanism':16} {'compiles':9} {'GFLOP':>8} {'memory':>9}"
        )
        results = {}
        for found in self._work("mechanisms", names=list(names), **_BLOCK):
            name = found.pop("name")
            results[name] = found
            if "flops" in found:
                self.say(
                    f"{name:16} {'yes':9} {found['flops'] / 1e9:8.2f} "
                    f"{_size(_memory(found)):>9}{_flaws(found)}"
                )
            else:
                self.say(f"{name:16} {'no':9} {found['reason']}")
        return results

    def _checked(self, config):
        model = config.model.filled(None)
        if config.task != "pretrain":
            raise ValueError(
                "Expected a config of task 'pretrain'. "
                f"Received: task={config.task!r}"
            )
        if not model.image_shape:
            shape = row_shape(config)
            if not model.reads_text:
                shape = image_shape(config.data.options.get("size"), config)
            model = dataclasses.replace(model, image_shape=shape)
        train = config.train
        rows = self.chips * train.accumulate_steps
        if train.batch_size % rows:
            raise ValueError(
                f"Expected a batch that is a multiple of {rows}: chips times "
                "train.accumulate_steps. "
                f"Received: train.batch_size={train.batch_size}"
            )
        return dataclasses.replace(config, model=model)

    def _jax(self, config):
        config = _with_train(config, strategy="one_device")
        (found,) = self._work("jax", config=_settings.to_dict(config))
        return found

    def _tensorflow(self, config):
        share = config.train.batch_size // self.chips
        config = _with_train(config, strategy="one_device", batch_size=share)
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "step.mlir")
            (made,) = self._work(
                "tensorflow", config=_settings.to_dict(config), file=file
            )
            (found,) = self._work("stablehlo", file=file)
        return made | found

    def _largest(self, config, first):
        """Memory grows with the batch: two points, a line, a proof."""
        parts = config.train.accumulate_steps
        tried = {}

        def needed(share):
            changed = _with_train(config, batch_size=share * self.chips)
            tried[share] = found = self._jax(changed)
            return _memory(found)

        share = config.train.batch_size // self.chips
        if first is None:
            needed(share)
        else:
            tried[share] = first
        fits = "flops" in tried[share]
        other = 2 * share if fits else max(share // 2 // parts, 1) * parts
        used, more, a, b = _memory(tried[share]), needed(other), share, other
        if None in (used, more) or used == more:
            self.say("largest batch of a chip: not found")
            return {"tried": tried}
        slope = (more - used) / (b - a)
        guess = a + (self.memory - used) / slope
        guess = max(int(guess / parts), 1) * parts
        while guess not in tried and guess > 0:
            needed(guess)
            if "flops" not in tried[guess]:
                guess -= max(guess // 20 // parts, 1) * parts
        best = max((n for n in tried if "flops" in tried[n]), default=None)
        least = min((n for n in tried if "flops" not in tried[n]), default=None)
        self.say(
            f"\nlargest batch of a chip that fits (jax driver): {best}, of all "
            f"chips {best and best * self.chips}; tried: "
            + ", ".join(f"{n}: {_verdict(tried[n])}" for n in sorted(tried))
        )
        return {"best": best, "least_that_does_not": least, "tried": tried}

    def _show(self, title, found):
        self.say(f"\n{title}")
        if "flops" not in found:
            self.say(f"  does not compile: {found['reason']}")
            return
        collectives = ", ".join(
            f"{count} {name} of {_size(size)}"
            for name, (count, size) in sorted(found["collectives"].items())
        )
        lines = {
            "compiled in": f"{found['seconds']:.0f} s "
            f"({found['processor_seconds']:.0f} s of processor time)",
            "operations": f"{found['flops'] / 1e12:.2f} TFLOP a step and chip",
            "memory traffic": f"{_size(found['bytes'])} a step and chip",
            "memory of a chip": f"{_size(_memory(found))} of "
            f"{_size(self.memory)}",
            "  arguments": _size(found["arguments"]),
            "  outputs": f"{_size(found['outputs'])}, of which "
            f"{_size(found['aliased'])} in the arguments' place",
            "  temporaries": _size(found["temporaries"]),
            "  program": _size(found["code"]),
            "collectives": collectives or "none",
            "dynamic shapes": found["dynamic"] or "none",
            "float64": found["float64"] or "none",
        }
        for name, value in lines.items():
            self.say(f"  {name:18} {value}")

    def _work(self, task, **spec):
        """Runs a task in a process of its own: its answers, one by one."""
        spec = json.dumps({"task": task, "topology": self.topology, **spec})
        backend = "tensorflow" if task == "tensorflow" else "jax"
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                [sys.executable, "-m", _WORKER, spec],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "KERAS_BACKEND": backend},
            ) as process,
        ):
            for line in process.stdout:
                answer = json.loads(line)
                if "error" in answer:
                    raise ValueError(answer["error"])
                yield answer
            if process.wait():
                errors.seek(0)
                raise RuntimeError(
                    f"compiling {task!r} failed with exit status "
                    f"{process.returncode}:\n{errors.read()[-4000:]}"
                )


def run(
    topology,
    config=None,
    *,
    drivers=("jax", "tensorflow"),
    mechanisms=None,
    largest=True,
    say=_print,
):
    """The command: steps of a config, mechanisms, or both.

    Args:
        topology, say: as `CompileCheck`.
        config: `ExperimentConfig`, or None for mechanisms alone.
        mechanisms: whether to compile these.
        drivers, largest: as `CompileCheck.steps`.
        mechanisms: names of mixers, or None.
    """
    check = CompileCheck(topology, say)
    if config is not None:
        check.steps(config, drivers=drivers, largest=largest)
    if mechanisms:
        check.mechanisms(mechanisms)


def _need(*packages):
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise ImportError(
                f"expected the package {name!r}, which compile-check needs: "
                "pip install 'pixmodels[tpu-compile]'. Received: none"
            )


def _versions():
    from importlib import metadata

    names = ("libtpu", "jax", "keras", "tensorflow")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _with_train(config, **changes):
    train = dataclasses.replace(config.train, **changes)
    return dataclasses.replace(config, train=train)


def _memory(found):
    """Bytes that a chip needs, or None where that is not known."""
    if "flops" not in found:
        return found.get("needed")
    return (
        found["arguments"]
        + found["outputs"]
        - found["aliased"]
        + found["temporaries"]
        + found["code"]
    )


def _verdict(found):
    memory = _memory(found)
    words = "fits" if "flops" in found else "does not fit"
    return words if memory is None else f"{words} ({_size(memory)})"


def _flaws(found):
    words = [
        f"  {found[key]} {name}"
        for key, name in (("dynamic", "dynamic shapes"), ("float64", "float64"))
        if found[key]
    ]
    return "".join(words)


def _size(number):
    """Bytes in words."""
    if number is None:
        return "unknown"
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.2f} {name}"
    return f"{number:.0f} B"
