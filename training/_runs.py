"""`pixmodels runs`: the runs below a folder, compared.

Here: reading folders, the table, what differs. Not here: the plot (`plots`),
how a run stands (`_run_state`).
"""

import csv
import json
import os
import statistics
import sys
from pathlib import Path

from pixmodels.training import _run_state
from pixmodels.training import _settings
from pixmodels.training import plots
from pixmodels.training import progress
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.workdir import MAY_DIFFER
from pixmodels.training.workdir import NOT_METRICS
from pixmodels.training.workdir import History

PLOT = "runs.png"
# Settings that have a column of their own, or change no result.
_SHOWN_ELSEWHERE = {"name", "model.kind", "model.attention", *MAY_DIFFER}
_SIGNS = {"config.json", "metrics.jsonl", "checkpoints"}
# Column -> (what it is in a row, how it is written).
_COLUMNS = {
    "run": ("run", str),
    "state": ("state", str),
    "kind": ("kind", str),
    "attention": ("attention", str),
    "parameters": ("parameters", "{:,}".format),
    "step": ("step", "{:,}".format),
    "of": ("steps", "{:,}".format),
    "loss": ("loss", "{:.4g}".format),
    "eval loss": ("eval_loss", "{:.4g}".format),
    "best": ("best_eval_loss", "{:.4g}".format),
    "patches/s": ("patches_per_s", "{:,.0f}".format),
    "examples/s": ("examples_per_s", "{:,.1f}".format),
    "MFU": ("mfu", "{:.1%}".format),
    "time": ("seconds", progress.duration_text),
}
_LONGEST = 28


def run(folder, *, sort="run", reverse=False, plot=None, form="table"):
    """Prints a comparison of the runs in a folder, and draws their losses.

    Args:
        folder: a folder with workdirs in it, at any depth, or one workdir.
        sort: key of a row (see `row`) by which runs are sorted.
        reverse: largest first.
        plot: file of the plot; `runs.png` in the folder by default, where
            form is "table".
        form: "table", "json" or "csv".

    Raises:
        ValueError: if there is no folder or no run in it, or no such key.
    """
    found, notes = find(folder)
    for note in notes:
        print(f"skipped {note}", file=sys.stderr)
    if not found:
        raise ValueError(
            f"Expected a folder with runs. Received: {str(folder)!r}, which "
            "has none"
        )
    rows = [row(one) for one in found]
    rows = _sorted(rows, sort, reverse)
    differing = differences({one["run"]: one["config"] for one in found})
    for one in rows:
        for key, values in differing.items():
            one[key] = values[one["run"]]
    if form == "json":
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif form == "csv":
        _print_csv(rows)
    else:
        print(_table(rows))
        print(_difference_table(rows, differing), end="")
    if plot is not None or form == "table":
        _plot(found, rows, plot, Path(folder) / PLOT)


def find(folder):
    """The runs in a folder.

    Returns:
        (runs, notes): runs is a list of dict with `run` (its path in the
        folder), `workdir`, `config` and `lines`; notes name the folders that
        look like runs and are none, and why.

    Raises:
        ValueError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"Expected a folder with runs. Received: {str(folder)!r}, which "
            "is no folder"
        )
    runs, notes = [], []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith("."))
        if not _SIGNS & {*folders, *files}:
            continue
        folders.clear()  # what is inside a run is its own
        path = Path(path)
        name = path.relative_to(folder).as_posix()
        name = folder.resolve().name if name == "." else name
        try:
            runs.append({"run": name, **_read(path)})
        except (OSError, ValueError) as error:
            notes.append(f"{name}: {error}")
    return runs, notes


def _read(path):
    if not (path / "config.json").is_file():
        raise ValueError("no config.json")
    config = _settings.load_json(path / "config.json")
    if not isinstance(config.get("train"), dict):
        raise ValueError("config.json is not that of a run")
    lines = [
        line
        for line in History(path).read()
        if isinstance(line, dict) and isinstance(line.get("step"), int)
    ]
    return {"workdir": path, "config": _filled(config), "lines": lines}


def _filled(config):
    """A config with defaults for the settings that are newer than it."""
    try:
        whole = _settings.from_dict(ExperimentConfig, config)
    except (TypeError, ValueError):
        return config  # of another version, or of a user's own making
    return {k: v for k, v in _settings.to_dict(whole).items() if k in config}


def row(run):
    """What a comparison says of a run.

    Args:
        run: dict, as from `find`.

    Returns:
        dict: `run`, `state`, `kind`, `attention`, `parameters`, `step`,
        `steps`; `loss` of the last log interval; `eval_loss` and each further
        metric of the last evaluation (`eval_accuracy`, ...); `best_eval_loss`
        and its `best_step`; medians of `patches_per_s`, `examples_per_s` and
        `mfu`; `seconds` of training. None for what is not known.
    """
    lines, config = run["lines"], run["config"]
    step = max((line["step"] for line in lines), default=None)
    steps = config["train"].get("steps")
    state, facts = _run_state.state_of(run["workdir"], step, steps)
    model = config.get("model") or {}
    _, losses = plots.series(lines, "loss", "train")
    found = {
        "run": run["run"],
        "state": state,
        "kind": model.get("kind"),
        "attention": model.get("attention"),
        "parameters": facts.get("parameters"),
        "step": step,
        "steps": steps,
        "loss": losses[-1] if losses else None,
        **_evaluation(lines),
    }
    for name in ("patches_per_s", "examples_per_s", "mfu"):
        _, values = plots.series(lines, name, "train")
        found[name] = statistics.median(values) if values else None
    found["seconds"] = lines[-1].get("seconds") if lines else None
    return found


def _evaluation(lines):
    found = {"eval_loss": None, "best_eval_loss": None, "best_step": None}
    pairs = list(zip(*plots.series(lines, "loss", "eval")))
    if pairs:
        best = min(pairs, key=lambda pair: pair[1])
        found.update(best_step=best[0], best_eval_loss=best[1])
    last = [line for line in lines if line.get("split") == "eval"][-1:]
    for line in last:
        for name, value in line.items():
            if name not in NOT_METRICS:
                found[f"eval_{name}"] = value
    return found


def differences(configs):
    """Settings in which configs differ.

    Args:
        configs: dict from name to config dict.

    Returns:
        dict from dotted key to a dict from name to value; those that change
        no result, and those that have columns of their own, are left out.
    """
    first = next(iter(configs.values()), {})
    keys = {}
    for config in configs.values():
        keys.update(dict.fromkeys(_settings.differences(first, config)))
    return {
        key: {name: _value(config, key) for name, config in configs.items()}
        for key in keys
        if key not in _SHOWN_ELSEWHERE
    }


def _value(config, key):
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _sorted(rows, key, reverse):
    known = list(dict.fromkeys(name for one in rows for name in one))
    if key not in known:
        raise ValueError(
            f"Expected --sort with one of {', '.join(known)}."
            f"{_settings.nearest(key, known)} Received: --sort {key!r}"
        )
    with_it = [one for one in rows if one.get(key) is not None]
    without = [one for one in rows if one.get(key) is None]
    with_it.sort(key=lambda one: one[key], reverse=reverse)
    return with_it + without


def _table(rows):
    names = list(_COLUMNS)
    metrics = dict.fromkeys(
        name
        for one in rows
        for name in one
        if name.startswith("eval_") and name != "eval_loss"
    )
    place = names.index("best") + 1
    columns = {name: _COLUMNS[name] for name in names[:place]}
    for name in metrics:
        columns[name.replace("_", " ")] = (name, "{:.4g}".format)
    columns.update({name: _COLUMNS[name] for name in names[place:]})
    if any(one["patches_per_s"] is not None for one in rows):
        columns.pop("examples/s")
    cells = [[title] for title in columns]
    for column, (key, text) in zip(cells, columns.values()):
        values = [one.get(key) for one in rows]
        column += ["-" if v is None else text(v) for v in values]
    return _aligned([c for c in cells if set(c[1:]) != {"-"}], left=4)


def _difference_table(rows, differing):
    """Runs and the settings in which they differ, the shorter list across."""
    if not differing:
        return ""
    cells = [["run", *(one["run"] for one in rows)]]
    for key in differing:
        cells.append([key, *(_short(one[key]) for one in rows)])
    if len(differing) > len(rows):
        cells = [list(line) for line in zip(*cells)]
        cells[0][0] = "setting"
    return "\n" + _aligned(cells, left=1) + "\n"


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _aligned(columns, left):
    """Columns of text as lines; numbers stand at the right."""
    padded = []
    for i, column in enumerate(columns):
        width = max(map(len, column))
        flush = str.ljust if i < left else str.rjust
        padded.append([flush(text, width) for text in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded))


def _print_csv(rows):
    columns = dict.fromkeys(key for one in rows for key in one)
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _plot(found, rows, path, default):
    by_name = {one["run"]: one for one in found}
    runs = [
        (one["run"], one["kind"] or "model", by_name[one["run"]]["lines"])
        for one in rows
        if by_name[one["run"]]["lines"]
    ]
    try:
        plots.compare(runs).savefig(path or default)
    except (ImportError, OSError) as error:
        if path is not None:
            raise
        print(f"no {default}: {error}", file=sys.stderr)
        return
    except ValueError as error:
        raise ValueError(
            f"Expected a file like runs.png. Received: --plot {path!r}: {error}"
        ) from error
    print(path or default, file=sys.stderr)
