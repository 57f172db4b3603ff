import bisect
import itertools
import mmap
import os
import threading

import numpy as np

from pixmodels.tasks import _cache
from pixmodels.tasks import _plain_files
from pixmodels.tasks import _text_spans

# Files kept open, well below the usual limit of 1,024 a process.
_MOST_OPEN = 256
_VERSION = 1


class TextFiles:
    """Texts in files, read when asked for: a random-access source of str.

    The files are scanned once: their UTF-8 is checked, and where each text
    stands is kept in the cache (`PIXMODELS_CACHE`, or `~/.cache/pixmodels`),
    where packed files are unpacked, too. From then on a text is a few bytes
    of a memory-mapped file. Pickles as names, so that worker processes map
    the same files.

    Item: str, without the line end of its last line.

    Args:
        paths: a str or path, or a list of them: text files (`.gz`, `.xz`,
            `.bz2` are unpacked), tar archives of `*.txt` files, or folders of
            such text files. UTF-8.
        unit: what one text is: "line"; "paragraph": lines up to the next
            blank line; "file".
        most_bytes: None, or the most bytes of a text; a longer one is
            several, cut at white space (a word longer than this between
            characters).
        blank: what becomes of blank lines, or blank files where `unit` is
            "file": "skip" (counted in `num_blank`), "keep" or "error".

    Attributes:
        files: list of str, in the order of the texts; `archive:member` for
            members of archives.
        num_blank: int, texts skipped.

    Raises:
        FileNotFoundError: if a file is not there, or a folder has no texts.
        ValueError: if a file is not UTF-8 (file and line are named), packed
            and damaged, if a text is blank and must not be, or there is no
            text at all.
        IndexError: there is no such item.
    """

    def __init__(self, paths, *, unit="line", most_bytes=None, blank="skip"):
        for name, value, known in (
            ("unit", unit, _text_spans.UNITS),
            ("blank", blank, _text_spans.BLANK),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected {name} to be one of {', '.join(known)}. "
                    f"Received: {name}={value!r}"
                )
        if most_bytes is not None and most_bytes < 4:
            raise ValueError(
                "Expected most_bytes of at least 4, or None. "
                f"Received: most_bytes={most_bytes!r}"
            )
        self.unit, self.blank, self.most_bytes = unit, blank, most_bytes
        pairs = _plain_files.expand(paths)
        self.files = [name for name, _ in pairs]
        self._paths = [path for _, path in pairs]
        self._identity = [_plain_files.identity(path) for path in self._paths]
        self._index, self._spans, info = self._scanned()
        self.num_blank = info["blank"]
        self._ends = list(itertools.accumulate(info["counts"]))
        self._open, self._lock = {}, threading.Lock()
        if not len(self):
            raise ValueError(
                f"Expected a text that is not blank. Received: {_few(pairs)}"
            )

    def _scanned(self):
        key = self.fingerprint()
        found = _cache.load("texts_index", key)
        if found is not None:
            return found
        parts, blank = [], 0
        for name, path in zip(self.files, self._paths):
            try:
                part, skipped = _text_spans.spans(
                    path, self.unit, self.blank, self.most_bytes
                )
            except ValueError as error:
                text = str(error).replace(path, name)
                raise ValueError(text) from None
            parts.append(part)
            blank += skipped
        info = {"counts": list(map(len, parts)), "blank": blank}
        return _cache.save("texts_index", key, np.concatenate(parts), info)

    def fingerprint(self):
        """str that is another one when the texts may be others."""
        how = [_VERSION, self.unit, self.blank, self.most_bytes]
        return _cache.key_of([how, self._identity, self.files])

    def __len__(self):
        return len(self._spans)

    def __getitem__(self, index):
        number = range(len(self))[index]
        start, end = self._spans[number]
        file = bisect.bisect_right(self._ends, number)
        text = self._data(file)[start:end].decode("utf-8")
        return text.removesuffix("\r")

    def place(self, index):
        """Where a text stands: "file:line" of its first line."""
        number = range(len(self))[index]
        file = bisect.bisect_right(self._ends, number)
        line = _text_spans.line_of(self._data(file), self._spans[number][0])
        return f"{self.files[file]}:{line}"

    def __repr__(self):
        return (
            f"TextFiles({len(self.files)} files, {len(self):,} texts, "
            f"unit={self.unit!r})"
        )

    def __getstate__(self):
        state = dict(self.__dict__)
        for name in ("_open", "_lock", "_spans"):
            del state[name]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._open, self._lock = {}, threading.Lock()
        self._spans = np.load(self._index, mmap_mode="r")

    def _data(self, file):
        """A file, mapped; the one that was opened first is closed."""
        with self._lock:
            if file not in self._open:
                while len(self._open) >= _MOST_OPEN:
                    self._open.pop(next(iter(self._open)))
                self._open[file] = self._mapped(file)
            return self._open[file]

    def _mapped(self, file):
        path = self._paths[file]
        if _plain_files.identity(path) != self._identity[file]:
            raise ValueError(
                "Expected a file that stays as it is while it is read. "
                f"Received: {self.files[file]}, which has changed"
            )
        with open(path, "rb") as opened:
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _few(pairs):
    names = [os.fspath(name) for name, _ in pairs[:3]]
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return f"{', '.join(names)}{more}, blank"
