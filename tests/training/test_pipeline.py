import threading
import time

import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from pixmodels.training import Pipeline
from pixmodels.training import Prefetcher


class Recorder:
    """A source whose batches are the arguments it got."""

    def __init__(self, size, lengths=None):
        self.size, self.lengths = size, lengths

    def __len__(self):
        return self.size

    def get_batch(self, indices, length, seed, epoch):
        return {
            "example_id": indices.copy(),
            "length": length,
            "seed": seed,
            "epoch": epoch,
        }


@st.composite
def pipelines(draw):
    lengths = draw(st.none() | st.lists(st.integers(1, 23), min_size=1))
    size = draw(st.integers(1, 40)) if lengths is None else len(lengths)
    buckets = draw(st.just(()) | st.sets(st.integers(1, 23), min_size=1))
    return Pipeline(
        Recorder(size, None if lengths is None else np.array(lengths)),
        draw(st.integers(1, 7)),
        draw(st.integers(0, 2**31 - 1)),
        tuple(sorted(buckets)),
    )


def ids(batches):
    every = np.concatenate([batch["example_id"] for batch in batches])
    return every[every >= 0]


@given(pipelines(), st.integers(0, 3))
def test_each_epoch_has_every_example_once(pipeline, epoch):
    first = epoch * pipeline.batches_per_epoch
    batches = [
        pipeline.batch(first + i) for i in range(pipeline.batches_per_epoch)
    ]
    assert sorted(ids(batches)) == list(range(len(pipeline.source)))
    assert {batch["epoch"] for batch in batches} == {epoch}
    assert all(
        batch["example_id"].shape == (pipeline.batch_size,) for batch in batches
    )
    # Only the last batch of a bucket is filled, and never with filler only.
    short = [b["length"] for b in batches if (b["example_id"] < 0).any()]
    assert len(short) == len(set(short))
    assert all((batch["example_id"] >= 0).any() for batch in batches)


@given(pipelines())
def test_examples_are_in_the_smallest_bucket_that_holds_them(pipeline):
    lengths = pipeline.source.lengths
    if lengths is None:
        assert pipeline.bucket_lengths == (None,)
        return
    used = pipeline.bucket_lengths
    assert list(used) == sorted(set(used))
    too_long = 0
    for step in range(pipeline.batches_per_epoch):
        batch = pipeline.batch(step)
        smaller = [n for n in used if n < batch["length"]]
        for length in lengths[ids([batch])]:
            assert not smaller or length > smaller[-1]
            too_long += length > batch["length"]
    assert pipeline.num_too_long == too_long


@given(pipelines(), st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_a_batch_is_a_pure_function_of_the_step(pipeline, steps):
    again = Pipeline(
        pipeline.source,
        pipeline.batch_size,
        pipeline.seed,
        pipeline.bucket_lengths if pipeline.source.lengths is not None else (),
    )
    for step in steps:  # in any order, on another object
        a, b = pipeline.batch(step), again.batch(step)
        np.testing.assert_array_equal(a["example_id"], b["example_id"])
        assert (a["length"], a["epoch"]) == (b["length"], b["epoch"])


@given(pipelines())
def test_evaluation_keeps_the_order(pipeline):
    batches = list(pipeline.evaluation_batches())
    assert sorted(ids(batches)) == list(range(len(pipeline.source)))
    for length in pipeline.bucket_lengths:
        seen = ids([b for b in batches if b["length"] == length])
        assert list(seen) == sorted(seen)


def test_epochs_and_seeds_shuffle_differently():
    source = Recorder(101)
    orders = [
        tuple(Pipeline(source, 101, seed).batch(epoch)["example_id"])
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    ]
    assert len(set(orders)) == len(orders)
    # By hand: NumPy promises the bit stream of a bit generator.
    bits = np.random.Philox(key=np.array([1, 2], np.uint64)).random_raw(101)
    assert orders[5] == tuple(np.argsort(bits))


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one example"):
        Pipeline(Recorder(0), 3)
    with pytest.raises(ValueError, match="batch_size=0"):
        Pipeline(Recorder(3), 0)
    with pytest.raises(ValueError, match=r"source\.lengths of shape \(2,\)"):
        Pipeline(Recorder(3, np.ones(2)), 3)
    with pytest.raises(ValueError, match="rising order"):
        Pipeline(Recorder(3, np.ones(3)), 3, buckets=(5, 2))


def test_filler_has_no_weight():
    batch = Pipeline(toys.ToySource(7), 5, 3).batch(1)
    assert batch["weight"].sum() == 2


def test_prefetcher_yields_in_order_and_measures_the_wait():
    def slow(step):
        time.sleep(0.02)
        return step * step

    with Prefetcher(slow, 3, 8) as batches:
        assert list(batches) == [(i, i * i) for i in range(3, 8)]
        assert batches.waited >= 0
        assert next(batches, None) is None

    with Prefetcher(slow, 0, 2) as batches:
        next(batches)
        assert 0.005 < batches.waited < 5


def test_prefetcher_stops_in_the_middle():
    before = threading.active_count()
    with Prefetcher(lambda step: step, 0, 10**9) as batches:
        assert next(batches) == (0, 0)
    assert threading.active_count() == before
    batches.close()


def test_prefetcher_raises_what_the_source_raised():
    def broken(step):
        if step == 2:
            raise OSError("expected a file. Received: nothing")
        return step

    before = threading.active_count()
    with Prefetcher(broken, 0, 5) as batches:
        assert [next(batches), next(batches)] == [(0, 0), (1, 1)]
        with pytest.raises(OSError, match="Received: nothing"):
            next(batches)
    assert threading.active_count() == before
