"""One shard: texts in, a file of records and its numbers out.

Here: noise, drawing, counting, writing under a temporary name. Not here:
which process does it (_corpus_workers.py)."""

import collections
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from pixmodels.renderers import _corpus_record
from pixmodels.renderers._corpus_files import FORMATS

_CHUNK = 64


class Setup(NamedTuple):
    """What all shards of a run have in common; pickles.

    Attributes:
        renderer: callable from a list of texts to RenderedBatch.
        noise: list of (Attack, p).
        seed: int, of the noise.
        format: name in FORMATS.
        keep_text: bool.
    """

    renderer: object
    noise: list
    seed: int
    format: str
    keep_text: bool


class Job(NamedTuple):
    """One shard to draw.

    Attributes:
        path: str, the file to write.
        first: int, number of the first text.
        texts: list of texts.
        places: list of str, where each came from, for messages.
    """

    path: str
    first: int
    texts: list
    places: list


def draw(setup, job, report):
    """Draws and writes a shard.

    The file appears under its name when it is complete, at once.

    Args:
        setup: Setup.
        job: Job.
        report: called with the number of texts drawn, after every few.

    Returns:
        JSON-able dict of the shard's numbers, see `render_corpus`.

    Raises:
        ValueError, RuntimeError: a text cannot be drawn; says which.
    """
    counts = _Counts()
    temporary = f"{job.path}.{os.getpid()}.tmp"
    _, make_writer, _ = FORMATS[setup.format]
    writer = make_writer(temporary)
    try:
        for start in range(0, len(job.texts), _CHUNK):
            texts = job.texts[start : start + _CHUNK]
            numbers = range(job.first + start, job.first + start + len(texts))
            try:
                texts, batch = _render(setup, texts, numbers)
            except Exception as error:
                raise _culprit(setup, job, start, error) from error
            writer.write(_records(setup, texts, numbers, batch, counts))
            report(len(texts))
    except BaseException:
        writer.close()
        os.unlink(temporary)
        raise
    writer.close()
    entry = counts.entry() | file_entry(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, job.path)
    return {"file": Path(job.path).name, **entry}


def file_entry(path):
    """`{"bytes", "sha256"}` of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": os.path.getsize(path), "sha256": digest}


def _render(setup, texts, numbers):
    texts = list(texts)
    for place, number in enumerate(numbers):
        for attack, p in setup.noise:
            texts[place] = attack(
                texts[place], p=p, seed=setup.seed, index=number
            )
    return texts, setup.renderer(texts)


def _records(setup, texts, numbers, batch, counts):
    records = []
    side = batch.patch_width
    for place, (number, text) in enumerate(zip(numbers, texts)):
        patches = int(batch.num_patches[place]) + 1
        pixels = batch.pixels[place][:, : patches * side]
        packed, raw = _corpus_record.pack(pixels)
        records.append(
            _corpus_record.encode(
                number, text, pixels, packed, batch, place, setup.keep_text
            )
        )
        counts.add(patches, raw, batch, place)
    return records


def _culprit(setup, job, start, error):
    """An error that names the text which alone fails, too."""
    for place in range(start, min(start + _CHUNK, len(job.texts))):
        number = job.first + place
        try:
            _render(setup, [job.texts[place]], [number])
        except Exception as alone:
            error = alone
            break
    else:
        number = f"{job.first + start} or one of {_CHUNK} after it"
        place = start
    mistake = isinstance(error, TypeError | ValueError)
    return (ValueError if mistake else RuntimeError)(
        f"expected texts that can be drawn. Received: text {number} of the "
        f"corpus, {job.places[place]}: {type(error).__name__}: {error}"
    )


class _Counts:
    """Sums over the texts of a shard."""

    def __init__(self):
        self._lengths = []
        self._digest = hashlib.sha256()
        self._truncated = [0, 0]
        self._missing = collections.Counter()
        self._texts_with_missing = 0

    def add(self, patches, raw, batch, place):
        self._lengths.append(patches)
        self._digest.update(raw)
        cuts = batch.truncated[place]
        if cuts:
            self._truncated[0] += 1
            self._truncated[1] += sum(len(cut.text) for cut in cuts)
        missing = batch.missing[place]
        if missing:
            self._texts_with_missing += 1
            for character in missing:
                self._missing[f"U+{ord(character[0]):04X}"] += 1

    def entry(self):
        return {
            "num_examples": len(self._lengths),
            "pixels_sha256": self._digest.hexdigest(),
            "truncated": dict(zip(("texts", "characters"), self._truncated)),
            "missing": {
                "texts": self._texts_with_missing,
                "characters": dict(sorted(self._missing.items())),
            },
            "lengths": self._lengths,
        }
