"""Files of text as plain files: what is packed is unpacked once, in the cache.

Here: folders, .gz, .xz, .bz2 and tar archives. Not here: what stands in the
files (`text_files`).
"""

import os
import pathlib
import shutil
import tarfile
import tempfile

from pixmodels.tasks import _cache
from pixmodels.tasks import _packed

_PACKED = ("", *_packed.OPENERS)
_TARS = tuple(f".tar{end}" for end in _PACKED) + (".tgz", ".txz", ".tbz2")
_NAMES = tuple(f"*.txt{end}" for end in _PACKED)
_DAMAGE = (*_packed.DAMAGE, tarfile.TarError)


def identity(path):
    """What says that a file is still the same: path, size, time of change."""
    about = os.stat(path)
    return [os.path.abspath(path), about.st_size, about.st_mtime_ns]


def expand(paths):
    """Files and folders as (name, path of a plain file) pairs, in order.

    Args:
        paths: a str or path, or a list of them: files, archives of `*.txt`
            files, or folders, of which the files `*.txt`, `*.txt.gz`,
            `*.txt.xz` and `*.txt.bz2` are taken, also from folders inside.

    Raises:
        FileNotFoundError: if there is no such file, or no text in a folder.
        ValueError: if a packed file is damaged, or an archive without text.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found = []
    for path in map(pathlib.Path, paths):
        path = path.expanduser()
        if path.is_dir():
            inside = {f for name in _NAMES for f in path.rglob(name)}
            if not inside:
                raise FileNotFoundError(
                    f"Expected files {', '.join(_NAMES)} in the folder. "
                    f"Received: {path}"
                )
            found += sorted(inside)
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(
                f"Expected a file or folder of texts. Received: {path}"
            )
    if not found:
        raise ValueError(
            f"Expected at least one file of texts. Received: paths={paths!r}"
        )
    return [pair for path in found for pair in _plain(path)]


def _plain(path):
    is_tar = path.name.endswith(_TARS)
    if not is_tar and path.suffix not in _packed.OPENERS:
        return [(str(path), str(path))]
    key = _cache.key_of(identity(path))
    done = _cache.folder("texts") / key
    if not done.is_dir():
        _unpack(path, done, is_tar)
    files = sorted(f for f in done.rglob("*") if f.is_file())
    if not files:
        raise ValueError(
            f"Expected *.txt files in the archive. Received: {path}"
        )
    if not is_tar:
        return [(str(path), str(files[0]))]
    return [(f"{path}:{f.relative_to(done)}", str(f)) for f in files]


def _unpack(path, done, is_tar):
    partial = tempfile.mkdtemp(dir=done.parent, prefix=f".{done.name}.")
    try:
        if is_tar:
            _unpack_tar(path, partial)
        else:
            target = pathlib.Path(partial) / "text"
            opener = _packed.OPENERS[path.suffix]
            with opener(path) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        os.rename(partial, done)
    except _DAMAGE as error:
        if done.is_dir():
            return  # Another process was faster.
        raise ValueError(
            f"Expected a complete packed file. Received: {path} "
            f"({type(error).__name__}: {error})"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpack_tar(path, folder):
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".txt"):
                archive.extract(member, folder, filter="data")
