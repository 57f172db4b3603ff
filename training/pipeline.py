"""Batches as a pure function of (config, seed, step).

Shuffling, bucketing, packing and the filling of short batches; the state of a
pipeline is one integer, the step. Not here: reading or drawing examples
(sources in `pixmodels.tasks`), the thread that works ahead (`prefetcher`),
processes (`worker_pool`), which lengths share a window (`packing`).
"""

import dataclasses
import functools

import numpy as np

from pixmodels.training.packing import Packing
from pixmodels.training.prefetcher import Prefetcher
from pixmodels.training.worker_pool import WorkerPool

# Tells the uses of the generator apart: example order, batch order, and in
# packs the order of examples and of windows.
_EXAMPLES, _BATCHES, _PACKED, _WINDOWS = 0, 1, 2, 3

# Calls that a worker has waiting for it, so that it never waits for us.
_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """Which examples stand in which batch of one epoch.

    Attributes:
        epoch: int, from 0.
        lengths: length of each batch in patches, or None.
        indices: (M, B) int64, example numbers of each of the M batches; -1
            fills the last batch of a bucket. In a packed plan the numbers of
            windows, W of them.
        members: None, or (n,) int64 example numbers, window after window.
        starts: None, or (W + 1,) int64: window k holds the examples
            `members[starts[k]:starts[k + 1]]`.
    """

    epoch: int
    lengths: tuple
    indices: np.ndarray
    members: np.ndarray | None = None
    starts: np.ndarray | None = None

    @classmethod
    def build(cls, buckets, batch_size, seed=None, epoch=0):
        """Plans an epoch.

        Args:
            buckets: list of `(length, example numbers)`.
            batch_size: examples per batch, B.
            seed: int, or None to keep the order of `buckets`.
            epoch: int; each epoch has its own order.

        Returns:
            An `EpochPlan` in which every example stands exactly once.
        """
        lengths, rows = [], []
        for place, (length, examples) in enumerate(buckets):
            if seed is not None:
                order = _order(len(examples), seed, epoch, _EXAMPLES, place)
                examples = examples[order]
            rows.append(_rows(examples, batch_size))
            lengths += [length] * len(rows[-1])
        indices = np.concatenate(rows)
        if seed is not None:
            order = _order(len(indices), seed, epoch, _BATCHES, 0)
            indices = indices[order]
            lengths = [lengths[i] for i in order]
        indices.setflags(write=False)
        return cls(epoch, tuple(lengths), indices)

    @classmethod
    def pack(cls, packing, length, batch_size, seed=None, epoch=0):
        """Plans an epoch of windows that hold several examples each.

        Args:
            packing: `Packing` of the examples.
            length: patches of a window.
            batch_size: windows per batch, B.
            seed: int, or None for an order that is not shuffled.
            epoch: int; each epoch packs anew.

        Returns:
            An `EpochPlan` in which every example stands exactly once.
        """
        counts = packing.num_examples, packing.num_windows
        keys = [np.arange(count, dtype=np.uint64) for count in counts]
        if seed is not None:
            keys = [
                _bits(count, seed, epoch, use, 0)
                for count, use in zip(counts, (_PACKED, _WINDOWS))
            ]
        members, starts = packing.groups(*keys)
        windows = np.arange(packing.num_windows, dtype=np.int64)
        indices = _rows(windows, batch_size)
        for array in (indices, members, starts):
            array.setflags(write=False)
        return cls(epoch, (length,) * len(indices), indices, members, starts)

    def __len__(self):
        return len(self.lengths)

    def groups(self, place, rows=slice(None)):
        """The examples of each row of a packed batch.

        Args:
            place: int, which batch.
            rows: slice of its rows.

        Returns:
            list of int64 arrays; an empty one fills up the last batch.
        """
        return [
            self.members[self.starts[k] : self.starts[k + 1]]
            if k >= 0
            else self.members[:0]
            for k in self.indices[place, rows]
        ]


class Pipeline:
    """Cuts a source into shuffled batches of a few static shapes.

    Args:
        source: object with `__len__`, `lengths` ((n,) ints, patches per
            example, or None) and `get_batch(indices, length, seed, epoch)`,
            a pure function that returns a dict of arrays; index -1 asks for
            a filler example of weight 0. For `pack`, also `get_packs(groups,
            length, seed, epoch)`, with a list of arrays of example numbers,
            one for each row.
        batch_size: examples (packed: windows) per batch, over all hosts.
        seed: int in [0, 2**31), of the shuffling and of the source's own
            randomness.
        buckets: rising lengths in patches. An example goes to the smallest
            bucket that holds it; longer ones go to the largest, where the
            source cuts them. Empty: one bucket as long as the longest
            example. Ignored by a source whose `lengths` is None.
        pack: whether windows of the (one) bucket's length hold several
            examples, as many as fit. Each epoch packs anew.
        workers: processes that `prefetch` has make the batches; 0: a thread
            of this process makes them. The batches are the same.

    Attributes:
        batches_per_epoch: int, the same for every epoch.
        num_too_long: int, examples longer than the largest bucket.
        fill: share of an epoch's patches that are not padding, or None for
            examples of a fixed size.

    Raises:
        ValueError: if the source is empty, `batch_size` is not positive,
            `lengths` does not have one entry per example, or `pack` is asked
            of a source without `lengths`, or with several buckets.
    """

    def __init__(
        self, source, batch_size, seed=0, buckets=(), *, pack=False, workers=0
    ):
        if len(source) == 0:
            raise ValueError(
                "Expected a source with at least one example. "
                f"Received: source={source!r} of length 0"
            )
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
        ):
            if value < least:
                raise ValueError(
                    f"Expected {name} to be at least {least}. "
                    f"Received: {name}={value}"
                )
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.pack = pack
        self.workers = workers
        self.buckets, self.num_too_long = _bucketed(source, buckets)
        self._packing = self._pack(buckets) if pack else None
        counts = [len(examples) for _, examples in self.buckets]
        if pack:
            counts = [self._packing.num_windows]
        self.batches_per_epoch = sum(-(-n // batch_size) for n in counts)
        self.fill = self._fill()
        self._plan = None

    @property
    def bucket_lengths(self):
        """Lengths in use, in patches; `(None,)` for fixed-size examples."""
        return tuple(length for length, _ in self.buckets)

    def plan(self, epoch):
        """The `EpochPlan` of one epoch."""
        # One plan is kept: a pure value, so a second thread at worst
        # computes it again.
        plan = self._plan
        if plan is None or plan.epoch != epoch:
            plan = self._build(self.seed, epoch)
            self._plan = plan
        return plan

    def batch(self, step, host=(0, 1)):
        """The batch of a step: a pure function of (source, seed, step).

        Args:
            step: int from 0; epochs follow one another.
            host: `(index, count)`: of the global batch, only the rows of
                host `index` among `count` are made. In the order of the
                hosts they are the global batch.

        Returns:
            dict of arrays, as the source made them, with `batch_size / count`
            rows.

        Raises:
            ValueError: if `batch_size` is not a multiple of `count`.
        """
        return _made(self.source, self.call(step, host))

    def call(self, step, host=(0, 1)):
        """The call of the source that makes a batch, not carried out.

        Args, Raises: as `batch`.

        Returns:
            `(name of the method, tuple of its arguments)`.
        """
        epoch, place = divmod(step, self.batches_per_epoch)
        return self._call(self.plan(epoch), place, self.seed, epoch, host)

    def prefetch(self, start, stop, *, host=(0, 1), depth=2, put=None):
        """Batches of a range of steps, made ahead of their use.

        Args:
            start, stop: the range of steps.
            host: as for `batch`.
            depth: batches kept ready.
            put: function of a batch, or None: what it returns is handed on
                instead. It runs in the thread that works ahead: the place to
                copy a batch to the device.

        Returns:
            A `Prefetcher`: iterates over `(step, batch)`; to be closed, or
            used as a context manager.
        """
        self._rows(host)  # Refuses a wrong host here, not in the thread.
        if self.workers:
            fetch = _Workers(self, start, stop, host)
        elif host == (0, 1):
            fetch = self.batch
        else:
            fetch = functools.partial(self.batch, host=host)
        return Prefetcher(fetch, start, stop, depth, put)

    def evaluation_batches(self, host=(0, 1)):
        """Yields batches, unshuffled, with every example exactly once.

        They are made one ahead. Masks are those of seed and epoch 0.

        Args:
            host: as for `batch`.
        """
        self._rows(host)
        plan = self._build(None, 0)

        def fetch(place):
            call = self._call(plan, place, self.seed, 0, host)
            return _made(self.source, call)

        with Prefetcher(fetch, 0, len(plan), depth=1) as batches:
            for _, batch in batches:
                yield batch

    def _build(self, seed, epoch):
        if self.pack:
            [(length, _)] = self.buckets
            return EpochPlan.pack(
                self._packing, length, self.batch_size, seed, epoch
            )
        return EpochPlan.build(self.buckets, self.batch_size, seed, epoch)

    def _call(self, plan, place, seed, epoch, host):
        rows = self._rows(host)
        if self.pack:
            method, examples = "get_packs", plan.groups(place, rows)
        else:
            method, examples = "get_batch", plan.indices[place, rows]
        return method, (examples, plan.lengths[place], seed, epoch)

    def _rows(self, host):
        index, count = host
        if not 0 <= index < count:
            raise ValueError(
                "Expected host as (index, count) with 0 <= index < count. "
                f"Received: host={host}"
            )
        if self.batch_size % count:
            raise ValueError(
                "Expected batch_size to be a multiple of the number of hosts, "
                f"{count}. Received: batch_size={self.batch_size}"
            )
        share = self.batch_size // count
        return slice(index * share, (index + 1) * share)

    def _pack(self, buckets):
        if self.source.lengths is None or len(buckets) > 1:
            raise ValueError(
                "Expected, for packing, a source with lengths and one bucket, "
                "the length of a window in patches. Received: "
                f"buckets={tuple(buckets)}, source.lengths="
                f"{'None' if self.source.lengths is None else 'an array'}"
            )
        [(length, _)] = self.buckets
        return Packing(self.source.lengths, length)

    def _fill(self):
        if self.source.lengths is None:
            return None
        lengths = np.asarray(self.source.lengths)
        used, computed = 0, 0
        for length, examples in self.buckets:
            rows = self._packing.num_windows if self.pack else len(examples)
            batches = -(-rows // self.batch_size)
            computed += batches * self.batch_size * length
            used += int(np.minimum(lengths[examples], length).sum())
        return used / computed


class _Workers:
    """`fetch` of a `Prefetcher`: batches from processes, asked for ahead."""

    def __init__(self, pipeline, start, stop, host):
        self._pipeline, self._host = pipeline, host
        self._stop, self._asked = stop, start
        self._tickets = {}
        self._pool = WorkerPool(pipeline.source, pipeline.workers)

    def __call__(self, step):
        ahead = _AHEAD * len(self._pool)
        for later in range(self._asked, min(step + ahead, self._stop)):
            method, arguments = self._pipeline.call(later, self._host)
            self._tickets[later] = self._pool.submit(method, *arguments)
            self._asked = later + 1
        ticket = self._tickets.pop(step)
        return self._pool.result(ticket, f"the batch of step {step}")

    def stop(self):
        """Makes a call in another thread end early."""
        self._pool.kill()

    def close(self):
        self._pool.close()


def _made(source, call):
    method, arguments = call
    return getattr(source, method)(*arguments)


def _bucketed(source, buckets):
    """([(length, example numbers)], number of examples that are too long)."""
    everything = np.arange(len(source), dtype=np.int64)
    if source.lengths is None:
        return [(None, everything)], 0
    lengths = np.asarray(source.lengths)
    if lengths.shape != everything.shape:
        raise ValueError(
            f"Expected one length per example: ({len(source)},). "
            f"Received: source.lengths of shape {lengths.shape}"
        )
    edges = np.array(buckets or [lengths.max()], np.int64)
    if (np.diff(edges) <= 0).any() or edges[0] < 1:
        raise ValueError(
            "Expected positive bucket lengths in rising order. "
            f"Received: buckets={tuple(buckets)}"
        )
    place = np.minimum(np.searchsorted(edges, lengths), len(edges) - 1)
    used = [
        (int(edge), np.flatnonzero(place == i))
        for i, edge in enumerate(edges)
        if (place == i).any()
    ]
    return used, int((lengths > edges[-1]).sum())


def _rows(numbers, batch_size):
    """(n,) numbers as (M, B), filled up with -1."""
    fill = np.full(-len(numbers) % batch_size, -1, np.int64)
    return np.append(numbers, fill).reshape(-1, batch_size)


def _order(size, seed, epoch, use, place):
    """A permutation of `range(size)`, keyed on all other arguments."""
    return np.argsort(_bits(size, seed, epoch, use, place), kind="stable")


def _bits(size, seed, epoch, use, place):
    """(size,) uint64, keyed on all other arguments."""
    # Sorting raw bits needs only what NumPy promises to keep for ever: the
    # bit stream of a bit generator (`Generator.permutation` may change).
    key = np.array([seed, (use << 62) | (place << 40) | epoch], np.uint64)
    return np.random.Philox(key=key).random_raw(size)
