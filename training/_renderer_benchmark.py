"""Speed of the renderer, measured beside PIXEL's own.

Here: texts, interleaved rounds in CPU time on one core, ratios. Not here:
PIXEL's renderer (_pango.py), benchmarks of models (benchmarks.py)."""

import collections
import lzma
import os
import pathlib
import platform
import statistics
import tarfile
import tempfile
import time

import numpy as np

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import render_corpus
from pixmodels.training import benchmarks

_FONT = "NotoSans-Regular.ttf"
_WORDS = 20  # Words of a line.
_BATCH = 50
_CORPUS_ROUNDS = 5


def run(paths, *, rounds=20, lines=2000, warm_lines=30000):
    """Prints ratios of our renderer's speed to that of PIXEL's.

    Every round draws lines that were not drawn before, first with PIXEL's
    PangoCairo renderer, then with ours from a cache warmed on other text,
    then with ours from an empty cache (filled by the rounds before it only).
    All draw a canvas of 16 x 8464. Before that, the pixels of both are
    compared for every kind of input. Times are CPU seconds of one core.

    Args:
        paths: text files (.txt, .xz, .tar.xz) or folders of them. The last
            `lines` chunks of 20 words are measured, the first `warm_lines`
            warm the cache.
        rounds: int, interleaved rounds.
        lines: int, measured in all rounds together.
        warm_lines: int.

    Raises:
        ValueError: too little text.
        ImportError: PyGObject or Pango is missing; names what to install.
    """
    from pixmodels.training._pango import PangoCairoRenderer

    texts, other = _split(paths, lines, warm_lines)
    pango = PangoCairoRenderer(_make().font_stack.paths[0])
    cores = _pin()
    _head(rounds, texts, other)
    for kind in _KINDS:
        theirs, ours, prepare = _KINDS[kind]
        inputs = [prepare(text) for text in texts]
        _compare(kind, pango, _make(kind), theirs, ours, inputs[:97])
        warm, cold = _make(kind), _make(kind)
        for batch in _batches([prepare(text) for text in other]):
            warm(batch)
        _measure(kind, pango, warm, cold, theirs, ours, inputs, rounds)
    _in_graph(texts, other, rounds)
    _processes(other + texts, cores)


def _measure(kind, pango, warm, cold, theirs, ours, inputs, rounds):
    candidates = {
        "PIXEL": lambda batch: theirs(pango, batch),
        "warm": lambda batch: ours(warm, batch),
        "cold": lambda batch: ours(cold, batch),
    }
    before = {"warm": warm.cache_info(), "cold": cold.cache_info()}
    times = {name: [] for name in candidates}
    size = len(inputs) // rounds
    for number in range(rounds):
        chunk = inputs[number * size : (number + 1) * size]
        for name in benchmarks.turns(candidates, number):
            begin = time.process_time()
            collections.deque(candidates[name](chunk), maxlen=0)
            times[name].append((time.process_time() - begin) / len(chunk))
    rate = 1 / statistics.median(times["PIXEL"])
    print(f"{kind:14} PIXEL {rate:8.0f}/s", flush=True)
    for name, renderer in (("warm", warm), ("cold", cold)):
        ratios = [a / b for a, b in zip(times["PIXEL"], times[name])]
        total = sum(times["PIXEL"]) / sum(times[name])
        print(
            f"{'':14} {name:5} {1 / statistics.median(times[name]):8.0f}/s  "
            f"x{statistics.median(ratios):.2f} "
            f"[{min(ratios):.2f}..{max(ratios):.2f}], x{total:.2f} in total"
            f"{_hit_rate(before[name], renderer.cache_info())}",
            flush=True,
        )


def _hit_rate(before, after):
    hits = after.hits - before.hits
    misses = after.misses - before.misses
    if not hits + misses:
        return ", no cache"
    return f", {100 * hits / (hits + misses):.1f} % of words found"


def _compare(kind, pango, renderer, theirs, ours, inputs):
    """RuntimeError unless both give the same arrays (bigrams: never)."""
    if kind == "bigrams":  # PIXEL-M4 draws code points alone, without kerning.
        return
    expected = np.concatenate(list(theirs(pango, inputs)))
    found = np.concatenate(list(ours(renderer, inputs)))
    for text, one, other in zip(inputs, expected, found, strict=True):
        if not np.array_equal(one, other):
            raise RuntimeError(
                f"expected the pixels of PIXEL's renderer for {kind}. "
                f"Received: others for {text!r}"
            )


# Each yields pixels text by text or batch by batch; who measures drops them.
def _draw(renderer, batch):
    for part in _batches(batch):
        yield renderer(part, num_patches=529).pixels


def _draw_offsets(renderer, batch):
    for part in _batches(batch):
        yield renderer(part, num_patches=529, return_offsets=True).pixels


def _floats(renderer, batch):
    """(B, P, N * P, 1) float32 in [0, 1], as a model is fed."""
    for part in _batches(batch):
        pixels = renderer(part, num_patches=529).pixels
        yield np.divide(pixels[..., None], 255, dtype=np.float32)


def _each(method):
    def draw(pango, batch):
        for item in batch:
            yield getattr(pango, method)(item)["pixels"][None]

    return draw


def _each_pair(method):
    def draw(pango, batch):
        for pair in batch:
            yield getattr(pango, method)(*pair)["pixels"][None]

    return draw


def _their_floats(pango, batch):
    for item in batch:
        yield pango.floats(item)[:1, :, :, None]


def _halves(text):
    words = text.split()
    return " ".join(words[: _WORDS // 2]), " ".join(words[_WORDS // 2 :])


# What is drawn: by PIXEL's, by ours, from which form of a line.
_KINDS = {
    "string": (_each("text"), _draw, str),
    "word list": (_each("words"), _draw, str.split),
    "pair": (_each_pair("pair"), _draw, _halves),
    "pair + offsets": (
        _each_pair("pair_with_offsets"),
        _draw_offsets,
        _halves,
    ),
    "bigrams": (_each("bigrams"), _draw, str),
    "floats": (_their_floats, _floats, str),
}


def _make(kind=None):
    options = {"layout": "bigrams"} if kind == "bigrams" else {}
    return CairoRenderer([_FONT], **options)


def _pin():
    """Puts this process on one core, where the system can; returns all."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    return cores


def _in_graph(texts, other, rounds):
    """Prints the speed of GraphRenderer over ours, at each batch's width."""
    import tensorflow as tf

    from pixmodels.renderers import GraphRenderer

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    graph = GraphRenderer(_make(), scripts=("Latn",))
    cairo = _make()
    for batch in _batches(other):
        cairo(batch)
    graph(other[:_BATCH])
    ratios = []
    size = len(texts) // rounds
    for number in range(rounds):
        chunk = texts[number * size : (number + 1) * size]
        times = {}
        for renderer in (graph, cairo) if number % 2 else (cairo, graph):
            begin = time.process_time()
            for batch in _batches(chunk):
                renderer(batch)
            times[renderer] = time.process_time() - begin
        ratios.append(times[cairo] / times[graph])
        rate = len(chunk) / times[graph]
    print(
        f"{'in graph':14} x{statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}..{max(ratios):.2f}] of our string, warm "
        f"({rate:.0f}/s in the last round), as wide as the longest text",
        flush=True,
    )


def _processes(texts, cores):
    """Prints the speed of `render_corpus` with two workers over one."""
    if cores is None or len(cores) < 2:
        print("two processes  not measured: one core")
        return
    os.sched_setaffinity(0, cores)
    ratios = []
    for number in range(_CORPUS_ROUNDS):
        seconds = {}
        for workers in (1, 2) if number % 2 else (2, 1):
            with tempfile.TemporaryDirectory() as folder:
                begin = time.perf_counter()
                render_corpus(
                    texts,
                    pathlib.Path(folder) / "corpus",
                    _make(),
                    workers=workers,
                    shard_size=1024,
                    progress=False,
                )
                seconds[workers] = time.perf_counter() - begin
        ratios.append(seconds[1] / seconds[2])
        rate = len(texts) / seconds[1]
    print(
        f"two processes  x{statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}..{max(ratios):.2f}] of one ({rate:.0f}/s), "
        f"render_corpus of {len(texts)} lines, wall time"
    )


def _head(rounds, texts, other):
    import cairo
    import uharfbuzz

    characters = statistics.mean(map(len, texts))
    print(
        f"renderer, one core, {rounds} interleaved rounds, {len(texts)} lines "
        f"of {_WORDS} words ({characters:.0f} characters), warmed on "
        f"{len(other)} other lines, batches of {_BATCH}, canvas 16 x 8464\n"
        f"python {platform.python_version()}, numpy {np.__version__}, "
        f"pycairo {cairo.version}, cairo {cairo.cairo_version_string()}, "
        f"HarfBuzz {uharfbuzz.version_string()}, "
        f"{len(os.sched_getaffinity(0))} thread"
    )


def _batches(items):
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _split(paths, lines, warm_lines):
    """`(measured, other)` lines: the text's end and its beginning."""
    first, count = [], 0
    last = collections.deque(maxlen=lines * _WORDS)
    for text in texts_of(paths):
        words = text.split()
        count += len(words)
        first += words[: warm_lines * _WORDS - len(first)]
        last.extend(words)
    if count < len(first) + len(last) and count < 2 * len(last):
        raise ValueError(
            f"expected text of at least {2 * lines * _WORDS} words. "
            f"Received: {count} in --text {[str(path) for path in paths]}"
        )
    first = first[: count - len(last)]
    return _lines(list(last)), _lines(first)


def _lines(words):
    return [
        " ".join(words[start : start + _WORDS])
        for start in range(0, len(words) - _WORDS + 1, _WORDS)
    ]


def texts_of(paths):
    """Texts of files (.txt, .xz, .tar.xz, .tar.gz) and of folders of them."""
    for path in paths:
        path = pathlib.Path(path)
        if path.is_dir():
            yield from texts_of(sorted(p for p in path.iterdir() if _known(p)))
        elif path.name.endswith((".tar.xz", ".tar.gz", ".tar")):
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and member.name.endswith(".txt"):
                        yield archive.extractfile(member).read().decode()
        elif path.suffix == ".xz":
            yield lzma.open(path, "rt", encoding="utf-8").read()
        else:
            yield path.read_text("utf-8")


def _known(path):
    return path.name.endswith((".txt", ".xz", ".tar.gz", ".tar"))
