"""The folder of a run: its config, its guard and its history file.

`config.json`, `metrics.jsonl`. Not here: checkpoints (`checkpoint`).
"""

import json
from pathlib import Path

from pixmodels.training import _settings

# A run may go on with other values of these; any other change would make
# the workdir a mixture of two runs.
MAY_DIFFER = (
    "train.steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_last",
    "train.eval_every",
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
    """Lines of numbers, one JSON object per line of `metrics.jsonl`.

    Args:
        workdir: folder of the run.
    """

    def __init__(self, workdir):
        self.path = Path(workdir) / "metrics.jsonl"

    def append(self, line):
        """Adds a dict with a `step`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")

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

    def cut(self, step):
        """Drops what was written after a step that a run resumes from."""
        if not self.path.exists():
            return
        lines = [line for line in self.read() if line["step"] <= step]
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text("".join(json.dumps(ln) + "\n" for ln in lines))
        partial.replace(self.path)
