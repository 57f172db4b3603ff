"""Font files on this machine: folders, names, families, checksums.

Here: the scan of the usual folders, once per process, and the syntax
`"path#face@axis=value"`. Not here: opening faces (_faces.py), order and
coverage (font_stack.py). Fontconfig is never asked."""

import difflib
import functools
import hashlib
import os
import re

from pixmodels.renderers import _noto
from pixmodels.renderers._libraries import load

FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_FACE = re.compile(r"(\d*)(?:@(\w{4}=-?[\d.]+(?:,\w{4}=-?[\d.]+)*))?")
# OpenType name ids: typographic family and style, then the old ones.
_FAMILY = (16, 1)
_STYLE = (17, 2)


@functools.cache
def installed():
    """File name -> path over the usual folders; the first found stays."""
    found = {}
    for folder in FOLDERS:
        for root, folders, files in os.walk(os.path.expanduser(folder)):
            folders.sort()
            for name in sorted(files):
                found.setdefault(name, os.path.join(root, name))
    return found


@functools.cache
def families():
    """(family, style) in lower case -> `"path#face"`, of `installed`."""
    found = {}
    for name, path in sorted(installed().items()):
        if name.lower().endswith(_SUFFIXES):
            for key, face in _names(path):
                found.setdefault(key, face)
    return found


def family(name, style):
    """The installed face of a family, `"path#face"`.

    Raises:
        FileNotFoundError: no such family or style; names the nearest.
    """
    found = families().get((name.lower(), style.lower()))
    if found is not None:
        return found
    styles = sorted(key[1] for key in families() if key[0] == name.lower())
    if styles:
        hint = f"the family has the styles {', '.join(styles)}"
    else:
        names = sorted({key[0] for key in families()})
        near = difflib.get_close_matches(name.lower(), names, 5, 0.5)
        hint = f"the nearest are: {', '.join(near) or 'none'}"
    raise FileNotFoundError(
        "expected an installed font family and style; "
        f"{hint}. Received: family={name!r}, style={style!r}; looked in "
        f"{', '.join(FOLDERS)}"
    )


def _names(path):
    """((family, style), "path#face") of every face of a file."""
    harfbuzz = load("uharfbuzz")
    blob = harfbuzz.Blob.from_file_path(path)
    for index in range(harfbuzz.Face(blob).count):
        face = harfbuzz.Face(blob, index)
        names = [_name(face, ids) for ids in (_FAMILY, _STYLE)]
        if all(names):
            yield tuple(names), f"{path}#{index}"


def _name(face, ids):
    for name_id in ids:
        found = face.get_name(name_id, "en")
        if found:
            return found.lower()
    return None


def split(path):
    """`"path#face"` to (path, face); face an int, or a str with axes.

    Raises:
        TypeError: not a str or Path.
        ValueError: what stands after "#" is not a face.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            "expected every font as a str or Path. "
            f"Received: {path!r} ({type(path).__name__})"
        )
    path = os.fspath(path)
    if os.path.isfile(path):  # A file name may itself hold "#".
        return path, 0
    path, _, face = path.partition("#")
    match = _FACE.fullmatch(face)
    if match is None:
        raise ValueError(
            'expected "path", "path#face index" or '
            f'"path#face index@wght=700". Received: {path + "#" + face!r}'
        )
    index = int(match[1] or 0)
    return path, f"{index}@{match[2]}" if match[2] else index


def parse_face(face):
    """A face as of `split` to (index, {axis: value})."""
    if isinstance(face, int):
        return face, {}
    index, _, axes = face.partition("@")
    pairs = (axis.split("=") for axis in axes.split(","))
    return int(index), {tag: float(value) for tag, value in pairs}


def locate(entries):
    """(absolute path, face) for (path or file name, face).

    Raises:
        FileNotFoundError: names every missing file and the apt line.
        ValueError: a path is a folder.
    """
    found = []
    missing = []
    for path, face in entries:
        if not os.path.isfile(path) and os.path.basename(path) == path:
            path = installed().get(path, path)
        if os.path.isfile(path):
            found.append((os.path.abspath(path), face))
        elif os.path.isdir(path):
            raise ValueError(
                "expected font files; FontStack.from_families finds installed "
                f"ones by name. Received: the folder {path}"
            )
        elif path not in missing:
            missing.append(path)
    if missing:
        raise FileNotFoundError(
            "expected every font file of the stack to be installed; the Noto "
            f"files come by: {_noto.INSTALL}. Received: missing "
            f"{', '.join(missing)}; looked in {', '.join(FOLDERS)}"
        )
    return tuple(found)


def sha256(path):
    """Hex SHA-256 of a file, cached until its size or time changes."""
    status = os.stat(path)
    return _sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(path, size, time):
    del size, time
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
