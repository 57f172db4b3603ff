"""The language model around TRIME's loss, and reading with memories."""

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import layers
from pixmodels import models
from pixmodels.layers import TransformerStack

VOCABULARY = 7
KEY = np.array([3, 5], "int32")


def _body(**options):
    options = {"attention": "sliding_window", **options}
    return TransformerStack(
        2,
        2,
        13,
        attention_options={"causal": True, "window": 5},
        **options,
    )


def _made(**options):
    keras.utils.set_random_seed(3)
    model = models.TRIMEDecoder(
        _body(), vocabulary_size=VOCABULARY, hidden_dim=8, **options
    )
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.5 * rng.normal(size=weight.shape))
    return model


def _batch(**more):
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, VOCABULARY, (5, 11)).astype("int32")
    ids = np.arange(17, 22, dtype="int32")
    return {"tokens": tokens, "example_id": ids, **more}


def test_contexts_are_what_the_last_mlp_is_given():
    model, batch = _made(), _batch()
    given = []
    block = model.body.blocks[-1]
    plain = block.dense_1.call
    block.dense_1.call = lambda x: given.append(x) or plain(x)
    found = harness.arrays_of(model(batch))
    block.dense_1.call = plain
    np.testing.assert_array_equal(
        found["contexts"], ops.convert_to_numpy(given[0])
    )
    decoder = models.TokenDecoder(
        _body(), vocabulary_size=VOCABULARY, hidden_dim=8
    )
    decoder.set_weights(model.get_weights())
    expected = ops.convert_to_numpy(decoder(batch)["logits"])
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-6)
    again = models.TRIMEDecoder.of(decoder, memory="batch")
    assert again.memory == "batch"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again(batch)["logits"]), found["logits"]
    )


@pytest.mark.parametrize("memory", ["local", "long", "batch"])
def test_loss(memory):
    mask = np.arange(11) < np.array([[11], [7], [11], [3], [0]])
    weight = np.array([1, 1, 0, 1, 1], "float32")
    documents = np.array([3, 3, 5, 3, 5], "int32")
    model = _made(memory=memory)
    batch = _batch(mask=mask, weight=weight, document=documents)
    found, counts = harness.arrays_of(model.loss_sums(batch, KEY, False))
    outputs = model(batch)
    expected = models.trime_log_probs(
        outputs["logits"],
        outputs["contexts"],
        batch["tokens"],
        mask=mask,
        memory=memory,
        documents=documents,
    )
    counted = mask * weight[:, None]
    expected = -(ops.convert_to_numpy(expected) * counted).sum()
    assert counts == dict.fromkeys(counts, counted.sum())
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        found["bits_per_token"], expected / np.log(2), rtol=1e-5
    )
    plain = models.TokenDecoder.sums(model, outputs, batch)[0]["loss"]
    np.testing.assert_allclose(
        found["plain_bits_per_token"] * np.log(2),
        ops.convert_to_numpy(plain),
        rtol=1e-5,
    )


def test_local_memories_are_dropped_and_warmed_up():
    batch = _batch()
    none = _made(memory="local", drop_local=0.999999)
    found, _ = harness.arrays_of(none.loss_sums(batch, KEY, True))
    np.testing.assert_allclose(
        found["bits_per_token"], found["plain_bits_per_token"], rtol=1e-5
    )
    found, _ = harness.arrays_of(none.loss_sums(batch, KEY, False))
    assert found["bits_per_token"] != found["plain_bits_per_token"]
    model = _made(warmup_steps=6)
    for step, name in ((5, "plain_bits_per_token"), (6, "bits_per_token")):
        key = np.array([3, step], "int32")
        found, _ = harness.arrays_of(model.loss_sums(batch, key, True))
        np.testing.assert_allclose(
            found["loss"], found[name] * np.log(2), rtol=1e-5
        )


def test_causal_by_perturbation():
    model, tokens = _made(), _batch()["tokens"]

    def probabilities(tokens):
        outputs = model({"tokens": tokens})
        found = models.trime_probabilities(
            outputs["logits"], outputs["contexts"], tokens
        )
        return ops.convert_to_numpy(found)

    before = probabilities(tokens)
    for i in (0, 4, 10):
        changed = tokens.copy()
        changed[:, i] = (changed[:, i] + 1) % VOCABULARY
        after = probabilities(changed)
        np.testing.assert_allclose(
            after[:, : i + 1], before[:, : i + 1], rtol=0, atol=1e-6
        )
        assert i == 10 or np.abs(after[:, i + 1 :] - before[:, i + 1 :]).max()


def test_reading_by_windows():
    """One window over all: bits are those of the training loss."""
    model = _made(memory="local", temperature=1.7)
    tokens = _batch()["tokens"]
    found = models.bits_with_memories(
        model.read, list(tokens), length=11, temperature=1.7
    )
    sums, counts = harness.arrays_of(
        model.loss_sums(_batch(), KEY, training=False)
    )
    for mine, name in (
        ("local", "bits_per_token"),
        ("none", "plain_bits_per_token"),
    ):
        assert found[mine] == pytest.approx(sums[name] / counts[name], rel=1e-5)
    # The token before the window is known.
    first = [
        ops.convert_to_numpy(model.read(tokens[:, 1:], before)[0])[:, 0]
        for before in (np.full(5, -1), tokens[:, 0])
    ]
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_config_saving_and_refusals(tmp_path):
    model = _made(memory="batch", temperature=1.3, drop_local=0.9)
    again = models.TRIMEDecoder.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tokens = _batch()["tokens"]
    for a, b in zip(
        harness.arrays_of(keras.tree.flatten(model(tokens))),
        harness.arrays_of(keras.tree.flatten(loaded(tokens))),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="memory='far'"):
        _made(memory="far")
    with pytest.raises(ValueError, match="Received: Dense"):
        models.TRIMEDecoder(keras.layers.Dense(8), hidden_dim=8)
    with pytest.raises(ValueError, match="documents=None"):
        _made(memory="long").loss_sums(_batch(), KEY)


def test_a_datastore_of_another_width_is_refused():
    pytest.importorskip("faiss")
    model, tokens = _made(), _batch()["tokens"]
    store = models.Datastore(7)
    store.add(np.eye(7), np.arange(7))
    with pytest.raises(ValueError, match="Expected keys of width 7"):
        models.bits_with_memories(
            model.read, [tokens[0]], length=5, datastore=store
        )


@pytest.mark.parametrize("post", [False, True])
def test_blocks_give_contexts_and_steps(post):
    cls = layers.PostNormBlock if post else layers.TransformerBlock
    block = cls(2, 13, attention_options={"causal": True})
    x = np.random.default_rng(3).normal(size=(3, 5, 8)).astype("float32")
    whole = ops.convert_to_numpy(block(x))
    x = ops.convert_to_tensor(x)
    again, _ = block.with_context(x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(again), whole, rtol=0, atol=1e-6
    )
    cache = block.initial_cache(3, 5)
    for i in range(5):
        row, cache = block.step(x[:, i], cache, i)
        np.testing.assert_allclose(
            ops.convert_to_numpy(row), whole[:, i], rtol=0, atol=1e-5
        )
