"""Our mixers beside the same mechanism of packages for torch.

Here: whom to compare with whom, and in which sizes. Not here: how their layers
are made (_mixer_engines.py), our mixers among themselves
(_attention_benchmark.py)."""

import importlib.metadata
import importlib.util
import statistics

from pixmodels.training import _step_benchmark
from pixmodels.training import benchmarks

# Mixer: (package, module, options of both sides).
PEERS = {
    "softmax": ("torch", "torch", {}),
    "local": ("local-attention", "local_attention", {"window": 128}),
    "sliding_window": ("local-attention", "local_attention", {"window": 64}),
    "linear": (
        "linear-attention-transformer",
        "linear_attention_transformer",
        {},
    ),
    "performer": ("performer-pytorch", "performer_pytorch", {}),
    "linformer": ("linformer", "linformer", {"rank": 256}),
    "nystrom": (
        "nystrom-attention",
        "nystrom_attention",
        {"num_landmarks": 64},
    ),
    "sinkhorn": (
        "sinkhorn-transformer",
        "sinkhorn_transformer",
        {"block": 64, "iterations": 7},
    ),
    "reformer": (
        "reformer-pytorch",
        "reformer_pytorch",
        {"chunk": 64, "num_hashes": 4},
    ),
    "longformer": ("transformers", "transformers", {"window": 128}),
    "bigbird": ("transformers", "transformers", {"block": 64, "num_random": 3}),
}


def run(names, lengths, *, rounds=7, heads=4, head_dim=64, batch=2, threads=1):
    """Prints how many times faster ours is, forward and backward together.

    The whole layer with its projections, float32, gradients of the input and
    of all weights. Each side is a process with so many threads; the two take
    turns. Options that decide the work are equal; the rest are each side's
    defaults.

    Args:
        names: mixers; those without a peer are left out.
        lengths: list of N.
        rounds: int.
        heads, head_dim, batch: A, E and B.
        threads: of each process.

    Raises:
        ValueError: if no package of a named mixer is installed.
    """
    chosen = [name for name in names if name in PEERS]
    missing = {
        PEERS[name][0]
        for name in chosen
        if importlib.util.find_spec(PEERS[name][1]) is None
    }
    chosen = [name for name in chosen if PEERS[name][0] not in missing]
    if not chosen:
        raise ValueError(
            f"Expected a mixer with a package to compare with: {list(PEERS)}, "
            f"and the package (pip install 'pixmodels[parity]'). Received: "
            f"{', '.join(names)}; not installed: {sorted(missing)}"
        )
    if missing:
        print(f"not installed, left out: {', '.join(sorted(missing))}")
    packages = ["keras", "tensorflow", "torch"]
    packages += sorted({PEERS[name][0] for name in chosen} - {"torch"})
    versions = (f"{p} {importlib.metadata.version(p)}" for p in packages)
    print(
        f"one layer, forward + backward, float32, B={batch} A={heads} "
        f"E={head_dim}, {rounds} interleaved rounds, {threads} threads\n"
        f"{', '.join(versions)}"
    )
    for length in lengths:
        for name in chosen:
            spec = {
                "mixer": name,
                "length": length,
                "shape": (batch, heads, head_dim),
                "threads": threads,
                "options": PEERS[name][2],
            }
            _show(name, length, _compare(spec, rounds), spec["options"])


def _compare(spec, rounds):
    """Two lists of seconds: ours, theirs."""
    sides = [{**spec, "engine": engine} for engine in ("mixer", "peer-mixer")]
    processes = []
    try:
        processes = [_step_benchmark.Process(side) for side in sides]
        times = [[], []]
        for number in range(rounds):
            for side in benchmarks.turns(range(2), number):
                times[side].append(processes[side].ask(0.5)["seconds"])
    finally:
        for process in processes:
            process.close()
    return times


def _show(name, length, times, options):
    ratios = [theirs / ours for ours, theirs in zip(*times)]
    ours, theirs = (1e3 * statistics.median(side) for side in times)
    options = ", ".join(f"{key} {value}" for key, value in options.items())
    print(
        f"N={length:<6} {name:15} {ours:8.1f} ms  {PEERS[name][0]:29} "
        f"{theirs:8.1f} ms  x{statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}..{max(ratios):.2f}]  {options}",
        flush=True,
    )
