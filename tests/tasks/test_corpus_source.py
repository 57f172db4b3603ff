import pickle

import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import render_corpus
from pixmodels.tasks import CorpusSource
from pixmodels.tasks import DrawnTextSource

TEXTS = [f"text {'w' * (i % 13)} of {i}" for i in range(23)]


@pytest.fixture(scope="module")
def renderer():
    try:
        return CairoRenderer(max_patches=31)
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


@pytest.fixture(params=["arrayrecord", "tfrecord"])
def folder(renderer, tmp_path, request):
    render_corpus(
        [*TEXTS, "x" * 199],
        tmp_path / "corpus",
        renderer,
        workers=0,
        shard_size=11,
        format=request.param,
        progress=False,
    )
    return tmp_path / "corpus"


def test_it_gives_what_is_drawn(folder, renderer):
    options = {"masking": "span", "mask_options": {"ratio": 0.3}}
    source = CorpusSource(folder, **options)
    drawn = DrawnTextSource([*TEXTS, "x" * 199], renderer, **options)
    np.testing.assert_array_equal(source.lengths, drawn.lengths)
    again = pickle.loads(pickle.dumps(source))
    for method, examples in (
        ("get_batch", [5, -1, 23, 0]),
        ("get_packs", [[1, 2], [], [17]]),
    ):
        wanted = getattr(drawn, method)(examples, 31, 3, 1)
        for some in (source, again):
            found = getattr(some, method)(examples, 31, 3, 1)
            assert found.keys() == wanted.keys()
            for name in found:
                np.testing.assert_array_equal(found[name], wanted[name])
    assert source.report(5)["cut_by_renderer"] == 1
    assert source.report(5)["longer_than_max_length"] == sum(drawn.lengths > 5)


def test_a_part(folder):
    whole = CorpusSource(folder)
    part = CorpusSource(folder, indices=np.array([7, 2, 19]), labels=[1, 2, 3])
    assert len(part) == 3
    batch = part.get_batch([2, 0])
    assert batch["label"].tolist() == [3, 1]
    np.testing.assert_array_equal(
        batch["pixels"], whole.get_batch([19, 7])["pixels"]
    )


@pytest.mark.parametrize("how", ["half", "tail", "gone", "other"])
def test_damaged_shards_are_named(folder, how):
    [shard] = [f for f in folder.iterdir() if f.stem == "shard-00001"]
    data = shard.read_bytes()
    if how == "half":
        shard.write_bytes(data[: len(data) // 2])
    elif how == "tail":
        shard.write_bytes(data[:-7])
    elif how == "gone":
        shard.unlink()
    else:
        middle = len(data) // 2
        shard.write_bytes(data[:middle] + bytes(400) + data[middle + 400 :])
    source = CorpusSource(folder)
    source.get_batch([0, 22])  # The other shards are whole.
    # A shard of the right size may be damaged in some records only.
    with pytest.raises(ValueError, match=f"shard as.*{shard.name}, item 1"):
        source.get_packs([range(11, 22)], 999)


def test_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        CorpusSource(tmp_path)
