"""`Corpus`: drawn texts in files, by number; and the check of its files.

Here: reading what `render_corpus` wrote, without TensorFlow. Not here:
writing it; masks, padding and batches, which are a task's."""

import bisect
import hashlib
import itertools
import json
import os
import threading
from pathlib import Path

import numpy as np

from pixmodels.renderers import _corpus_record
from pixmodels.renderers import _corpus_state
from pixmodels.renderers._corpus_files import FORMATS

# Shards kept open, well below the usual limit of 1,024 files a process.
_MOST_OPEN = 256


class Corpus:
    """A folder of shards as a random-access source.

    Pickles as its path, so that workers can open it for themselves; is safe
    to share between threads. Shards are opened when first read.

    Item: dict of `pixels` (P, n * P) uint8, or (P, n * P, 3) in colour, with
    n = num_patches + 1; `num_patches` int, before the end patch;
    `sep_patches`, `word_starts` as in `RenderedBatch`; `id` int; and, where
    texts were kept, `text`: the str, pair or list of words drawn.

    Attributes:
        manifest: dict, `manifest.json`.
        lengths: (n,) int32, patches of each text, end patch included.

    Args:
        path: folder written by `render_corpus`.

    Raises:
        FileNotFoundError: the folder holds no finished corpus.
        IndexError: there is no such item.
        ValueError: a shard is missing, not as long as it was written, or
            cannot be read; names it.
    """

    def __init__(self, path):
        self._folder = Path(path)
        self.manifest = _manifest(self._folder)
        counts = [shard["num_examples"] for shard in self.manifest["shards"]]
        self._ends = list(itertools.accumulate(counts))
        self._readers = {}
        self._process = os.getpid()
        self._lock = threading.Lock()
        lengths = np.load(self._folder / self.manifest["lengths"]["file"])
        lengths.setflags(write=False)
        self.lengths = lengths

    def __len__(self):
        return self.manifest["num_examples"]

    def __getitem__(self, index):
        number = range(len(self))[index]
        shard = bisect.bisect_right(self._ends, number)
        try:
            return _corpus_record.decode(self._record(number, shard))
        except Exception as error:
            # A record that is damaged may break anything that reads it.
            name = self.manifest["shards"][shard]["file"]
            raise ValueError(
                "expected a shard as render_corpus wrote it; check_corpus "
                f"compares all. Received: {self._folder / name}, item "
                f"{number} ({type(error).__name__}: {error})"
            ) from error

    def __getitems__(self, indices):
        """Several items as a list, as Grain asks for them."""
        return [self[index] for index in indices]

    def __iter__(self):
        return map(self.__getitem__, range(len(self)))

    def __reduce__(self):
        return Corpus, (os.fspath(self._folder),)

    def __repr__(self):
        return f"Corpus({os.fspath(self._folder)!r})"

    def close(self):
        """Closes the files; reading opens them again."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _record(self, number, shard):
        first = self._ends[shard - 1] if shard else 0
        with self._lock:
            return self._reader(shard)[number - first]

    def _reader(self, shard):
        """The reader of a shard; the least recently used is closed."""
        if self._process != os.getpid():  # A forked child opens its own.
            self._readers = {}
            self._process = os.getpid()
        reader = self._readers.pop(shard, None)
        if reader is None:
            if len(self._readers) >= _MOST_OPEN:
                self._readers.pop(next(iter(self._readers))).close()
            reader = self._open(shard)
        self._readers[shard] = reader
        return reader

    def _open(self, shard):
        entry = self.manifest["shards"][shard]
        name, wanted = entry["file"], entry["bytes"]
        size = os.path.getsize(self._folder / name)
        if size != wanted:
            raise ValueError(f"{size} bytes where {wanted} were written")
        _, _, make_reader = FORMATS[self.manifest["settings"]["format"]]
        return make_reader(self._folder / name)


def read_corpus(path):
    """Opens a folder of shards; the same as `Corpus(path)`."""
    return Corpus(path)


def check_corpus(path, *, pixels=False):
    """Compares the files of a corpus with its manifest.

    Args:
        path: folder written by `render_corpus`.
        pixels: also read every record and compare the pixels, which holds
            for a corpus drawn anew under another version of zlib, too.

    Returns:
        list of str, one for each file that is missing, altered or not of the
        corpus; empty if all is well.

    Raises:
        FileNotFoundError: the folder holds no finished corpus.
    """
    folder = Path(path)
    manifest = _manifest(folder)
    problems = []
    known = {_corpus_state.MANIFEST}
    for entry in [*manifest["shards"], manifest["lengths"]]:
        known.add(entry["file"])
        file = folder / entry["file"]
        if not file.exists():
            problems.append(f"{entry['file']}: missing")
        elif not _corpus_state.same(file, entry):
            problems.append(f"{entry['file']}: altered")
    others = sorted(file.name for file in folder.iterdir())
    problems += [f"{n}: not of the corpus" for n in others if n not in known]
    if pixels and not problems:
        problems += _compare_pixels(Corpus(folder))
    return problems


def _compare_pixels(corpus):
    items = iter(corpus)
    for shard in corpus.manifest["shards"]:
        digest = hashlib.sha256()
        for item in itertools.islice(items, shard["num_examples"]):
            digest.update(item["pixels"].swapaxes(0, 1).tobytes())
        if digest.hexdigest() != shard["pixels_sha256"]:
            yield f"{shard['file']}: other pixels"
    corpus.close()


def _manifest(folder):
    path = folder / _corpus_state.MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a folder with {_corpus_state.MANIFEST}, written by "
            f"render_corpus when it is done. Received: path={str(folder)!r}"
        )
    return json.loads(path.read_text("utf-8"))
