"""`render_corpus`: texts to files of pixels, by several processes.

Here: arguments, the order of work, progress. Not here: shards and workers
(_corpus_*.py), reading (corpus.py)."""

import itertools
import os
import sys
import time

from pixmodels.renderers import _corpus_state
from pixmodels.renderers import _corpus_workers
from pixmodels.renderers._corpus_files import FORMATS
from pixmodels.renderers._corpus_inputs import Inputs
from pixmodels.renderers._corpus_shard import Job
from pixmodels.renderers._corpus_shard import Setup
from pixmodels.renderers._corpus_state import State
from pixmodels.renderers._libraries import load
from pixmodels.renderers.corpus import Corpus

_LINE_EVERY = 10_000


def render_corpus(
    texts,
    output,
    renderer,
    *,
    workers=None,
    shard_size=4096,
    format="arrayrecord",
    noise=(),
    seed=0,
    keep_text=True,
    progress=True,
    resume=True,
):
    """Draws texts and writes them to shards, ready for training.

    The bytes of the shards follow from the texts and the settings alone (and
    from the versions of the libraries that draw and pack): not from the
    number of workers, nor from interruptions. Each shard is drawn by one
    process and gets its name when it is complete. Killed at any moment and
    called again, the function goes on after the last complete shards.

    Folder: `shard-00000.arrayrecord` and so on, each of `shard_size` texts in
    order; `lengths.npy`, (n,) int32, patches of each text, end patch
    included; `manifest.json` when all is done, with the settings, the fonts'
    SHA-256, counts of what was cut or has no glyph, and for each shard its
    size, SHA-256 and the SHA-256 of its pixels before packing.

    Record: a `tf.train.Example` of `pixels` (one string: zlib data of the
    columns, uint8 (width, height) or (width, height, 3)), `height`, `width`,
    `channels`, `num_patches` (before the end patch), `sep_patches`,
    `word_starts`, `id` (the text's number), and unless `keep_text` is false
    `text` (the text as drawn: one string, two of a pair, all words) and
    `kind` (text, pair or words). TensorFlow reads it without this package:
    `docs/corpus.md` shows how; `read_corpus` reads it without TensorFlow.

    Args:
        texts: list or iterator of what the renderer takes; or a
            `pathlib.Path`, or list of them: files with a text a line (UTF-8;
            .gz, .xz and .bz2 are unpacked; blank lines are skipped and
            counted) and folders of such `*.txt` files, in the order of names.
        output: folder to write, new or begun by the same call.
        renderer: CairoRenderer, or another callable that pickles, has
            `get_config` and returns `RenderedBatch`.
        workers: processes; 0 draws in this one; None: one for each CPU that
            this process may use.
        shard_size: texts in a shard, the unit of work and of resuming.
        format: "arrayrecord", or "tfrecord".
        noise: list of (attack, p); attack an `Attack` of `renderers.noise` or
            its name. Applied in order, with the text's number as `index`.
        seed: int, of the noise.
        keep_text: bool, whether records hold the text drawn.
        progress: True for a bar on a terminal and a line for every 10,000
            texts elsewhere, on stderr; False for none; or a callable that is
            given the number of texts done.
        resume: go on with a begun folder; False asks for an empty one.

    Returns:
        `Corpus`.

    Raises:
        TypeError, ValueError: an argument, or the folder of another corpus;
            or a text that cannot be drawn, by its number and place.
        FileNotFoundError: a file of texts is missing.
        RuntimeError: a worker died, or the folder is in use.
    """
    inputs = Inputs(texts)
    setup = _setup(renderer, noise, seed, format, keep_text)
    shard_size = _whole("shard_size", shard_size, 1)
    workers = _cpus() if workers is None else _whole("workers", workers, 0)
    settings = _settings(setup, shard_size)
    if _is_finished(output, resume):
        return _finished(inputs, output, settings, shard_size)
    state = State(output, settings, resume)
    try:
        entries = _draw(state, setup, inputs, shard_size, workers, progress)
        if not entries:
            raise ValueError("expected at least one text. Received: none")
        extra = {
            "blank_lines": inputs.blank,
            "inputs": inputs.files,
            "libraries": _libraries(),
        }
        state.finish(entries, extra)
    finally:
        state.close()
    return Corpus(output)


def _draw(state, setup, inputs, shard_size, workers, progress):
    """Draws what is not done; entries of all shards in order."""
    digests = {}
    entries = {}
    show = _shown(progress, inputs.count)
    jobs = _jobs(state, setup, inputs, shard_size, digests)
    with show:
        for kind, value in _corpus_workers.run(setup, jobs, workers):
            if kind == "drawn":
                show.add(value)
                continue
            if kind == "kept":
                show.add(value["num_examples"])
            number = int(value["file"].split("-")[1].split(".")[0])
            if kind == "done":
                state.keep(number, digests[number], value)
            entries[number] = {**value, "texts_sha256": digests[number]}
    return [entries[number] for number in sorted(entries)]


def _jobs(state, setup, inputs, shard_size, digests):
    """Yields a Job for each shard to draw, ("kept", entry) for each done."""
    suffix = FORMATS[setup.format][0]
    for number, part in enumerate(_parts(inputs, shard_size)):
        texts, places = map(list, zip(*part))
        digests[number] = _corpus_state.digest(texts)
        entry = state.done(number, digests[number])
        if entry is not None:
            yield "kept", entry
            continue
        path = state.shard(number, suffix)
        yield Job(path, number * shard_size, texts, places)


def _parts(inputs, size):
    source = iter(inputs)
    while part := list(itertools.islice(source, size)):
        yield part


def _is_finished(output, resume):
    folder = os.fspath(output)
    return resume and os.path.exists(
        os.path.join(folder, _corpus_state.MANIFEST)
    )


def _finished(inputs, output, settings, shard_size):
    """The corpus of a finished folder, if it is that of these arguments."""
    corpus = Corpus(output)
    _corpus_state.compare(corpus.manifest["settings"], settings)
    found = [
        _corpus_state.digest([text for text, _ in part])
        for part in _parts(inputs, shard_size)
    ]
    if found != corpus.manifest["texts_sha256"]:
        raise ValueError(
            "expected the texts of the corpus in this folder; give another "
            f"folder for others. Received: output={os.fspath(output)!r}"
        )
    return corpus


def _setup(renderer, noise, seed, format, keep_text):
    if format not in FORMATS:
        raise ValueError(
            f"expected a format: {', '.join(FORMATS)}. "
            f"Received: format={format!r}"
        )
    if not callable(renderer) or not hasattr(renderer, "get_config"):
        raise TypeError(f"expected a renderer. Received: renderer={renderer!r}")
    noise = [_attack(pair) for pair in noise]
    for attack, p in noise:
        attack("", p=p, seed=seed)  # Checks the numbers before any work.
    return Setup(renderer, noise, seed, format, bool(keep_text))


def _attack(pair):
    from pixmodels.renderers import noise

    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"expected (attack, p). Received: noise item {pair!r}")
    attack, p = pair
    attack = noise.get(attack) if isinstance(attack, str) else attack
    if not isinstance(attack, noise.Attack):
        raise TypeError(
            f"expected an Attack or its name. Received: noise item {pair!r}"
        )
    return attack, p


def _settings(setup, shard_size):
    renderer = setup.renderer
    return {
        "renderer": {
            "class": type(renderer).__name__,
            **renderer.get_config(),
        },
        "noise": [{**a.get_config(), "p": p} for a, p in setup.noise],
        "seed": setup.seed if setup.noise else None,
        "format": setup.format,
        "shard_size": shard_size,
        "keep_text": setup.keep_text,
    }


def _libraries():
    """Versions that pixels may depend on."""
    return {
        "cairo": load("cairo").cairo_version_string(),
        "harfbuzz": load("uharfbuzz").version_string(),
    }


def _cpus():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _whole(name, value, least):
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"expected a whole number >= {least}. Received: {name}={value!r}"
        )
    return value


def _shown(progress, total):
    if callable(progress):
        return _Callback(progress)
    if progress and sys.stderr.isatty():
        return _Bar(total)
    return _Lines(total, _LINE_EVERY if progress else None)


class _Callback:
    """Tells a function how many texts are done."""

    def __init__(self, tell):
        self._tell = tell
        self._done = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def add(self, count):
        self._done += count
        self._tell(self._done)


class _Lines(_Callback):
    """A line for every so many texts and one at the end; or none at all."""

    def __init__(self, total, every):
        super().__init__(self._line)
        self._of = "" if total is None else f" of {total:,}"
        self._every = every
        self._next = every
        self._start = time.monotonic()

    def __exit__(self, kind, *error):
        if self._every and kind is None:
            self._print()

    def _line(self, done):
        if self._every and done >= self._next:
            self._next = done - done % self._every + self._every
            self._print()

    def _print(self):
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        print(
            f"{self._done:,}{self._of} texts, {rate:,.0f} texts/s",
            file=sys.stderr,
            flush=True,
        )


class _Bar(_Callback):
    """A bar, where the number of texts is known, with speed and time left."""

    def __init__(self, total):
        super().__init__(self._move)
        progress = load("rich.progress")
        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f} texts"),
            progress.TextColumn("{task.fields[rate]:,.0f}/s"),
            progress.TimeRemainingColumn(),
            console=load("rich.console").Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=total, rate=0.0)

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def _move(self, done):
        task = self._bar.tasks[0]
        rate = done / max(task.elapsed or 0.0, 1e-9)
        self._bar.update(self._task, completed=done, rate=rate)
