"""Checkpoints on disk: written whole or not at all, verified when read.

A checkpoint is a folder with `arrays.npz`, `state.json` and `SHA256SUMS`.
Numpy only: not here are models, optimizers and what the arrays mean (the
drivers), when to save and the thread that does it (`saver`).
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np

_NAME = re.compile(r"^step_(\d{8,})$")
_TEMPORARY = ".partial-"
_REPLACED = f"{_TEMPORARY}replaced-"
_DOOMED = f"{_TEMPORARY}doomed-"
_ARRAYS, _STATE, _SUMS = "arrays.npz", "state.json", "SHA256SUMS"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        path: its folder.
        step: updates done.
        arrays: dict from key to array.
        state: dict, the JSON values stored beside the arrays.
        scores: dict from metric to float, the evaluation of these weights;
            empty if they were not evaluated.
    """

    path: Path
    step: int
    arrays: dict
    state: dict
    scores: dict


class CheckpointStore:
    """The checkpoints of one workdir, `<workdir>/checkpoints/step_*`.

    The newest and the best are kept side by side, so the best can stand in
    for damaged ones, too. `sha256sum -c SHA256SUMS` in a checkpoint's folder
    verifies it by hand.

    Args:
        workdir: folder of the run.
        keep_last: the newest checkpoints to keep; older ones are deleted
            after a newer one is safely on disk, so the disk needs room for
            one more than are kept.
        keep_best: how many of the best to keep besides, of those that were
            saved with scores.
        metric: the score that says which is best.
        mode: `min` or `max`, which scores are better. Of equal ones the
            earlier step is the better; one that is not a number is worst.
    """

    def __init__(
        self, workdir, keep_last=3, *, keep_best=0, metric="loss", mode="min"
    ):
        self.folder = Path(workdir) / "checkpoints"
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.metric = metric
        self.mode = mode

    def steps(self):
        """Steps for which a checkpoint is there, damaged or not, rising."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.match(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def path(self, step):
        """The folder of a step's checkpoint."""
        return self.folder / f"step_{step:08d}"

    def scores(self):
        """dict from step to `metric` of the checkpoints that have it."""
        found = {}
        for step in self.steps():
            try:
                state = json.loads((self.path(step) / _STATE).read_text())
                found[step] = float(state["scores"][self.metric])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not evaluated, or damaged: `load` says so
        return found

    def ranked(self, scores):
        """The steps of a dict of scores, the best first."""
        sign = -1.0 if self.mode == "max" else 1.0

        def rank(step):
            score = scores[step]
            number = not math.isnan(score)
            return not number, sign * score if number else 0.0, step

        return sorted(scores, key=rank)

    def save(self, step, arrays, state, scores=None):
        """Writes a checkpoint, then deletes those no longer kept.

        The folder gets its name only after all its bytes are on disk, so a
        crash or a full disk leaves the earlier checkpoints as they were.

        Args:
            step: int, updates done.
            arrays: dict from key to array.
            state: dict of JSON values.
            scores: dict from metric to float, if these weights were
                evaluated.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: if the disk is full or cannot be written; the folder and
                the bytes needed and free are named.
        """
        target = self.path(step)
        try:
            self._write(target, step, arrays, state, scores or {})
        except OSError as error:
            raise OSError(error.errno, self._failure(error, arrays)) from error
        self._delete_old()
        return target

    def load(self, step):
        """Reads and verifies one checkpoint.

        Returns:
            A `Checkpoint`.

        Raises:
            ValueError: if a file is missing, or its bytes are not those that
                were written.
        """
        path = self.path(step)
        try:
            _verify(path)
            state = json.loads((path / _STATE).read_text())
            stored, scores = state.pop("step"), state.pop("scores")
            if stored != step:
                raise ValueError(f"{_STATE} is of step {stored}")
            with np.load(path / _ARRAYS, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                "Expected a whole checkpoint. "
                f"Received: {path}, which is damaged: {error}"
            ) from error
        return Checkpoint(path, step, arrays, state, scores)

    def restore_latest(self):
        """The newest checkpoint that is whole, or None if there is none.

        A damaged one is skipped with a warning in favour of the one before.

        Raises:
            ValueError: if there are checkpoints and all are damaged.
        """
        while True:
            steps = self.steps()
            try:
                return self._first_whole(steps[::-1], "before it")
            except ValueError:
                # A run that goes on may have deleted them meanwhile.
                if self.steps() == steps:
                    raise

    def restore(self, which="latest"):
        """A checkpoint by name, or None if there is no checkpoint at all.

        Args:
            which: `latest`; `best`, by `metric` among those on disk that
                were evaluated (a damaged one is skipped with a warning); or
                a step, as int or text.

        Raises:
            ValueError: if there is no such checkpoint, or it is damaged.
        """
        steps, which = self.steps(), str(which)
        if which == "latest" or not steps:
            return self.restore_latest()
        if which == "best":
            scores = self.scores()
            if not scores:
                raise ValueError(
                    f"Expected a checkpoint with an evaluation of "
                    f"{self.metric!r} in {self.folder}; train.keep_best keeps "
                    "them. Received: checkpoint='best'"
                )
            return self._first_whole(self.ranked(scores), "next to it")
        if not which.isdigit() or int(which) not in steps:
            raise ValueError(
                "Expected latest, best, or the step of a checkpoint in "
                f"{self.folder}: {', '.join(map(str, steps))}. "
                f"Received: checkpoint={which!r}"
            )
        return self.load(int(which))

    def recover(self):
        """Clears away what a killed save left; for the one who writes.

        A checkpoint that was to be replaced, and was not yet, comes back.
        """
        for path in self.folder.glob(f"{_REPLACED}*"):
            target = self.folder / path.name.removeprefix(_REPLACED)
            if not target.exists():
                path.rename(target)
        for path in self.folder.glob(f"{_TEMPORARY}*"):
            _remove(path)

    def _write(self, target, step, arrays, state, scores):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.recover()
        partial = self.folder / f"{_TEMPORARY}{target.name}"
        partial.mkdir()
        values = {**state, "step": step, "scores": scores}
        try:
            sums = [
                _write_arrays(partial / _ARRAYS, arrays),
                _write_bytes(partial / _STATE, _json(values)),
            ]
            _write_bytes(partial / _SUMS, "".join(sums).encode())
            _flush_folder(partial)
            self._put(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _flush_folder(self.folder)

    def _put(self, partial, target):
        replaced = self.folder / f"{_REPLACED}{target.name}"
        if target.exists():  # damaged, or a step that was run again
            target.rename(replaced)
        partial.rename(target)
        if replaced.exists():
            _remove(replaced)

    def _delete_old(self):
        best = self.ranked(self.scores())[: self.keep_best]
        for step in self.steps()[: -self.keep_last]:
            if step not in best:
                # Renamed first: a kill leaves no half of a checkpoint.
                doomed = self.folder / f"{_DOOMED}{self.path(step).name}"
                self.path(step).rename(doomed)
                _remove(doomed)

    def _first_whole(self, steps, where):
        reasons = []
        for step in steps:
            try:
                return self.load(step)
            except ValueError as error:
                reasons.append(str(error))
                warnings.warn(
                    f"Skipping a checkpoint: {error}. The one {where} is "
                    "used, if there is one.",
                    stacklevel=3,
                )
        if reasons:
            raise ValueError(
                f"Expected a checkpoint that can be read in {self.folder}. "
                f"Received: {' '.join(reasons)} Delete the folder to start "
                "from the beginning."
            )
        return None

    def _failure(self, error, arrays):
        needed = sum(np.asarray(array).nbytes for array in arrays.values())
        folder = self.folder
        while not folder.exists():
            folder = folder.parent
        steps = ", ".join(map(str, self.steps())) or "none"
        return (
            f"Expected to write a checkpoint of {needed:,} bytes to "
            f"{self.folder}, where {shutil.disk_usage(folder).free:,} bytes "
            f"are free. Received: {error.strerror or error}. Checkpoints "
            f"there, unharmed: {steps}"
        )


class _HashedFile:
    """A new file, hashed while it is written from front to back.

    It has no `seek`, so a zip file in it is a stream, too, whose bytes are
    all written once.
    """

    def __init__(self, path):
        self._path = path
        self._file = open(path, "wb")
        self._hash = hashlib.sha256()

    def write(self, data):
        self._hash.update(data)
        return self._file.write(data)

    def flush(self):
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._file.close()

    def to_disk(self):
        """Waits for the disk; returns the file's line of `SHA256SUMS`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return _line(self._hash.hexdigest(), self._path.name)


def _write_arrays(path, arrays):
    """Writes what `np.load` reads; returns its line of `SHA256SUMS`."""
    with _HashedFile(path) as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(
                        file, np.asanyarray(array), allow_pickle=False
                    )
        return stream.to_disk()


def _write_bytes(path, data):
    with _HashedFile(path) as stream:
        stream.write(data)
        return stream.to_disk()


def _json(values):
    return (json.dumps(values, indent=1) + "\n").encode()


def _verify(path):
    """Raises ValueError if a file is not as it was written."""
    found = (path / _SUMS).read_text()
    lines = {}
    for name in (_ARRAYS, _STATE):
        with open(path / name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines[name] = _line(digest, name)
        if lines[name] not in found:
            raise ValueError(f"{name} has another SHA-256 than in {_SUMS}")
    if found != "".join(lines.values()):
        raise ValueError(f"{_SUMS} has other lines than were written")


def _line(digest, name):
    return f"{digest}  {name}\n"


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _flush_folder(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
