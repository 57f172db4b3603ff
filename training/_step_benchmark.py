"""Speed and memory of training steps, beside torch with transformers.

Here: who is compared with whom, interleaved rounds of processes, ratios. Not
here: how a step is made (_step_worker.py), other benchmarks (benchmarks.py)."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

from pixmodels.training import benchmarks

_PATCHES = 529  # Of PIXEL's window.
_SENTENCE = 50  # Patches of a sentence, end patch included.
_SECONDS = 1.0  # In a round, at least one step.


def run(*, size="base", batches=(1, 16), rounds=7, threads=2):
    """Prints times, ratios and peak memory of training steps.

    Pre-training: masked reconstruction in a full window of 529 patches, ours
    beside `transformers`' ViTMAE (which takes square images: 23 x 23 patches)
    with torch's AdamW, for-loop (torch's default on CPU) and fused.
    Fine-tuning: a sentence of 50 patches, as our trainer trims it, beside the
    same model padded to 529 patches, as PIXEL does, and transformers' ViT of
    529 patches. Every candidate is a process of its own; each round asks one
    after the other. Peak memory is the process's largest resident set.

    Args:
        size: "base" (PIXEL's), "small" or "tiny".
        batches: batch sizes of fine-tuning; pre-training has the smallest.
        rounds: int.
        threads: of each process.
    """
    from pixmodels.training._step_worker import SIZES

    if size not in SIZES:
        raise ValueError(
            f"Expected one of {list(SIZES)}. Received: --size {size!r}"
        )
    _head(size, rounds, threads)
    common = {"size": size, "threads": threads, "table": _PATCHES}
    peers = _has_peers()
    for batch in sorted(batches)[:1]:
        title = f"pre-training, {_PATCHES} patches, batch {batch}"
        spec = {**common, "task": "pretrain", "batch": batch}
        _compare(title, _pretraining(spec, peers), rounds)
    for batch in batches:
        title = f"fine-tuning, {_SENTENCE} patches, batch {batch}"
        spec = {**common, "task": "classify", "batch": batch}
        _compare(title, _fine_tuning(spec, peers), rounds)


def _pretraining(spec, peers):
    spec = {**spec, "patches": _PATCHES}
    ours = {**spec, "engine": "pixmodels"}
    found = {
        "pixmodels": {**ours, "jit_compile": True},
        "pixmodels, graph": {**ours, "jit_compile": False},
    }
    if peers:
        peer = {**spec, "engine": "transformers"}
        found["torch + transformers"] = {**peer, "fused": False}
        found["  with fused AdamW"] = {**peer, "fused": True}
    return found


def _fine_tuning(spec, peers):
    ours = {
        **spec,
        "engine": "pixmodels",
        "attended": _SENTENCE,
        "jit_compile": True,
    }
    found = {
        "pixmodels": {**ours, "patches": _SENTENCE},
        "padded to 529": {**ours, "patches": _PATCHES},
    }
    if peers:
        found["torch + transformers"] = {
            **spec,
            "engine": "transformers",
            "patches": _PATCHES,
            "fused": False,
        }
    return found


class Process:
    """A candidate in its own process, idle until asked.

    Args:
        spec: dict, as `_step_worker` takes it.
    """

    def __init__(self, spec):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(spec["threads"]),
            # Threads that wait must not take a core from who is measured.
            "OMP_WAIT_POLICY": "passive",
        }
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pixmodels.training._step_worker",
                json.dumps(spec),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment,
        )
        self._process_is_ready = False

    def ask(self, seconds=_SECONDS, steps=1):
        """Runs steps for so long, and so many, at least.

        Returns:
            dict: `seconds` of a step, `losses` of these steps, `peak` bytes.
        """
        if not self._process_is_ready:
            self.first_loss = self._read()["losses"][0]
            self._process_is_ready = True
        self._process.stdin.write(f"{seconds} {steps}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            raise RuntimeError(
                "expected an answer of the measured process. Received: its "
                f"end, after {self._said.read()[-2000:]}"
            )
        return json.loads(line)


def _compare(title, specs, rounds):
    processes = {}
    try:
        for name, spec in specs.items():
            processes[name] = Process(spec)
        times = {name: [] for name in specs}
        peaks = dict.fromkeys(specs, 0)
        for number in range(rounds):
            for name in benchmarks.turns(specs, number):
                answer = processes[name].ask()
                times[name].append(answer["seconds"])
                peaks[name] = max(peaks[name], answer["peak"])
    finally:
        for process in processes.values():
            process.close()
    _show(title, times, peaks)


def _show(title, times, peaks):
    print(title)
    first = next(iter(times))
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, times[first])]
        ratio = (
            ""
            if name == first
            else (
                f"x{statistics.median(ratios):.2f} "
                f"[{min(ratios):.2f}..{max(ratios):.2f}]"
            )
        )
        print(
            f"  {name:24}{statistics.median(values) * 1e3:9.0f} ms "
            f"{peaks[name] / 2**20:7.0f} MiB  {ratio}",
            flush=True,
        )


def _has_peers():
    missing = [
        name
        for name in ("torch", "transformers")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        print(
            f"without {' and '.join(missing)}: ours alone "
            "(pip install 'pixmodels[parity]')"
        )
    return not missing


def _head(size, rounds, threads):
    names = ("keras", "tensorflow", "torch", "transformers")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(
        f"training step, float32, size {size}, {rounds} interleaved rounds, "
        f"{threads} threads each\npython {platform.python_version()}, "
        f"{', '.join(versions)}; times over pixmodels'",
        flush=True,
    )
