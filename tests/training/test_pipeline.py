import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sources import Noise
from sources import Recorder

from pixmodels.tasks import ImageSource
from pixmodels.training import Pipeline
from pixmodels.training import Prefetcher


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


@settings(max_examples=40)
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


@settings(max_examples=40)
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


@settings(max_examples=40)
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


@settings(max_examples=40)
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
    with pytest.raises(ValueError, match="workers=-1"):
        Pipeline(Recorder(3), 3, workers=-1)
    with pytest.raises(ValueError, match=r"source\.lengths=None"):
        Pipeline(Recorder(3), 3, pack=True)
    with pytest.raises(ValueError, match=r"one bucket.*buckets=\(2, 5\)"):
        Pipeline(Recorder(3, np.ones(3)), 3, buckets=(2, 5), pack=True)
    with pytest.raises(ValueError, match=r"host=\(2, 2\)"):
        Pipeline(Recorder(3), 4).batch(0, host=(2, 2))
    with pytest.raises(ValueError, match=r"number of hosts, 3.*batch_size=4"):
        Pipeline(Recorder(3), 4).prefetch(0, 1, host=(0, 3))


@st.composite
def packed(draw):
    lengths = draw(st.lists(st.integers(1, 23), min_size=1, max_size=60))
    return Pipeline(
        Recorder(len(lengths), np.array(lengths)),
        draw(st.integers(1, 5)),
        draw(st.integers(0, 2**31 - 1)),
        draw(st.just(()) | st.tuples(st.integers(1, 29))),
        pack=True,
    )


@settings(max_examples=40)
@given(packed(), st.integers(0, 3))
def test_packs_hold_every_example_once_and_do_not_overflow(pipeline, epoch):
    first = epoch * pipeline.batches_per_epoch
    batches = [
        pipeline.batch(first + i) for i in range(pipeline.batches_per_epoch)
    ]
    groups = [group for batch in batches for group in batch["groups"]]
    assert {len(batch["groups"]) for batch in batches} == {pipeline.batch_size}
    everyone = [example for group in groups for example in group]
    assert sorted(everyone) == list(range(len(pipeline.source)))
    [length] = pipeline.bucket_lengths
    lengths = np.minimum(pipeline.source.lengths, length)
    assert max(lengths[group].sum() for group in groups) <= length
    # Only as many rows are empty as fill up one batch.
    empty = sum(not group for group in groups)
    assert empty < pipeline.batch_size
    assert pipeline.fill == lengths.sum() / (len(groups) * length)
    again = Pipeline(
        pipeline.source,
        pipeline.batch_size,
        pipeline.seed,
        (length,),
        pack=True,
    )
    place = len(batches) // 2
    assert again.batch(first + place) == batches[place]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 11), min_size=1, max_size=9), st.integers(1, 13))
def test_packing_is_no_worse_than_first_fit(lengths, capacity):
    pipeline = Pipeline(
        Recorder(len(lengths), np.array(lengths)), 1, 0, (capacity,), pack=True
    )
    # First fit decreasing, the oracle, by hand.
    free = []
    for length in sorted((min(n, capacity) for n in lengths), reverse=True):
        for place, room in enumerate(free):
            if room >= length:
                free[place] -= length
                break
        else:
            free.append(capacity - length)
    assert pipeline.batches_per_epoch <= len(free) + 1
    assert (
        pipeline.batches_per_epoch * capacity
        >= np.minimum(lengths, capacity).sum()
    )


def test_each_epoch_packs_anew():
    rng = np.random.default_rng(3)
    source = Recorder(97, rng.integers(2, 9, 97))
    pipeline = Pipeline(source, 5, 7, (23,), pack=True)
    epochs = [
        {
            frozenset(group)
            for step in range(pipeline.batches_per_epoch)
            for group in pipeline.batch(
                epoch * pipeline.batches_per_epoch + step
            )["groups"]
        }
        for epoch in (0, 1)
    ]
    assert len(epochs[0] & epochs[1]) < len(epochs[0]) // 4
    assert Pipeline(source, 1, 7, (23,), pack=True).fill > 0.95


@settings(max_examples=40)
@given(pipelines() | packed(), st.integers(0, 60), st.integers(1, 4))
def test_slices_of_hosts_are_the_global_batch(pipeline, step, count):
    size = pipeline.batch_size * count
    every = Pipeline(
        pipeline.source,
        size,
        pipeline.seed,
        pipeline.bucket_lengths if pipeline.source.lengths is not None else (),
        pack=pipeline.pack,
    )
    key = "groups" if pipeline.pack else "example_id"
    slices = [every.batch(step, host=(i, count)) for i in range(count)]
    assert {len(part[key]) for part in slices} == {size // count}
    joined = [row for part in slices for row in part[key]]
    whole = every.batch(step)
    assert joined == list(whole[key])
    assert {part["length"] for part in slices} == {whole["length"]}


def test_evaluation_in_slices_and_packs():
    source = Recorder(13, np.arange(1, 14))
    pipeline = Pipeline(source, 4, 5, (17,), pack=True)
    batches = list(pipeline.evaluation_batches())
    halves = [list(pipeline.evaluation_batches((i, 2))) for i in range(2)]
    for batch, first, second in zip(batches, *halves, strict=True):
        assert batch["groups"] == first["groups"] + second["groups"]
    everyone = [i for b in batches for group in b["groups"] for i in group]
    assert sorted(everyone) == list(range(13))


def test_filler_has_no_weight():
    source = ImageSource(np.zeros((7, 3, 5), np.uint8))
    batch = Pipeline(source, 5, 3).batch(1)
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


def test_prefetcher_puts_in_its_thread():
    names = []

    def put(batch):
        names.append(threading.current_thread().name)
        return -batch

    with Prefetcher(lambda step: step, 3, 5, put=put) as batches:
        assert list(batches) == [(3, -3), (4, -4)]
    assert set(names) == {"pixmodels-prefetch"}


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


def prefetched(pipeline, start, stop, **options):
    with pipeline.prefetch(start, stop, **options) as batches:
        return list(batches)


def equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert np.asarray(a[name]).dtype == np.asarray(b[name]).dtype


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_same_bytes_from_any_number_of_workers(workers):
    pipeline = Pipeline(Noise(), 6, 11)
    wanted = [pipeline.batch(step) for step in range(3, 17)]
    several = Pipeline(Noise(), 6, 11, workers=workers)
    # Twice, as after a restart in the middle of an epoch.
    found = prefetched(several, 3, 8) + prefetched(several, 8, 17)
    assert [step for step, _ in found] == list(range(3, 17))
    for (_, batch), whole in zip(found, wanted, strict=True):
        equal(batch, whole)
        batch["bits"][:] = 0  # The reader's own.
    for (_, part), whole in zip(prefetched(several, 3, 5, host=(1, 2)), wanted):
        np.testing.assert_array_equal(part["bits"], whole["bits"][3:])
