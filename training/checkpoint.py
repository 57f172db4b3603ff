"""Checkpoints on disk: written whole or not at all, verified when read.

A checkpoint is a folder with `arrays.npz` and `state.json`. Numpy only: not
here are models, optimizers and what the arrays mean (the drivers).
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np

_NAME = re.compile(r"^step_(\d{8,})$")
_TEMPORARY = ".partial-"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        path: its folder.
        step: updates done.
        arrays: dict from key to array.
        state: dict, the JSON values stored beside the arrays.
    """

    path: Path
    step: int
    arrays: dict
    state: dict


class CheckpointStore:
    """The checkpoints of one workdir, `<workdir>/checkpoints/step_*`.

    Args:
        workdir: folder of the run.
        keep_last: the newest checkpoints to keep; older ones are deleted
            after a newer one is safely on disk.
    """

    def __init__(self, workdir, keep_last=3):
        self.folder = Path(workdir) / "checkpoints"
        self.keep_last = keep_last

    def steps(self):
        """Steps for which a checkpoint is there, damaged or not, rising."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.match(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def path(self, step):
        """The folder of a step's checkpoint."""
        return self.folder / f"step_{step:08d}"

    def save(self, step, arrays, state):
        """Writes a checkpoint, then deletes those no longer kept.

        The folder gets its name only after all its bytes are on disk, so a
        crash or a full disk leaves the earlier checkpoints as they were.

        Args:
            step: int, updates done.
            arrays: dict from key to array.
            state: dict of JSON values.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: if the disk is full or cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_temporary()
        target = self.path(step)
        partial = self.folder / f"{_TEMPORARY}{target.name}"
        partial.mkdir()
        try:
            with open(partial / "arrays.npz", "wb") as file:
                np.savez(file, **arrays)
                _flush(file)
            state = {
                **state,
                "step": step,
                "sha256": _sha256(partial / "arrays.npz"),
            }
            with open(partial / "state.json", "w") as file:
                json.dump(state, file, indent=1)
                _flush(file)
            _flush_folder(partial)
            self._replace(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _flush_folder(self.folder)
        for old in self.steps()[: -self.keep_last]:
            shutil.rmtree(self.path(old))
        return target

    def load(self, step):
        """Reads and verifies one checkpoint.

        Returns:
            A `Checkpoint`.

        Raises:
            ValueError: if a file is missing, does not parse, or its bytes
                are not those that were written.
        """
        path = self.path(step)
        try:
            state = json.loads((path / "state.json").read_text())
            wanted, stored = state["sha256"], state["step"]
            if stored != step:
                raise ValueError(f"state.json is of step {stored}")
            if _sha256(path / "arrays.npz") != wanted:
                raise ValueError("arrays.npz has another SHA-256")
            with np.load(path / "arrays.npz") as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                "Expected a whole checkpoint. "
                f"Received: {path}, which is damaged: {error}"
            ) from error
        return Checkpoint(path, step, arrays, state)

    def restore_latest(self):
        """The newest checkpoint that is whole, or None if there is none.

        A damaged one is skipped with a warning in favour of the one before.

        Raises:
            ValueError: if there are checkpoints and all are damaged.
        """
        steps, reasons = self.steps(), []
        for step in reversed(steps):
            try:
                return self.load(step)
            except ValueError as error:
                reasons.append(str(error))
                warnings.warn(
                    f"Skipping a checkpoint: {error}. The one before it is "
                    "used, if there is one.",
                    stacklevel=2,
                )
        if reasons:
            raise ValueError(
                f"Expected a checkpoint that can be read in {self.folder}. "
                f"Received: {' '.join(reasons)} Delete the folder to start "
                "from the beginning."
            )
        return None

    def _replace(self, partial, target):
        if target.exists():  # a damaged one, or a step that was run again
            doomed = self.folder / f"{_TEMPORARY}old-{target.name}"
            target.rename(doomed)
            partial.rename(target)
            shutil.rmtree(doomed)
        else:
            partial.rename(target)

    def _remove_temporary(self):
        for path in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path)


def _flush(file):
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
