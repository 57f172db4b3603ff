"""Lengths of texts in patches, measured once and kept in the cache.

A key is made of the texts' fingerprint and the renderer's config, fonts and
libraries, so that a change of any of them measures anew. Not here: measuring
(`pixmodels.tasks.TextLengths`), the files of the cache (`tasks._cache`).
"""

import sys
import time

from pixmodels.training.worker_pool import WorkerPool

_VERSION = 1
_KIND = "text_lengths"
_CHUNK = 2048  # Texts a worker measures at once.
_EVERY = 10.0  # Seconds between lines where there is no terminal.


def text_lengths(
    examples, renderer, *, field=None, workers=0, progress=None, name="texts"
):
    """The lengths of texts, from the cache or measured now.

    Args:
        examples: see `pixmodels.tasks.TextField`.
        renderer: `pixmodels.renderers.CairoRenderer`.
        field: key of the text where examples are dicts.
        workers: processes that measure; 0: this one.
        progress: function of (texts measured, all texts), or None for a bar
            on a terminal and a line every 10 seconds elsewhere.
        name: what is measured, in words, for these lines.

    Returns:
        `pixmodels.tasks.TextLengths`.

    Raises:
        OSError: if the cache's folder cannot be written.
        TypeError, ValueError: see `TextField`.
    """
    from pixmodels.tasks import TextField
    from pixmodels.tasks import TextLengths
    from pixmodels.tasks import _cache

    texts = TextField(examples, field)
    key = _cache.key_of(
        [_VERSION, texts.fingerprint(), len(texts), _identity(renderer)]
    )
    found = _cache.load(_KIND, key)
    if found is not None and len(found[1]) == len(texts):
        _, lengths, info = found
        return TextLengths(lengths, **info)
    parts = []
    with _shown(progress, len(texts), name) as show:
        for part in _parts(texts, renderer, workers):
            parts.append(part)
            show(sum(len(part.lengths) for part in parts))
    measured = TextLengths.join(parts)
    info = {
        "num_cut": measured.num_cut,
        "num_blank": measured.num_blank,
        "num_with_missing": measured.num_with_missing,
        "missing": measured.missing,
    }
    _, lengths, info = _cache.save(_KIND, key, measured.lengths, info)
    return TextLengths(lengths, **info)


class Measurer:
    """Measures parts of texts; what worker processes hold."""

    def __init__(self, texts, renderer):
        self._texts, self._renderer = texts, renderer

    def measure(self, start, stop):
        """`TextLengths` of `texts[start:stop]`."""
        from pixmodels.tasks import TextLengths

        return TextLengths.measure(self._texts, self._renderer, start, stop)


def _parts(texts, renderer, workers):
    measurer = Measurer(texts, renderer)
    spans = [
        (start, min(start + _CHUNK, len(texts)))
        for start in range(0, len(texts), _CHUNK)
    ]
    workers = min(workers, len(spans))
    if workers < 1:
        yield from (measurer.measure(*span) for span in spans)
        return
    with WorkerPool(measurer, workers) as pool:
        tickets = {}
        for place, (start, stop) in enumerate(spans):
            for later in range(place, min(place + 2 * workers, len(spans))):
                if later not in tickets:
                    tickets[later] = pool.submit("measure", *spans[later])
            what = f"the lengths of texts {start} to {stop - 1}"
            yield pool.result(tickets[place], what)


def _identity(renderer):
    """All that lengths depend on beside the texts, JSON-able."""
    import cairo
    import uharfbuzz

    import pixmodels

    config = renderer.get_config()
    # Neither the colours nor the words for them change a width.
    for name in ("color_mode", "ink", "paper"):
        config.pop(name, None)
    versions = [
        pixmodels.__version__,
        cairo.cairo_version_string(),
        uharfbuzz.version_string(),
    ]
    return [type(renderer).__name__, config, versions]


def _shown(progress, total, name):
    if progress is not None:
        return _Told(progress, total)
    if sys.stderr.isatty():
        return _Bar(total, name)
    return _Lines(total, name)


class _Told:
    """Tells a function how far it is."""

    def __init__(self, tell, total):
        self._tell, self._total = tell, total

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass

    def __call__(self, done):
        self._tell(done, self._total)


class _Lines(_Told):
    """Writes a line every few seconds."""

    def __init__(self, total, name):
        super().__init__(self._say, total)
        self._name = name
        self._last = time.monotonic()

    def _say(self, done, total):
        if time.monotonic() - self._last < _EVERY:
            return
        self._last = time.monotonic()
        print(
            f"measuring {self._name}: {done:,} of {total:,}",
            file=sys.stderr,
            flush=True,
        )


class _Bar(_Told):
    """Draws a bar on the terminal."""

    def __init__(self, total, name):
        super().__init__(self._move, total)
        self._name = name

    def __enter__(self):
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            *progress.Progress.get_default_columns(),
            progress.MofNCompleteColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(
            f"measuring {self._name}", total=self._total
        )
        self._bar.start()
        return self

    def __exit__(self, *unused):
        self._bar.stop()

    def _move(self, done, total):
        self._bar.update(self._task, completed=done)
