"""The datastore of neighbours on FAISS, and what it gives to TRIME."""

import builtins

import numpy as np
import pytest

from pixmodels import models

WIDTH, SIZE = 5, 11


def test_faiss_is_asked_for_by_name(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "faiss":
            raise ImportError("no module named faiss")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    with pytest.raises(ImportError, match=r"pip install pixmodels\[memory\]"):
        models.Datastore(WIDTH)


@pytest.fixture(scope="module")
def numbers():
    pytest.importorskip("faiss")
    rng = np.random.default_rng(3)
    keys = rng.normal(size=(97, WIDTH)).astype("float32")
    return keys, rng.integers(0, SIZE, 97), rng.normal(size=(7, WIDTH))


@pytest.mark.parametrize("index", ["Flat", "IVF2,Flat"])
def test_finds_the_largest_products(numbers, index, tmp_path):
    keys, values, queries = numbers
    store = models.Datastore(WIDTH, index=index)
    if index != "Flat":
        with pytest.raises(ValueError, match="Expected train"):
            store.add(keys, values)
        store.train(keys)
    store.add(keys[:31], values[:31])
    store.add(keys[31:], values[31:])
    store.save(tmp_path / "store")
    products = queries @ np.float64(keys).T
    order = np.argsort(-products, axis=1)[:, :13]
    for found in (store, models.Datastore.load(tmp_path / "store")):
        assert len(found) == 97
        scores, tokens = found.search(queries, 13)
        np.testing.assert_allclose(
            scores, np.take_along_axis(products, order, 1), rtol=0, atol=1e-5
        )
        np.testing.assert_array_equal(tokens, values[order])
    scores, tokens = store.search(queries, 1000)
    assert scores.shape == tokens.shape == (7, 97)


def test_external_memory(numbers):
    """All neighbours: the same as one sum over the whole datastore."""
    keys, values, _ = numbers
    rng = np.random.default_rng(5)
    table = rng.normal(size=(SIZE, WIDTH))
    output = rng.normal(size=(WIDTH, SIZE))

    def read(ids, before):
        x = np.concatenate([before[:, None], ids], axis=1)[:, :-1]
        return table[x] @ output, table[x]

    store = models.Datastore(WIDTH)
    options = {"length": 5, "temperature": 1.3, "datastore": store}
    ids = rng.integers(0, SIZE, 12)
    past = np.concatenate([[-1], ids])  # the last row stands for the start
    with pytest.raises(ValueError, match="Received: an empty one"):
        models.bits_with_memories(read, [ids], **options)
    store.add(keys, values)
    found = models.bits_with_memories(
        read,
        [ids],
        **options,
        interpolation=0.3,
        interpolation_temperature=10.5,
    )
    bits = np.zeros(2)
    for t in range(12):
        context, target = table[past[t]], ids[t]
        scores = np.float64(keys) @ context / np.sqrt(WIDTH)
        mass = np.exp(context @ output)
        for s in range(t - t % 5, t):
            score = context @ table[past[s]] / np.sqrt(WIDTH)
            mass[ids[s]] += np.exp(score / 1.3)
        np.add.at(mass, values, np.exp(scores / 1.3))
        alone = np.zeros(SIZE)
        np.add.at(alone, values, np.exp(scores / 10.5))
        joint = mass[target] / mass.sum()
        bits[0] -= np.log2(joint)
        bits[1] -= np.log2(0.7 * joint + 0.3 * alone[target] / alone.sum())
    assert found["external"] == pytest.approx(bits[0] / 12, abs=1e-5)
    assert found["interpolated"] == pytest.approx(bits[1] / 12, abs=1e-5)


def test_filled_by_reading(numbers):
    rng = np.random.default_rng(5)
    table = rng.normal(size=(SIZE, WIDTH))
    documents = [rng.integers(0, SIZE, n) for n in (13, 2, 1)]
    store = models.Datastore(WIDTH)
    models.fill_datastore(
        lambda ids, before: (table[ids], table[ids]),
        documents,
        store,
        length=5,
        overlap=2,
    )
    np.testing.assert_array_equal(store.values, np.concatenate(documents))


def test_what_cannot_be_is_refused(numbers, tmp_path):
    keys, values, queries = numbers
    with pytest.raises(ValueError, match="index='Fat'"):
        models.Datastore(WIDTH, index="Fat")
    store = models.Datastore(WIDTH)
    with pytest.raises(ValueError, match="an empty one"):
        store.search(queries, 3)
    with pytest.raises(ValueError, match="width 5, as those of the datastore"):
        store.add(keys[:, 1:], values)
    with pytest.raises(ValueError, match=r"values.shape=\(3,\)"):
        store.add(keys, values[:3])
    with pytest.raises(ValueError, match="1 of 97 with NaN"):
        store.add(np.where(np.arange(97)[:, None] == 3, np.nan, keys), values)
    store.add(keys, values)
    with pytest.raises(ValueError, match=r"keys.shape=\(7, 4\)"):
        store.search(queries[:, 1:], 3)
    store.save(tmp_path)
    np.save(tmp_path / "values.npy", values[:3])
    with pytest.raises(ValueError, match="Expected 3 contexts"):
        models.Datastore.load(tmp_path)
