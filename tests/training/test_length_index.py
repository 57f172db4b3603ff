import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import DrawnTextSource
from pixmodels.tasks import TextFiles
from pixmodels.tasks import TextLengths
from pixmodels.training import Pipeline
from pixmodels.training import length_index
from pixmodels.training import text_lengths

HEAVY = {"tensorflow", "keras", "jax", "torch"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXMODELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "text_lengths"


@pytest.fixture(scope="module")
def renderer():
    try:
        return CairoRenderer(max_patches=31)
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


@pytest.fixture
def files(tmp_path):
    lines = [f"line {'w' * (i % 11)} {i}" for i in range(53)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    return TextFiles(tmp_path / "a.txt")


def refuse(*unused):
    raise AssertionError("measured again")


def test_measured_once(files, renderer, cache, monkeypatch):
    monkeypatch.setattr(length_index, "_CHUNK", 7)
    seen = []
    found = text_lengths(
        files, renderer, workers=2, progress=lambda *n: seen.append(n)
    )
    wanted = TextLengths.measure(files, renderer)
    np.testing.assert_array_equal(found.lengths, wanted.lengths)
    assert found.report() == wanted.report()
    assert seen == [(min(7 * k, 53), 53) for k in range(1, 9)]
    monkeypatch.setattr(length_index.Measurer, "measure", refuse)
    again = text_lengths(files, renderer)
    np.testing.assert_array_equal(again.lengths, wanted.lengths)
    assert isinstance(again.lengths, np.memmap)
    # What changes no width is no other key; what does is.
    text_lengths(files, CairoRenderer(max_patches=31, ink="navy"))
    with pytest.raises(AssertionError, match="measured again"):
        text_lengths(files, CairoRenderer(max_patches=29))
    with pytest.raises(AssertionError, match="measured again"):
        text_lengths([files[i] for i in range(53)], renderer)
    assert len(list(cache.glob("*.npy"))) == 1


def test_a_damaged_index_is_measured_anew(files, renderer, cache):
    wanted = np.array(text_lengths(files, renderer).lengths)
    [path] = cache.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.warns(UserWarning, match="made anew"):
        found = text_lengths(files, renderer)
    np.testing.assert_array_equal(found.lengths, wanted)


def test_missing_glyphs_are_kept(renderer):
    texts = ["a\U000f0000", "", "\U000f0000b"]
    reports = [text_lengths(texts, renderer).report() for _ in range(2)]
    assert reports[0] == reports[1]
    assert reports[0]["missing_glyphs"] == {"\U000f0000": 2}
    assert reports[0]["blank_texts"] == 1


def test_workers_draw_the_same_bytes_without_a_framework(files, renderer):
    source = DrawnTextSource(
        files, renderer, lengths=text_lengths(files, renderer), masking="span"
    )
    for pack in (False, True):
        batches = {}
        for workers in (0, 2):
            pipeline = Pipeline(source, 3, 5, (29,), pack=pack, workers=workers)
            with pipeline.prefetch(2, 6) as ahead:
                batches[workers] = dict(ahead)
        for step, batch in batches[0].items():
            for name, array in batch.items():
                np.testing.assert_array_equal(array, batches[2][step][name])
    from pixmodels.training import WorkerPool

    with WorkerPool(source, 1) as pool:
        pool.result(pool.submit("get_packs", [[0]], 29, 0, 0))
        loaded = pool.result(pool.submit(None))
    assert not HEAVY & set(loaded)
