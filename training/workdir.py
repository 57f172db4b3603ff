"""The folder of a run: its config, its guard and its history.

`config.json`, `metrics.jsonl`, `metrics.csv`. Not here: checkpoints
(`checkpoint`), what is drawn from a history (`observers`).
"""

import csv
import io
import json
from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training import _whole_file

# A run may go on with other values of these; any other change would make
# the workdir a mixture of two runs.
MAY_DIFFER = (
    "train.steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.keep_last",
    "train.keep_best",
    "train.best_metric",
    "train.best_mode",
    "train.early_stopping",
    "train.eval_every",
    "train.eval_ema",
    # The same sums, in other orders or another number at a time.
    "train.steps_per_loop",
    "train.accumulate_steps",
    "train.remat",
    # A checkpoint does not know how many replicas made it.
    "train.strategy",
    "train.curves",
    "train.picture_every",
    "train.tensorboard",
    "train.peak_flops",
    "train.worker_timeout",
    "data.workers",
)
# What a line of a history holds beside its metrics.
NOT_METRICS = ("step", "split", "time", "seconds")
# Values of a history that are times, or rates: no two runs agree in them.
TIMES = (
    "time",
    "seconds",
    "data_ms",
    "step_ms",
    "patches_per_s",
    "examples_per_s",
    "padding",
    "mfu",
)


def check(workdir, config):
    """Checks that a workdir is new or holds the same run.

    Args:
        workdir: folder, which need not exist.
        config: config dict of the run that wants it.

    Returns:
        dict of the settings that changed and may, dotted key to
        `(old, new)`; empty for a new workdir.

    Raises:
        ValueError: if the workdir holds another config; the keys that
            differ are named. Those in `MAY_DIFFER` may differ.
    """
    workdir = Path(workdir)
    path = workdir / "config.json"
    changed = {}
    if path.exists():
        changed = _settings.differences(_settings.load_json(path), config)
        refused = {k: v for k, v in changed.items() if k not in MAY_DIFFER}
        if refused:
            pairs = ", ".join(
                f"{key}={new!r} (there: {old!r})"
                for key, (old, new) in refused.items()
            )
            raise ValueError(
                "Expected a workdir that is new or holds this config; use "
                "another workdir or set these back. "
                f"Received: workdir={str(workdir)!r} with {pairs}"
            )
    elif (workdir / "checkpoints").is_dir():
        raise ValueError(
            "Expected config.json beside the checkpoints of a workdir. "
            f"Received: workdir={str(workdir)!r} without it"
        )
    return changed


def claim(workdir, config):
    """Does `check`, then writes `config.json`; makes the folder if needed."""
    changed = check(workdir, config)
    _settings.save_json(config, Path(workdir) / "config.json")
    return changed


class History:
    """The numbers of a run, as lines of `metrics.jsonl` and `metrics.csv`.

    A line is a dict with `step` and `split` ("train" or "eval"). The JSON
    lines are what counts: the table holds the same values under a column for
    each key that a line has had, and is written anew from them whenever a
    column is added or lines are dropped.

    Args:
        workdir: folder of the run.
    """

    def __init__(self, workdir):
        self.path = Path(workdir) / "metrics.jsonl"
        self.table = Path(workdir) / "metrics.csv"
        self._columns = None

    def append(self, line):
        """Adds a dict with a `step`; values are numbers, str or None."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")
        if self._columns is None or line.keys() - self._columns.keys():
            self._write_table(self.read())
        else:
            with open(self.table, "a") as file:
                _write_rows(file, self._columns, [line])

    def read(self):
        """All whole lines, as dicts; a line cut off by a crash is left out."""
        lines = []
        if self.path.exists():
            for text in self.path.read_text().splitlines():
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    continue
        return lines

    def cut(self, step, evaluated=True):
        """Drops what was written after a step that a run resumes from.

        Args:
            step: int, updates done.
            evaluated: False if the evaluation after this step is to be done
                again; then its line goes, too.
        """
        if not self.path.exists():
            return
        lines = [line for line in self.read() if line["step"] <= step]
        if not evaluated:
            again = {"step": step, "split": "eval"}
            lines = [ln for ln in lines if not again.items() <= ln.items()]
        _replace(self.path, "".join(json.dumps(ln) + "\n" for ln in lines))
        self._write_table(lines)

    def _write_table(self, lines):
        # A dict, not a set: columns stay in the order in which they came.
        self._columns = dict.fromkeys(key for line in lines for key in line)
        text = io.StringIO()
        if self._columns:
            csv.writer(text, lineterminator="\n").writerow(self._columns)
        _write_rows(text, self._columns, lines)
        _replace(self.table, text.getvalue())


def _write_rows(file, columns, lines):
    # None is an empty cell; floats are written so that they read back equal.
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writerows(lines)


def _replace(path, text):
    with _whole_file.replacing(path) as partial:
        partial.write_text(text)
