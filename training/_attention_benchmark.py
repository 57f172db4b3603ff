"""Time, memory and growth of mixers, beside softmax in the same run.

Here: mixing cores and whole layers, forward and with gradients, over lengths;
the table and the plot. Not here: other people's layers (`_peer_benchmark`),
whole training steps (`_step_benchmark`)."""

import dataclasses
import math
import statistics

import numpy as np

from pixmodels.training import _mixer_cores
from pixmodels.training import _peak_memory
from pixmodels.training import benchmarks

# What is measured of a mixer: its name, without projections, with gradients.
KINDS = {
    "core": (True, False),
    "core+gradients": (True, True),
    "layer": (False, False),
    "layer+gradients": (False, True),
}
_YARDSTICK = "softmax"
# Forms of a mixer that are measured besides its default: label, options.
_FORMS = {"softmax": {"softmax, all pairs": {"chunk": None}}}
_SHORTEST = 4096  # Growth is fitted from here on: overheads are small.
_CLEAR = 1.5  # A mode slower by that is not tried at the next length.


@dataclasses.dataclass
class Cell:
    """One mixer at one length in one kind.

    Attributes:
        seconds: list of float, one for each round.
        mode: "graph" or "XLA", whichever was quicker.
        memory: bytes that the process grew by in one call, or None.
        reason: why there is no time, or None.
        margin: time of the slower mode over that of the quicker one, 1 where
            only one was tried.
    """

    seconds: list = dataclasses.field(default_factory=list)
    mode: str = ""
    memory: int | None = None
    reason: str | None = None
    margin: float = 1.0

    @property
    def median(self):
        return statistics.median(self.seconds) if self.seconds else None


def run(
    names,
    lengths,
    *,
    kinds=tuple(KINDS),
    rounds=7,
    heads=4,
    head_dim=64,
    batch=2,
    threads=1,
    budget=60.0,
    plot=None,
):
    """Prints times over softmax's, peak memory and growth; draws them.

    The core is what a mixer does between its projections, which are left out:
    queries, keys and values are given. The layer is all of it. Each is called
    as a graph and compiled by XLA, and the quicker one measured in rounds.

    `softmax` goes by tiles from 4,096 tokens on and is measured with all pairs
    at once as well, if "softmax" is named.

    Args:
        names: mixers, or dict from labels to (mixer, options); softmax is put
            in front, where it is missing.
        lengths: list of N, tokens, ascending.
        kinds: of "core", "core+gradients", "layer" and "layer+gradients".
        rounds: int.
        heads, head_dim, batch: A, E and B; the width is A E. float32.
        threads: of one operation.
        budget: seconds; a call that would take longer, by the growth so far,
            is left out, and one that needs more than half of the free memory.
        plot: path of a picture of times and memory over lengths, or None.

    Raises:
        ValueError: an unknown mixer or kind, or lengths that do not ascend.
    """
    from pixmodels import attention

    if list(lengths) != sorted(set(lengths)):
        raise ValueError(
            f"Expected ascending lengths. Received: --lengths {lengths}"
        )
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(
            f"Expected kinds among {', '.join(KINDS)}. Received: --kinds "
            f"{','.join(kinds)}"
        )
    candidates = {_YARDSTICK: (_YARDSTICK, {})}
    if not isinstance(names, dict):
        names = {name: (name, {}) for name in names}
    for label, (name, options) in names.items():
        attention.get(name)
        candidates[label] = (name, options)
        for form, options in _FORMS.get(label, {}).items():
            candidates[form] = (name, options)
    set_threads(threads)
    width = heads * head_dim
    benchmarks.head(
        f"mixers, float32, B={batch} A={heads} E={head_dim} D={width}, "
        f"{rounds} interleaved rounds"
    )
    shape = (batch, heads, head_dim)
    bench = Bench(candidates, shape, rounds, budget, kinds)
    for length in lengths:
        bench.measure(length)
        bench.show(length)
    bench.show_growth()
    if plot is not None:
        _plot(bench, plot)
        print(plot)


class Bench:
    """Cells of all mixers, filled length by length.

    Args:
        candidates: dict from label to (mixer, options); softmax is first.
        shape: (B, A, E).
        rounds: int.
        budget: seconds of one call.
        kinds: what is measured, keys of `KINDS`.
    """

    def __init__(self, candidates, shape, rounds, budget, kinds=tuple(KINDS)):
        self.kinds = kinds
        self.candidates = candidates
        self.names = list(candidates)
        self.shape = shape
        self.rounds = rounds
        self.budget = budget
        self.cells = {}  # (name, kind, length) -> Cell
        self._lengths = []

    @property
    def lengths(self):
        return list(self._lengths)

    def measure(self, length):
        """Fills the cells of a length."""
        ready = {}
        for name in self.names:
            for kind in self.kinds:
                cell = Cell()
                self.cells[name, kind, length] = cell
                cell.reason = self._too_much(name, kind, length)
                if cell.reason is None:
                    ready[name, kind] = self._prepare(name, kind, length, cell)
        ready = {pair: call for pair, call in ready.items() if call is not None}
        self._lengths.append(length)
        for number in range(self.rounds if ready else 0):
            for pair in benchmarks.turns(ready, number):
                seconds = benchmarks.seconds_of(ready[pair])
                self.cells[(*pair, length)].seconds.append(seconds)

    def _prepare(self, name, kind, length, cell):
        """The quicker form of a call, and its memory; None without one."""
        best, found = None, None
        for mode in self._modes(name, kind):
            try:
                mixer, options = self.candidates[name]
                call = caller(
                    mixer, kind, length, self.shape, mode == "XLA", options
                )
            except ValueError as error:
                cell.reason = str(error)
                return None
            call()  # Compiles.
            seconds = min(benchmarks.seconds_of(call, 0) for _ in range(2))
            if best is not None:
                cell.margin = max(best, seconds) / min(best, seconds)
            if best is None or seconds < best:
                best, found, cell.mode = seconds, call, mode
        cell.memory = _peak_memory.grown_by(found)
        return found

    def _modes(self, name, kind):
        """Both, or the one that was clearly quicker at the length before."""
        if self._lengths:
            last = self.cells[name, kind, self._lengths[-1]]
            if last.margin > _CLEAR or (last.seconds and last.margin == 1):
                return (last.mode,)
        return ("graph", "XLA")

    def _too_much(self, name, kind, length):
        """Why a call would take too long or too much memory, or None."""
        known = [
            (n, self.cells[name, kind, n])
            for n in self._lengths
            if self.cells[name, kind, n].seconds
        ]
        if not known:
            before = [self.cells[name, kind, n] for n in self._lengths]
            return before[-1].reason if before else None
        last, cell = known[-1]
        more = length / last
        # Growth is at least linear and, for the budget, at most quadratic.
        power = 2.0
        if len(known) > 1:
            (a, first), (b, second) = known[-2:]
            power = math.log(second.median / first.median, b / a)
            power = min(2.0, max(1.0, power))
        seconds = cell.median * more**power
        if seconds > self.budget:
            return f"would take about {seconds:.0f} s"
        free = _peak_memory.free()
        if cell.memory and free and cell.memory * more**power > free / 2:
            return (
                f"would take about {cell.memory * more**power / 2**30:.0f} GiB"
            )
        return None

    def show(self, length):
        """Prints the cells of a length."""
        kinds = "".join(f"{kind:>33}" for kind in self.kinds)
        print(
            f"\nN={length}: ms (x faster than softmax) MiB mode\n{'':20}{kinds}"
        )
        for name in self.names:
            cells = [self.cells[name, kind, length] for kind in self.kinds]
            if all(cell.median is None for cell in cells):
                print(f"{name:20} not measured: {cells[0].reason}")
                continue
            row = (self._text(name, kind, length) for kind in self.kinds)
            print(f"{name:20}" + "".join(row), flush=True)

    def _text(self, name, kind, length):
        cell = self.cells[name, kind, length]
        if cell.median is None:
            return f"{'-':>33}"
        ratio = self.speedup(name, kind, length)
        ratio = "" if ratio is None else f"(x{ratio:.2f})"
        memory = "-" if cell.memory is None else f"{cell.memory / 2**20:.0f}"
        time = f"{1e3 * cell.median:.1f}"
        return f"{time:>11} {ratio:>9} {memory:>5} {cell.mode:>5}"

    def speedup(self, name, kind, length):
        """Median over rounds of softmax's time over the mixer's, or None."""
        mine = self.cells[name, kind, length].seconds
        theirs = self.cells[_YARDSTICK, kind, length].seconds
        if not mine or not theirs:
            return None
        return statistics.median(b / a for a, b in zip(mine, theirs))

    def growth(self, name, kind):
        """Exponent of the time in N by least squares, or None.

        From 4,096 tokens on where two such lengths are measured, else over
        all lengths.
        """
        points = [
            (n, self.cells[name, kind, n].median)
            for n in self._lengths
            if self.cells[name, kind, n].seconds
        ]
        long = [point for point in points if point[0] >= _SHORTEST]
        points = long if len(long) > 1 else points
        if len(points) < 2:
            return None
        x, y = np.log(np.array(points)).T
        return float(np.polyfit(x, y, 1)[0])

    def show_growth(self):
        """Prints exponents, claimed costs beside them."""
        from pixmodels import attention

        if len(self._lengths) < 2:
            return
        print("\ntime grows as N to the power of")
        print(f"{'':20}" + "".join(f"{kind:>17}" for kind in self.kinds))
        for name in self.names:
            row = [self.growth(name, kind) for kind in self.kinds]
            text = "".join(
                f"{'-' if power is None else f'{power:.2f}':>17}"
                for power in row
            )
            complexity = attention.get(self.candidates[name][0]).complexity
            print(f"{name:20}{text}  {complexity}")


def set_threads(threads):
    """Gives operations as many threads, or says that it is too late."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        found = tf.config.threading.get_intra_op_parallelism_threads()
        if found != threads:
            print(
                f"TensorFlow has begun already, with {found or 'all'} threads"
            )


def caller(name, kind, length, shape, jit_compile, options=None):
    """A function without arguments that runs a mixer once.

    Args:
        name: mixer.
        kind: "core", "layer", "core+gradients" or "layer+gradients".
        length: N.
        shape: (B, A, E).
        jit_compile: bool.
        options: dict of further arguments of the mixer.

    Raises:
        ValueError: from the mixer, for this length.
    """
    import keras
    import tensorflow as tf

    from pixmodels import attention

    batch, heads, head_dim = shape
    bare, gradients = KINDS[kind]
    keras.utils.set_random_seed(0)
    cls, options = attention.get(name), dict(options or {})
    if "head_dim" in cls.small_options:  # whose heads do not share the width
        options.setdefault("head_dim", head_dim)
    layer = cls(heads, name=f"{name}_{length}", **options)
    size = (batch, length, heads * head_dim)
    layer.build(size)
    rng = np.random.default_rng(0)
    parts = _mixer_cores.projections(layer) if bare else []
    # Queries stand for x, too; layers without them are given it.
    queries = int(any(part[:2] == (layer, "query") for part in parts[:1]))
    widths = [size[-1]] + [units for _, _, units in parts[queries:]]
    inputs = [
        tf.constant(rng.normal(size=(*size[:2], width)), "float32")
        for width in widths
    ]

    def forward(*given):
        if bare:
            _mixer_cores.leave_out(layer, parts, given[1 - queries :])
        return layer(given[0])

    def both(*given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            # Another gradient for each output: sums and squares are cheap.
            loss = 0.5 * tf.reduce_sum(tf.square(forward(*given)))
        sources = [*given, *([] if bare else layer.trainable_variables)]
        found = tape.gradient(loss, sources)
        # Projections of global tokens have none without such tokens.
        return [gradient for gradient in found if gradient is not None]

    run = tf.function(
        both if gradients else forward,
        jit_compile=jit_compile,
        autograph=False,
    )
    run.get_concrete_function(*inputs)  # What it refuses it refuses here.

    def call():
        results = run(*inputs)
        # One number each: the whole result would be copied.
        for result in tf.nest.flatten(results)[:1]:
            result[0, 0, 0].numpy()

    return call


def _plot(bench, path):
    from pixmodels.renderers._libraries import load

    figure = load("matplotlib.figure").Figure(
        figsize=(10, 4.4), dpi=110, layout="constrained"
    )
    time, memory = figure.subplots(1, 2)
    kind = "core+gradients"
    kind = kind if kind in bench.kinds else bench.kinds[0]
    markers = "osD^v<>pP*Xhd"
    for number, name in enumerate(bench.names):
        style = {
            "marker": markers[number % len(markers)],
            "markersize": 4,
            "linewidth": 2.5 if name == _YARDSTICK else 1.2,
            "color": "black" if name == _YARDSTICK else f"C{number % 10}",
            "linestyle": "-" if number < 11 else "--",
            "label": name,
        }
        cells = [(n, bench.cells[name, kind, n]) for n in bench.lengths]
        points = [(n, c.median) for n, c in cells if c.median is not None]
        if points:
            time.plot(*zip(*points), **style)
        points = [(n, c.memory / 2**20) for n, c in cells if c.memory]
        if points:
            memory.plot(*zip(*points), **style)
    for axes, what in ((time, "seconds"), (memory, "peak memory, MiB")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("tokens")
        axes.set_title(f"{kind.replace('+', ' + ')}, {what}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(bench.lengths, [f"{n:,}" for n in bench.lengths])
    figure.legend(*time.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path)
