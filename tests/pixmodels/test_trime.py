"""TRIME: golden numbers, a plain float64 form, memories of test time."""

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import models

BATCH, LENGTH, WIDTH, SIZE = 5, 7, 3, 11


def _numbers(seed=3):
    rng = np.random.default_rng(seed)
    return {
        "logits": rng.normal(size=(BATCH, LENGTH, SIZE)).astype("float32"),
        "contexts": rng.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32"),
        "targets": rng.integers(0, SIZE, (BATCH, LENGTH)),
        "mask": np.arange(LENGTH) < np.array([[7], [5], [7], [3], [2]]),
    }


def _plain(
    logits,
    contexts,
    targets,
    mask,
    memory,
    documents=None,
    keep_local=None,
    temperature=1.0,
):
    """(B, N, V) probabilities, one sum for each context, in float64."""
    found = np.zeros(logits.shape)
    for b in range(BATCH):
        for i in range(LENGTH):
            mass = np.exp(np.float64(logits[b, i]))
            for r in range(BATCH):
                for j in range(LENGTH):
                    other = memory == "batch" or (memory == "long" and r < b)
                    if memory == "long":
                        other = other and documents[r] == documents[b]
                    own = j < i and (keep_local is None or keep_local[b])
                    if mask[r, j] and (own if r == b else other):
                        score = np.float64(contexts[b, i]) @ contexts[r, j]
                        score /= np.sqrt(WIDTH) * temperature
                        mass[targets[r, j]] += np.exp(score)
            found[b, i] = mass / mass.sum()
    return found


def test_golden_numbers(shared):
    arrays = dict(np.load(shared("fixtures/layers/trime.npz")))
    logits = arrays["in/f"] @ arrays["w/E"].T
    inputs = (logits, arrays["in/g"], arrays["in/targets"])
    found = models.trime_log_probs(*inputs)
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(
        found, arrays["out/token_logp"], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        -found.mean(), arrays["out/loss"][0], rtol=0, atol=1e-6
    )
    found = ops.convert_to_numpy(models.trime_probabilities(*inputs))
    np.testing.assert_allclose(found, arrays["out/p_vocab"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "local", "temperature": 1.7},
        {"memory": "long", "documents": np.array([3, 5, 3, 3, 5])},
        {"memory": "batch"},
        {"memory": "batch", "keep_local": np.array([1, 0, 0, 1, 1]) > 0},
    ],
    ids=["local", "long", "batch", "other"],
)
def test_equals_the_plain_form(options):
    numbers = _numbers()
    expected = _plain(**numbers, **options)
    found = models.trime_probabilities(**numbers, **options)
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    targets = numbers["targets"][..., None]
    expected = np.log(np.take_along_axis(expected, targets, -1))[..., 0]
    found = ops.convert_to_numpy(models.trime_log_probs(**numbers, **options))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory", ["local", "long", "batch"])
def test_padding_and_nan(memory):
    numbers, documents = _numbers(), np.zeros(BATCH, "int32")

    def run(**changed):
        found = models.trime_log_probs(
            **{**numbers, **changed}, memory=memory, documents=documents
        )
        return ops.convert_to_numpy(found)[numbers["mask"]]

    expected = run()
    real = numbers["mask"]
    contexts = np.where(real[..., None], numbers["contexts"], np.nan)
    targets = np.where(real, numbers["targets"], 0)
    np.testing.assert_array_equal(
        run(contexts=contexts.astype("float32"), targets=targets), expected
    )
    none = np.zeros_like(real)
    found = run(mask=none)
    plain = numbers["logits"] - np.log(
        np.exp(np.float64(numbers["logits"])).sum(-1, keepdims=True)
    )
    targets = numbers["targets"][..., None]
    plain = np.take_along_axis(plain, targets, -1)[..., 0][real]
    # Memory of other rows is masked, and so is that of the own one.
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-5)


def test_later_contexts_change_nothing_before_them():
    numbers = _numbers()
    expected = ops.convert_to_numpy(models.trime_probabilities(**numbers))
    for at in (1, 4):
        contexts = numbers["contexts"].copy()
        contexts[:, at] += 1
        targets = numbers["targets"].copy()
        targets[:, at] = (targets[:, at] + 1) % SIZE
        found = models.trime_probabilities(
            **{**numbers, "contexts": contexts, "targets": targets}
        )
        found = ops.convert_to_numpy(found)
        np.testing.assert_array_equal(found[:, :at], expected[:, :at])
        assert (found[:, at:] != expected[:, at:]).any()


def test_gradients_go_through_the_memories():
    numbers = _numbers()
    contexts = keras.Variable(numbers["contexts"])

    def loss(value):
        return -ops.mean(
            models.trime_log_probs(
                **{**numbers, "contexts": value}, memory="batch"
            )
        )

    _, (found,) = harness.loss_and_gradients(
        lambda: loss(contexts.value), [contexts]
    )
    along = np.random.default_rng(5).normal(size=found.shape)

    def plain(move):
        probabilities = _plain(
            **{**numbers, "contexts": numbers["contexts"] + move * along},
            memory="batch",
        )
        targets = numbers["targets"][..., None]
        return -np.log(np.take_along_axis(probabilities, targets, -1)).mean()

    slope = (plain(1e-4) - plain(-1e-4)) / 2e-4
    assert abs((found * along).sum() - slope) <= 1e-5 * max(1, abs(slope))
    assert abs(slope) > 1e-3


# --- Memories of test time --------------------------------------------------


def _reader(size=SIZE, width=WIDTH):
    """A language model of one weight matrix: contexts are of two tokens."""
    rng = np.random.default_rng(7)
    table = rng.normal(size=(size, width))
    output = rng.normal(size=(width, size))

    def read(ids, before):
        x = np.where(before >= 0, table[before].T, 0).T
        x = np.concatenate([x[:, None], table[ids]], axis=1)[:, :-1]
        past = np.pad(x, ((0, 0), (1, 0), (0, 0)))
        contexts = x + 0.7 * past[:, :-1]
        return np.tanh(contexts) @ output, contexts

    return read


def _documents():
    rng = np.random.default_rng(3)
    return [rng.integers(0, SIZE, n) for n in (29, 2, 17, 1, 0)]


@pytest.mark.parametrize("overlap", [0, 2])
@pytest.mark.parametrize("long_size", [0, 5, 100])
def test_bits_equal_a_plain_reading(overlap, long_size):
    """Each token by itself: its window, its memories, one sum."""
    length, read, temperature = 5, _reader(), 1.3
    found = models.bits_with_memories(
        read,
        _documents(),
        length=length,
        overlap=overlap,
        long_size=long_size,
        temperature=temperature,
        batch_size=3,
    )
    bits, count = np.zeros(3), 0
    for ids in _documents():
        seen = {}  # the context of each token, as first read for the memory
        start = 0
        while start == 0 or start + overlap < len(ids):
            window = ids[start : start + length]
            before = ids[start - 1] if start else -1
            logits, contexts = (
                y[0] for y in read(window[None], np.array([before]))
            )
            for i, target in enumerate(window):
                if start and i < overlap:
                    continue
                mass = np.exp(logits[i])
                keys = list(zip(contexts[:i], window[:i]))
                old = [seen[t] for t in range(start)]
                old = old[len(old) - min(len(old), long_size) :]
                count += 1
                for n, memories in enumerate(([], keys, keys + old)):
                    whole = mass.copy()
                    for key, value in memories:
                        score = contexts[i] @ key / np.sqrt(WIDTH)
                        whole[value] += np.exp(score / temperature)
                    bits[n] -= np.log2(whole[target] / whole.sum())
            for i in range(min(length - overlap, len(window))):
                seen[start + i] = (contexts[i], window[i])
            start += length - overlap
    assert found["tokens"] == count == 29 + 2 + 17 + 1
    for n, name in enumerate(("none", "local", "long")):
        assert found[name] == pytest.approx(bits[n] / count, abs=1e-5), name


def test_memory_helps_where_text_comes_again():
    """A model that knows nothing; the text is one page four times."""
    page = np.random.default_rng(3).integers(0, SIZE, 41)
    table = np.random.default_rng(5).normal(size=(SIZE**2, 61))

    def read(ids, before):
        past = np.concatenate([np.maximum(before, 0)[:, None], ids], axis=1)
        older = np.pad(past, ((0, 0), (1, 0)))[:, :-1]
        contexts = table[past * SIZE + older][:, :-1]
        return np.zeros((*ids.shape, SIZE)), contexts

    found = models.bits_with_memories(
        read, [np.tile(page, 4)], length=13, long_size=50
    )
    assert found["none"] == pytest.approx(np.log2(SIZE), abs=1e-5)
    assert found["long"] < found["none"] - 1
    assert found["long"] < found["local"]


def test_long_memory_is_the_last_tokens():
    memory = models.LongMemory(5)
    memory.append(np.eye(3)[[0, 1]], [7, 8])
    memory.append(np.eye(3)[[2, 2, 0, 1]], [9, 10, 11, 12])
    assert memory.values.tolist() == [8, 9, 10, 11, 12]
    np.testing.assert_array_equal(memory.keys, np.eye(3)[[1, 2, 2, 0, 1]])
    with pytest.raises(ValueError, match="width 3"):
        memory.append(np.zeros((1, 2)), [3])
    with pytest.raises(ValueError, match=r"values.shape=\(2,\)"):
        memory.append(np.zeros((1, 3)), [3, 5])
    memory.clear()
    assert len(memory) == 0
    with pytest.raises(ValueError, match="size=-1"):
        models.LongMemory(-1)


def test_what_cannot_be_is_refused():
    numbers = _numbers()
    for options, match in (
        ({"memory": "far"}, "memory='far'"),
        ({"memory": "long"}, "documents=None"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"contexts": numbers["contexts"][:, 1:]}, r"contexts.shape=\(5, 6, 3"),
        ({"logits": numbers["logits"][0]}, r"logits.shape=\(7, 11\)"),
        ({"mask": numbers["mask"][:3]}, r"mask.shape=\(3, 7\)"),
    ):
        with pytest.raises(ValueError, match=match):
            models.trime_log_probs(**{**numbers, **options})
    with pytest.raises(ValueError, match="at least one token"):
        models.bits_with_memories(_reader(), [np.array([])], length=5)
    with pytest.raises(ValueError, match="overlap=5"):
        models.bits_with_memories(_reader(), [], length=5, overlap=5)
    with pytest.raises(ValueError, match="interpolation=1.5"):
        models.bits_with_memories(_reader(), [], length=5, interpolation=1.5)
