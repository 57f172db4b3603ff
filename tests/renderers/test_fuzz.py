"""Any text is drawn, and always as the same bytes.

Texts come from hypothesis and from tests/random_texts.py. The same bytes: on a
second call, in a second process, after pickling, after a fork."""

import pathlib
import pickle
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
import random_texts
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import RenderedBatch

COUNT = 200  # Items of a block.
SCRIPT = pathlib.Path(random_texts.__file__)
ANY = st.text(st.characters(), max_size=40)  # With surrogates.
TEXTS = st.one_of(
    ANY,
    st.integers(0, 2**32).map(lambda seed: random_texts.Texts(seed).text()),
)
ITEMS = st.one_of(TEXTS, st.tuples(TEXTS, TEXTS), st.lists(TEXTS, max_size=7))


def start(renderer, mode, seeds, count=COUNT):
    """Starts random_texts.py in a new process, with the renderer pickled."""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    pickle.dump((renderer, mode, list(seeds), count), child.stdin)
    child.stdin.close()
    return child


def finish(child):
    with child:
        result = child.stdout.read()
    assert child.returncode == 0
    return pickle.loads(result)


def check(batch, items):
    """What holds for every batch, whatever the texts."""
    assert isinstance(batch, RenderedBatch)
    assert len(batch) == len(items)
    size = batch.patch_size
    for index, item in enumerate(items):
        row = batch.pixels[index]
        end = (batch.num_patches[index] + 1) * size
        assert np.all(row[:, end:] == 255)
        assert np.all(row[:, end - size : end] == 0)
        seps = batch.sep_patches[index]
        assert seps[-1] == batch.num_patches[index]
        assert list(seps) == sorted(seps)
        parts = [item] if isinstance(item, str) else item
        for cut in batch.truncated[index] or ():
            assert cut.text == parts[cut.part][cut.start :]
            assert cut.end == len(parts[cut.part])
        everything = "".join(parts)
        assert all(lost in everything for lost in batch.missing[index])


@settings(max_examples=150, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=5))
@example(["\u202e\u05d0\u0300\U0001f972", ("", "\ud800"), [], ["", " "]])
@example(["\u0e33" * 70, "\r\n\u2028\x00\t", ("\t\t", "\u3164")])
def test_anything_is_drawn_twice_alike(renderer, items):
    batch = renderer(items)
    check(batch, items)
    found = random_texts.digest(batch)
    assert random_texts.digest(renderer(items)) == found
    # The earlier batch is not written over.
    assert random_texts.digest(batch) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, min_size=2, max_size=4))
def test_neighbours_do_not_matter(renderer, items):
    """A text in a batch looks as it does alone, at the batch's width."""
    batch = renderer(items)
    width = batch.pixels.shape[2] // batch.patch_size
    for index, item in enumerate(items):
        alone = renderer([item], num_patches=max(width, 2))
        wide = batch.pixels[index].shape[1]
        np.testing.assert_array_equal(
            alone.pixels[0][:, :wide], batch.pixels[index]
        )
        assert alone.missing[0] == batch.missing[index]


SETTINGS = [
    {"layout": "words"},
    {"layout": "bigrams"},
    {"layout": "mono"},
    {"layout": "adaptive"},
    {"direction": "rtl"},
    {"baseline": "pygame"},
    {"color_mode": "rgb", "ink": "#102030", "paper": "#fff0e0"},
    {"layout": "bigrams", "color_mode": "rgb", "patch_size": (23, 13)},
    {"max_patches": 7, "patch_size": 19, "font_size": 11},
    {"max_patches": 3, "layout": "adaptive", "language": "ja"},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_every_way_of_drawing(renderer, setting):
    """Twice, from a copy, and by the path that gives offsets."""
    fresh = CairoRenderer(renderer.font_stack, **setting)
    items = random_texts.block(5000, 60)
    batch = fresh(items)
    found = random_texts.digest(batch)
    assert random_texts.digest(fresh(items)) == found
    copy = pickle.loads(pickle.dumps(fresh))
    assert random_texts.digest(copy(items)) == found
    full = fresh(items, return_offsets=True)
    np.testing.assert_array_equal(full.pixels, batch.pixels)
    assert full.word_starts == batch.word_starts
    assert full.truncated == batch.truncated
    assert full.missing == batch.missing
    check_offsets(full, items)


def check_offsets(batch, items):
    """Every character is found in patches, or was cut."""
    last = batch.grid[1] - 1
    for index, item in enumerate(items):
        parts = [item] if isinstance(item, str) else item
        cut = {
            entry.part: entry.start for entry in batch.truncated[index] or ()
        }
        found = {part: set() for part in range(len(parts))}
        for part, start, end, text in batch.locate(index, 0, last):
            assert parts[part][start:end] == text
            found[part].update(range(start, end))
        for part, text in enumerate(parts):
            kept = set(range(cut.get(part, len(text))))
            assert found[part] >= kept, (item, part)


LAYOUTS = ("continuous", "words", "bigrams", "mono", "adaptive")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_packs_and_pages(renderer, layout):
    """Twice alike; every character is in a window, in a row of a pack."""
    small = CairoRenderer(renderer.font_stack, max_patches=41, layout=layout)
    texts = random_texts.Texts(6000)
    for _ in range(7):
        pair = texts.text()[:19], texts.text() * 3
        several = [texts.text() for _ in range(5)]
        calls = [
            partial(small.windows, pair, stride=3, question_patches=17),
            partial(small.pack, several, 23),
        ]
        if layout == "continuous":
            calls.append(partial(small.page, several, rows=5, columns=7))
        batches = [call() for call in calls]
        for call, batch in zip(calls, batches):
            assert random_texts.digest(call()) == random_texts.digest(batch)
        assert found_in(batches[0], 1) >= set(range(len(pair[1])))
        for part, text in enumerate(several):
            assert found_in(batches[1], part) >= set(range(len(text)))


def found_in(batch, part):
    """The characters of a part that are in the patches of any row."""
    found = set()
    for index in range(len(batch)):
        for place in batch.locate(index, 0, batch.grid[1] - 1):
            if place.part == part:
                found.update(range(place.start, place.end))
    return found


def test_same_bytes_everywhere(renderer):
    """Some hundreds of items in all the ways that the slow test uses."""
    fresh = CairoRenderer(renderer.font_stack)
    seeds = range(2)
    child = start(fresh, "fork", seeds)
    first = random_texts.digests(fresh, seeds, COUNT)
    assert random_texts.digests(fresh, seeds, COUNT) == first
    assert finish(child) == (first, first, first)


@pytest.mark.slow
def test_hundred_thousand_items(renderer):
    """Second call here; second process, pickle and fork in the child."""
    fresh = CairoRenderer(renderer.font_stack)
    seeds = range(1000, 1500)
    # From the end, so that neither finds what the other drew before.
    child = start(fresh, "fork", reversed(seeds))
    first = random_texts.digests(fresh, seeds, COUNT)
    again = random_texts.digests(fresh, seeds, COUNT)
    different = [s for s, a, b in zip(seeds, first, again) if a != b]
    assert different == []
    before, again, forked = finish(child)
    assert again == before[: len(again)]
    for other in (before, forked):
        pairs = zip(seeds, first, reversed(other), strict=True)
        assert [seed for seed, a, b in pairs if a != b] == []


def test_fork_while_another_thread_draws(renderer):
    """The child neither waits for a lock nor finds half a state."""
    fresh = CairoRenderer(renderer.font_stack)
    seeds = range(3000, 3007)
    child = start(fresh, "fork while drawing", seeds, 17)
    expected = random_texts.digests(fresh, seeds, 17)
    try:
        child.wait(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    assert finish(child) == expected


@pytest.mark.slow
def test_long_texts(renderer):
    """Some thousand characters each, cut and reported."""
    texts = [random_texts.Texts(seed).long() for seed in range(60)]
    assert max(map(len, texts)) > 2_000
    for text in texts:
        items = [text, (text, text), text.split()]
        batch = renderer(items)
        check(batch, items)
        again = random_texts.digest(renderer(items))
        assert again == random_texts.digest(batch)


def test_two_threads_with_two_renderers(renderer):
    seeds = range(4000, 4003)
    expected = random_texts.digests(renderer, seeds, 61)
    found = {}

    def draw(name):
        own = CairoRenderer(renderer.font_stack)
        found[name] = random_texts.digests(own, seeds, 61)

    threads = [threading.Thread(target=draw, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": expected, "b": expected}
