"""Arrays and files that are made once and found again, by what they are of.

A folder for each kind, `<key>.npy` with `<key>.json` beside it, in
`PIXMODELS_CACHE` or `~/.cache/pixmodels`. Writing is all or nothing; what is
damaged is made anew, with a warning. Not here: what a key is made of.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import warnings

import numpy as np


def folder(kind):
    """The folder of one kind of things, made if it is missing.

    Raises:
        OSError: if it cannot be made.
    """
    root = os.environ.get("PIXMODELS_CACHE")
    root = pathlib.Path(root or pathlib.Path.home() / ".cache" / "pixmodels")
    path = root.expanduser().absolute() / kind
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            "Expected a folder that can be written; PIXMODELS_CACHE names "
            f"another. Received: {str(path)!r} ({error})"
        ) from error
    return path


def key_of(values):
    """64 hex digits of a JSON-able value."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def load(kind, key):
    """An array that `save` wrote.

    Returns:
        `(path, array, info)`, the array memory-mapped; None if there is none
        or it is damaged.
    """
    path = folder(kind) / f"{key}.npy"
    note = path.with_suffix(".json")
    if not note.exists():
        return None
    try:
        known = json.loads(note.read_text("utf-8"))
        if known["sha256"] != _sha256(path):
            raise ValueError("other bytes than were written")
        return path, np.load(path, mmap_mode="r"), known["info"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(
            "Expected an index as it was written; it is made anew. Received: "
            f"{path} ({type(error).__name__}: {error})",
            stacklevel=2,
        )
        return None


def save(kind, key, array, info):
    """Writes an array and a JSON-able note; returns what `load` does."""
    path = folder(kind) / f"{key}.npy"
    note = path.with_suffix(".json")
    note.unlink(missing_ok=True)
    with _whole(path) as file:
        np.save(file, array)
    known = {"sha256": _sha256(path), "info": info}
    with _whole(note) as file:
        file.write(json.dumps(known).encode())
    return path, np.load(path, mmap_mode="r"), info


@contextlib.contextmanager
def _whole(path):
    """A binary file that takes its name when all of it is written."""
    partial = tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    )
    try:
        with partial as file:
            yield file
        os.replace(partial.name, path)
    except BaseException:
        pathlib.Path(partial.name).unlink(missing_ok=True)
        raise


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
