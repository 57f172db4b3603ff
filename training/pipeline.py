"""Batches as a pure function of (config, seed, step).

Shuffling, bucketing and the filling of short batches; the state of a pipeline
is one integer, the step. Not here: reading or drawing examples (sources in
`pixmodels.tasks`), the thread that works ahead (`prefetcher`).
"""

import dataclasses

import numpy as np

# Tells the two uses of the generator apart: example order, batch order.
_EXAMPLES, _BATCHES = 0, 1


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """Which examples stand in which batch of one epoch.

    Attributes:
        epoch: int, from 0.
        lengths: bucket length of each batch in patches, or None.
        indices: (M, B) int64, example numbers of each of the M batches; -1
            fills the last batch of a bucket.
    """

    epoch: int
    lengths: tuple
    indices: np.ndarray

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
            fill = -len(examples) % batch_size
            examples = np.append(examples, np.full(fill, -1, np.int64))
            rows.append(examples.reshape(-1, batch_size))
            lengths += [length] * len(rows[-1])
        indices = np.concatenate(rows)
        if seed is not None:
            order = _order(len(indices), seed, epoch, _BATCHES, 0)
            indices = indices[order]
            lengths = [lengths[i] for i in order]
        indices.setflags(write=False)
        return cls(epoch, tuple(lengths), indices)

    def __len__(self):
        return len(self.lengths)


class Pipeline:
    """Cuts a source into shuffled batches of a few static shapes.

    Args:
        source: object with `__len__`, `lengths` ((n,) ints, patches per
            example, or None) and `get_batch(indices, length, seed, epoch)`,
            a pure function that returns a dict of arrays; index -1 asks for
            a filler example of weight 0.
        batch_size: examples per batch.
        seed: int in [0, 2**31), of the shuffling and of the source's own
            randomness.
        buckets: rising lengths in patches. An example goes to the smallest
            bucket that holds it; longer ones go to the largest, where the
            source cuts them. Empty: one bucket as long as the longest
            example. Ignored by a source whose `lengths` is None.

    Attributes:
        batches_per_epoch: int, the same for every epoch.
        num_too_long: int, examples longer than the largest bucket.

    Raises:
        ValueError: if the source is empty, `batch_size` is not positive, or
            `lengths` does not have one entry per example.
    """

    def __init__(self, source, batch_size, seed=0, buckets=()):
        if len(source) == 0:
            raise ValueError(
                "Expected a source with at least one example. "
                f"Received: source={source!r} of length 0"
            )
        if batch_size < 1:
            raise ValueError(
                "Expected batch_size to be at least 1. "
                f"Received: batch_size={batch_size}"
            )
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.buckets, self.num_too_long = _bucketed(source, buckets)
        self.batches_per_epoch = sum(
            -(-len(examples) // batch_size) for _, examples in self.buckets
        )
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
            plan = EpochPlan.build(
                self.buckets, self.batch_size, self.seed, epoch
            )
            self._plan = plan
        return plan

    def batch(self, step):
        """The batch of a step: a pure function of (source, seed, step).

        Args:
            step: int from 0; epochs follow one another.

        Returns:
            dict of arrays, as the source made them.
        """
        epoch, place = divmod(step, self.batches_per_epoch)
        plan = self.plan(epoch)
        return self.source.get_batch(
            plan.indices[place], plan.lengths[place], self.seed, epoch
        )

    def evaluation_batches(self):
        """Yields batches, unshuffled, with every example exactly once."""
        plan = EpochPlan.build(self.buckets, self.batch_size)
        for indices, length in zip(plan.indices, plan.lengths):
            yield self.source.get_batch(indices, length, self.seed, 0)


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


def _order(size, seed, epoch, use, place):
    """A permutation of `range(size)`, keyed on all other arguments."""
    # Sorting raw bits needs only what NumPy promises to keep for ever: the
    # bit stream of a bit generator (`Generator.permutation` may change).
    key = np.array([seed, (use << 62) | (place << 40) | epoch], np.uint64)
    return np.argsort(np.random.Philox(key=key).random_raw(size), kind="stable")
