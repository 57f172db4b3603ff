"""Masked pre-training on long pages with one mixer after the other.

Here: pages of text, interleaved training, table and picture of the loss
curves. Not here: the step and its process (_step_worker.py), speed of single
layers (benchmarks.py)."""

import json
import pathlib
import statistics
import tempfile

import numpy as np

from pixmodels.renderers import CairoRenderer
from pixmodels.training import _renderer_benchmark
from pixmodels.training._step_benchmark import Process

_SIDE = 16
_SMOOTH = 20  # Steps of the moving mean that is drawn.
_EACH = 5  # Steps before the next mixer has its turn.


def run(
    paths,
    *,
    mixers,
    output,
    side=64,
    pages=64,
    steps=200,
    batch=1,
    threads=2,
    learning_rate=1e-3,
    seed=42,
):
    """Trains the same autoencoder with each mixer on the same pages.

    Pages hold running text, as many lines as rows of patches; a quarter of
    the patches is hidden, the same in every run. Each mixer trains in a
    process of its own; they take turns, so that step times are comparable,
    and the largest resident set of a process is its peak memory.

    Args:
        paths: text files or folders of them, as `benchmark renderer` takes.
        mixers: dict from name to options.
        output: folder; gets `losses.json` and `losses.png`.
        side: rows and columns of patches of a page.
        pages: number of pages.
        steps: int, of every mixer.
        batch: pages of a step.
        threads: of each process.
        learning_rate: its peak, after a tenth of the steps.
        seed: int.

    Raises:
        ValueError: too little text.
    """
    output = pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "engine": "pages",
            "size": "page",
            "batch": batch,
            "steps": steps,
            "threads": threads,
            "learning_rate": learning_rate,
            "seed": seed,
            **_draw(paths, pages, side, pathlib.Path(folder)),
        }
        print(
            f"masked pre-training, {pages} pages of {side} x {side} patches, "
            f"batch {batch}, {steps} steps, {threads} threads",
            flush=True,
        )
        specs = {
            name: {**spec, "attention": name, "options": options}
            for name, options in mixers.items()
        }
        found = _train(specs, steps)
    _show(found)
    (output / "losses.json").write_text(json.dumps(found, indent=1) + "\n")
    _plot(found, output / "losses.png", side)
    print(f"{output / 'losses.png'}, {output / 'losses.json'}")


def _draw(paths, count, side, folder):
    """Pages as files; a page takes as much of the text as fits."""
    renderer = CairoRenderer(max_patches=side * side)
    words = " ".join(_renderer_benchmark.texts_of(paths)).split()
    # Words of one page, at the most: a patch holds some two letters.
    most = side * side
    start, drawn = 0, []
    while len(drawn) < count:
        text = " ".join(words[start : start + most])
        page = renderer.page(text, rows=side, columns=side)
        if page.truncated[0] is None:
            raise ValueError(
                f"expected text for {count} pages of {side} x {side} patches. "
                f"Received: text for {len(drawn)}"
            )
        drawn.append(page)
        left = page.truncated[0][0].text
        start += most - len(left.split())
    pages = np.concatenate([page.pixels for page in drawn])
    patches = np.concatenate([page.num_patches for page in drawn])
    np.save(folder / "pages.npy", pages)
    np.save(folder / "patches.npy", patches)
    return {
        "pages": str(folder / "pages.npy"),
        "num_patches": str(folder / "patches.npy"),
    }


def _train(specs, steps):
    """dict from mixer to its losses, seconds of a step, peak bytes."""
    processes = {}
    found = {
        name: {"losses": [], "seconds": [], "peak": 0, "options": s["options"]}
        for name, s in specs.items()
    }
    try:
        for name, spec in specs.items():
            processes[name] = Process(spec)
        for _ in range(0, steps - 1, _EACH):
            for name, process in processes.items():
                answer = process.ask(0, _EACH)
                mine = found[name]
                if not mine["losses"]:
                    mine["losses"].append(process.first_loss)
                mine["losses"] += answer["losses"]
                mine["seconds"].append(answer["seconds"])
                mine["peak"] = answer["peak"]
    finally:
        for process in processes.values():
            process.close()
    return found


def _show(found):
    first = next(iter(found))
    print(f"{'':20} {'loss at the end':>15} {'ms a step':>10} {'MiB':>7}")
    for name, mine in found.items():
        ratios = [
            a / b for a, b in zip(mine["seconds"], found[first]["seconds"])
        ]
        print(
            f"{name:20} {statistics.mean(mine['losses'][-_SMOOTH:]):15.4f} "
            f"{statistics.median(mine['seconds']) * 1e3:10.0f} "
            f"{mine['peak'] / 2**20:7.0f}  "
            f"x{statistics.median(ratios):.2f} of {first}'s time"
        )


def _plot(found, path, side):
    from pixmodels.renderers._libraries import load

    figure = load("matplotlib.figure").Figure(figsize=(7, 4), dpi=144)
    axes = figure.subplots()
    for name, mine in found.items():
        losses = np.array(mine["losses"])
        size = min(_SMOOTH, len(losses))
        smooth = np.convolve(losses, np.full(size, 1 / size), "valid")
        axes.plot(np.arange(size, len(losses) + 1), smooth, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel(f"loss, mean of {_SMOOTH} steps")
    axes.set_title(f"Masked pages of {side} x {side} patches")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight")
