"""What a folder of shards knows of its run: settings, done shards, manifest.

Here: the files beside the shards, all written under a temporary name first.
Not here: drawing, and reading a finished corpus (corpus.py)."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from pixmodels.renderers._corpus_shard import file_entry

MANIFEST = "manifest.json"
LENGTHS = "lengths.npy"
_PROGRESS = ".progress"


class State:
    """The state of one run in one folder.

    Args:
        folder: Path, made if need be.
        settings: JSON-able dict; all that the bytes of the shards depend on,
            texts apart.
        resume: bool, whether a begun folder may be gone on with.

    Raises:
        ValueError: the folder holds something else, or a run with other
            settings; says which.
        RuntimeError: another process is at work on it.
    """

    def __init__(self, folder, settings, resume):
        self._folder = Path(folder)
        self._progress = self._folder / _PROGRESS
        self._settings = json.loads(json.dumps(settings))
        self._check(resume)
        self._progress.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._progress / "lock")
        self._clean()
        _write_json(self._progress / "settings.json", self._settings)

    def close(self):
        """Drops what is not complete; lets another process at the folder."""
        self._clean()
        self._lock.close()

    def _clean(self):
        for rest in self._folder.glob("*.tmp"):
            rest.unlink(missing_ok=True)

    def shard(self, number, suffix):
        """Path of a shard, str."""
        return str(self._folder / f"shard-{number:05d}{suffix}")

    def done(self, number, digest):
        """The entry of a shard that is complete and as written, or None.

        Raises:
            ValueError: it was drawn from other texts.
        """
        path = self._progress / f"{number:05d}.json"
        if not path.exists():
            return None
        known = json.loads(path.read_text("utf-8"))
        if known["texts_sha256"] != digest:
            raise ValueError(
                "expected the texts with which this folder was begun; give "
                "another folder for others. Received: other texts in shard "
                f"{number} of {str(self._folder)!r}"
            )
        file = self._folder / known["entry"]["file"]
        if not file.exists() or not same(file, known["entry"]):
            return None
        return known["entry"]

    def keep(self, number, digest, entry):
        """Notes that a shard is complete."""
        known = {"texts_sha256": digest, "entry": entry}
        _write_json(self._progress / f"{number:05d}.json", known)

    def finish(self, entries, extra):
        """Writes lengths and manifest, and forgets the progress."""
        lengths = np.concatenate([e["lengths"] for e in entries])
        _replace(
            self._folder / LENGTHS,
            lambda file: np.save(file, lengths.astype(np.int32)),
        )
        digests = [entry.pop("texts_sha256") for entry in entries]
        shards = [
            {k: v for k, v in entry.items() if k != "lengths"}
            for entry in entries
        ]
        manifest = {
            "format_version": 1,
            "settings": self._settings,
            **_totals(entries),
            **extra,
            "texts_sha256": digests,
            "lengths": {
                "file": LENGTHS,
                **file_entry(self._folder / LENGTHS),
            },
            "shards": shards,
        }
        _write_json(self._folder / MANIFEST, manifest, indent=1)
        shutil.rmtree(self._progress)

    def _check(self, resume):
        if not self._folder.exists():
            return
        if not self._folder.is_dir():
            raise ValueError(
                f"expected a folder. Received: output={str(self._folder)!r}"
            )
        found = sorted(path.name for path in self._folder.iterdir())
        if found and not resume:
            raise ValueError(
                "expected an empty or new folder, or resume=True. "
                f"Received: output={str(self._folder)!r} with {found[:3]}"
            )
        begun = self._progress / "settings.json"
        if begun.exists():
            compare(json.loads(begun.read_text("utf-8")), self._settings)
        elif set(found) - {_PROGRESS}:
            raise ValueError(
                "expected an empty or new folder, or one with a begun corpus. "
                f"Received: output={str(self._folder)!r} with {found[:3]}"
            )


def compare(begun, settings):
    """ValueError where two runs' settings differ; names them."""
    differ = [
        name
        for name in {**begun, **settings}
        if begun.get(name) != settings.get(name)
    ]
    if differ:
        shown = "; ".join(
            f"{name} {_short(begun.get(name))} -> {_short(settings.get(name))}"
            for name in differ
        )
        raise ValueError(
            "expected the settings with which this folder was begun; give "
            f"another folder for others. Received: {shown}"
        )


def digest(texts):
    """SHA-256 of texts, pairs and lists of words told apart."""
    return hashlib.sha256(ascii(texts).encode()).hexdigest()


def same(path, entry):
    """Whether a file is as its entry says."""
    if os.path.getsize(path) != entry["bytes"]:
        return False
    return file_entry(path)["sha256"] == entry["sha256"]


def _locked(path):
    """An open file that no other process has locked."""
    import fcntl  # Not on every system on which texts are drawn.

    file = open(path, "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise RuntimeError(
            "expected a folder that no other process writes to. "
            f"Received: output={str(path.parents[1])!r}"
        ) from error
    return file


def _totals(entries):
    characters = {}
    for entry in entries:
        for name, count in entry["missing"]["characters"].items():
            characters[name] = characters.get(name, 0) + count
    most = sorted(characters.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "num_examples": sum(e["num_examples"] for e in entries),
        "num_patches": sum(sum(e["lengths"]) for e in entries),
        "truncated": {
            key: sum(e["truncated"][key] for e in entries)
            for key in ("texts", "characters")
        },
        "missing": {
            "texts": sum(e["missing"]["texts"] for e in entries),
            "characters": dict(most),
        },
    }


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_json(path, value, indent=None):
    text = json.dumps(value, indent=indent)
    _replace(path, lambda file: file.write(text.encode()))


def _replace(path, write):
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
