"""Figures of runs: the curves of one, the losses of several.

Lines of histories in, matplotlib figures out. Not here: where they come from
(`_runs`), when they are drawn (`_curves`).
"""

import itertools
import math

from pixmodels.renderers._libraries import load
from pixmodels.training.workdir import NOT_METRICS
from pixmodels.training.workdir import TIMES

# What stands in a panel of its own, in this order, and its name there.
_PANELS = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
    "patches_per_s": "patches / s",
    "examples_per_s": "examples / s",
}
_OWN = {*NOT_METRICS, *TIMES}
_STYLES = ("-", "--", ":", "-.")
_COLORS = 10


def curves(lines, title=""):
    """The curves of one run.

    Args:
        lines: list of dict, as `workdir.History.read` gives them.
        title: str above the panels.

    Returns:
        `matplotlib.figure.Figure`: panels for the loss, for each further
        metric of training or evaluation, for the learning rate and for the
        throughput, over steps.
    """
    names = _panels(lines)
    columns = min(2, len(names)) or 1
    rows = max(1, -(-len(names) // columns))
    figure = load("matplotlib.figure").Figure(
        figsize=(4.5 * columns, 2.6 * rows), dpi=100, layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, name in itertools.zip_longest(grid, names):
        if name is None:
            axes.set_axis_off()
            continue
        for split, style in (("train", "-"), ("eval", "o-")):
            steps, values = series(lines, name, split)
            if steps:
                axes.plot(steps, values, style, label=split, markersize=3)
        _finish(axes, _PANELS.get(name, name.replace("_", " ")))
        if name == "loss" and len(axes.lines) > 1:
            axes.legend(frameon=False)
    figure.suptitle(title)
    return figure


def compare(runs):
    """The losses of several runs.

    Args:
        runs: list of (name, kind, lines); runs of one kind share a row of
            panels, as losses of different kinds are no measure of each other.

    Returns:
        `matplotlib.figure.Figure`: a row for each kind with the loss in
        training and the loss in evaluation, over steps.
    """
    kinds = list(dict.fromkeys(kind for _, kind, _ in runs))
    figure = load("matplotlib.figure").Figure(
        figsize=(11, 3.4 * max(1, len(kinds))), dpi=100, layout="constrained"
    )
    grid = figure.subplots(max(1, len(kinds)), 2, squeeze=False)
    for row, kind in zip(grid, kinds):
        mine = [(name, lines) for name, k, lines in runs if k == kind]
        for axes, split in zip(row, ("train", "eval")):
            for i, (name, lines) in enumerate(mine):
                steps, values = series(lines, "loss", split)
                style = _STYLES[i // _COLORS % len(_STYLES)]
                axes.plot(
                    steps,
                    values,
                    style,
                    color=f"C{i % _COLORS}",
                    label=name,
                    # A single evaluation is a point, which a line is not.
                    marker="o" if len(steps) < 20 else None,
                    markersize=3,
                )
            words = "training" if split == "train" else "evaluation"
            _finish(axes, f"{kind}: loss in {words}")
        row[0].legend(
            frameon=False, fontsize="small", ncols=1 + (len(mine) > 8)
        )
    return figure


def series(lines, name, split):
    """(steps, values) of a metric; nulls and foreign values are left out."""
    pairs = [
        (line["step"], line[name])
        for line in lines
        if line.get("split") == split and _is_number(line.get(name))
    ]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _panels(lines):
    """Names of the metrics that there are, those of `_PANELS` in order."""
    found = dict.fromkeys(key for line in lines for key in line)
    if "patches_per_s" in found:
        found.pop("examples_per_s", None)
    others = [n for n in found if n not in _PANELS and n not in _OWN]
    first, *rest = _PANELS
    return [name for name in (first, *others, *rest) if name in found]


def _finish(axes, title):
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("step", fontsize="small")
    axes.tick_params(labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    values = [y for line in axes.lines for y in line.get_ydata()]
    # A loss that falls to a hundredth is a straight line on a plain scale.
    if "loss" in title and values and 0 < 20 * min(values) < max(values):
        axes.set_yscale("log")
    if "/ s" in title:
        axes.set_ylim(bottom=0)


def _is_number(value):
    return isinstance(value, int | float) and math.isfinite(value)
