"""The texts of a corpus, one after another, with where each came from.

Here: lists, iterators, files of lines, folders of such files. Not here:
drawing (_corpus_shard.py)."""

import bz2
import gzip
import lzma
import os
from pathlib import Path

_OPEN = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_FILES = ("*.txt", "*.txt.gz", "*.txt.xz", "*.txt.bz2")


class Inputs:
    """Texts in order.

    Attributes:
        count: int, how many there are, or None if not known beforehand.
        blank: int, lines of files skipped so far because they were blank.
        files: list of names of files, empty for texts from memory.

    Args:
        texts: Path of a file or folder, a list of them, or an iterable of
            texts. A str is no path here.

    Raises:
        TypeError: `texts` is a str or not iterable.
        FileNotFoundError: a file is not there, or a folder has no texts.
    """

    def __init__(self, texts):
        if isinstance(texts, str | bytes):
            raise TypeError(
                "expected a pathlib.Path, or a list or an iterator of texts. "
                f"Received: texts={texts[:60]!r} ({type(texts).__name__})"
            )
        if isinstance(texts, os.PathLike):
            texts = [texts]
        if not hasattr(texts, "__iter__"):
            raise TypeError(
                "expected a pathlib.Path, or a list or an iterator of texts. "
                f"Received: texts={texts!r}"
            )
        paths = isinstance(texts, list | tuple) and any(
            isinstance(item, os.PathLike) for item in texts
        )
        self.blank = 0
        self._texts = texts
        self._paths = list(_expand(texts)) if paths else []
        self.files = [str(path) for path in self._paths]
        known = hasattr(texts, "__len__") and not paths
        self.count = len(texts) if known else None

    def __iter__(self):
        """Yields (text, where it came from)."""
        if not self._paths:
            for number, text in enumerate(self._texts):
                yield text, f"texts[{number}]"
            return
        for path in self._paths:
            for number, line in enumerate(_lines(path), 1):
                if line.strip():
                    yield line, f"{path}:{number}"
                else:
                    self.blank += 1


def _expand(paths):
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted({f for name in _FILES for f in path.rglob(name)})
            if not found:
                raise FileNotFoundError(
                    f"expected files {', '.join(_FILES)} in the folder. "
                    f"Received: {path}"
                )
            yield from found
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(
                f"expected a file or folder of texts. Received: {path}"
            )


def _lines(path):
    """Lines without their ends; bytes that are not UTF-8 stay visible."""
    opener = _OPEN.get(path.suffix, open)
    with opener(path, "rb") as file:
        for number, line in enumerate(file):
            text = line.decode("utf-8", "surrogateescape")
            if number == 0:
                text = text.removeprefix("\ufeff")
            yield text.removesuffix("\n").removesuffix("\r")
