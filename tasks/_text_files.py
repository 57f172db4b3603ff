"""Files of text, plain or compressed: lines with numbers, JSON, splits.

Not here: what the lines mean (`read_conllu`, `read_table`, ...).
"""

import json
import re
from pathlib import Path

from pixmodels.tasks import _packed

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "devel"),
    "test": ("test",),
}


def lines(path, encoding="utf-8"):
    """Yields (number from 1, line without its end) of a file.

    Args:
        path: of a text file; `.gz`, `.xz` and `.bz2` are read as such.
        encoding: of the bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is compressed and damaged, or bytes do not decode;
            file and line are named.
    """
    number = 0
    with _open(path) as file:
        try:
            for number, raw in enumerate(file, 1):
                line = raw.decode(encoding).rstrip("\r\n")
                yield number, line.removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            expected = f"text in {encoding}"
            raise wrong(path, number, expected, str(error)) from error
        except _packed.DAMAGE as error:
            expected = "a whole file"
            raise wrong(path, number + 1, expected, str(error)) from error


def load_json(path, encoding="utf-8"):
    """The JSON value in a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not parse; file and line are named.
    """
    text = "\n".join(line for _, line in lines(path, encoding))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise wrong(path, error.lineno, "JSON", error.msg) from error


def wrong(path, line, expected, received):
    """A ValueError about one line of a file."""
    return ValueError(
        f"Expected {expected}. Received: {path}:{line}: {received}"
    )


def find_splits(paths, suffixes):
    """The files of a data set, by split.

    Args:
        paths: a folder, of whose files the names say the split (`train`,
            `dev`, `test` and the like between `-`, `_` and dots); or a dict
            from split to file, or to a list of files.
        suffixes: those of the files in a folder, such as `(".conllu",)`.

    Returns:
        dict from "train", "validation" and "test" (or the dict's own keys)
        to lists of paths.

    Raises:
        FileNotFoundError: if a file or the folder is not there.
        ValueError: if there is no file for training, or a folder has two for
            one split.
    """
    if isinstance(paths, dict):
        found = {
            split: [names] if isinstance(names, str) else list(names)
            for split, names in paths.items()
        }
    else:
        found = _in_folder(Path(paths), suffixes)
    for names in found.values():
        for name in names:
            if not Path(name).is_file():
                raise FileNotFoundError(
                    f"Expected a file. Received: path={str(name)!r}, which is "
                    "not one"
                )
    if not found.get("train"):
        raise ValueError(
            "Expected a file to train on, such as data.options.paths.train="
            f"FILE. Received: paths={paths!r}"
        )
    return found


def _open(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a file. Received: path={str(path)!r}, which is not one"
        )
    return _packed.OPENERS.get(path.suffix, open)(path, "rb")


def _in_folder(folder, suffixes):
    if not folder.is_dir():
        raise FileNotFoundError(
            "Expected a folder, or a file for each split "
            "(data.options.paths.train=FILE). "
            f"Received: paths={str(folder)!r}, which is no folder"
        )
    found = {}
    for path in sorted(folder.iterdir()):
        name = _packed.bare_name(path)
        if not name.endswith(tuple(suffixes)):
            continue
        words = re.split(r"[-_.]", name.lower())
        for split, known in _SPLITS.items():
            if set(known) & set(words):
                found.setdefault(split, []).append(path)
    for split, files in found.items():
        if len(files) > 1:
            raise ValueError(
                f"Expected one file for {split} in {folder}; name them by "
                f"data.options.paths.{split}=FILE. "
                f"Received: {', '.join(path.name for path in files)}"
            )
    return found
