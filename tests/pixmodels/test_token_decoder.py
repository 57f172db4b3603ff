"""Language models over tokens: likelihood, causality, sampling, refusals."""

import itertools

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import attention
from pixmodels.layers import TransformerStack
from pixmodels.models import TokenDecoder

VOCABULARY = 7


def made(mixer="softmax", seed=3, mixer_options=None, **options):
    """A tiny language model with weights that matter."""
    keras.utils.set_random_seed(seed)
    small = attention.get(mixer).small_options
    body = TransformerStack(
        1,
        2,
        13,
        attention=mixer,
        attention_options={"causal": True, **small, **(mixer_options or {})},
    )
    options = {"vocabulary_size": VOCABULARY, "hidden_dim": 8, **options}
    model = TokenDecoder(body, **options)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.5 * rng.normal(size=weight.shape))
    return model


def tokens_of(length, batch=3, seed=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, VOCABULARY, (batch, length)).astype("int32")


def batch_of(tokens, **more):
    ids = 3 + 2 * np.arange(len(tokens), dtype="int32")
    return {"tokens": tokens, "example_id": ids, **more}


KEY = np.array([3, 5], "int32")


def loss_of(model, batch):
    sums = model.loss_sums(batch, KEY, training=False)
    return harness.arrays_of(sums)


def test_probabilities_of_all_sequences_add_up_to_one():
    model = made(vocabulary_size=3, head_bias=True, tie_embedding=False)
    every = np.array(list(itertools.product(range(3), repeat=3)), "int32")
    logits = model(every)["logits"]
    nats = harness.arrays_of(model.losses(logits, ops.convert_to_tensor(every)))
    assert abs(np.exp(-nats.sum(axis=1)).sum() - 1) < 1e-5


def test_loss_is_that_of_the_chain_rule():
    model = made(positions="sincos", position_grid=(1, 11))
    tokens = tokens_of(5)
    mask = np.arange(5) < np.array([[5], [2], [0]])
    weight = np.array([1, 1, 1], "float32")
    numerators, counts = loss_of(
        model, batch_of(tokens, mask=mask, weight=weight)
    )
    nats = 0.0
    for row, count in zip(tokens, (5, 2, 0), strict=True):
        for i in range(count):
            logits = model(row[None, : i + 1])["logits"]
            logits = harness.arrays_of(logits)[0, i].astype("float64")
            nats -= logits[row[i]] - np.log(np.exp(logits).sum())
    assert counts == {"loss": 7, "bits_per_token": 7}
    np.testing.assert_allclose(numerators["loss"], nats, rtol=1e-5)
    np.testing.assert_allclose(
        numerators["bits_per_token"], nats / np.log(2), rtol=1e-5
    )


@pytest.mark.parametrize("mixer", ["softmax", "sliding_window", "linear"])
def test_causal_by_perturbation(mixer):
    model, tokens = made(mixer), tokens_of(6)
    before = harness.arrays_of(model(tokens)["logits"])
    for i in range(6):
        changed = tokens.copy()
        changed[:, i] = (changed[:, i] + 1) % VOCABULARY
        after = harness.arrays_of(model(changed)["logits"])
        np.testing.assert_allclose(
            after[:, : i + 1], before[:, : i + 1], rtol=0, atol=1e-6
        )
        if i < 5:
            assert np.abs(after[:, i + 1] - before[:, i + 1]).max() > 1e-3


def test_steps_are_rows_of_the_call():
    model = made("sliding_window", positions="learned", position_grid=(1, 6))
    tokens = tokens_of(6)
    whole = harness.arrays_of(model(tokens)["logits"])
    cache = model.initial_cache(3, 6)
    for i in range(6):
        row, cache = model.step(
            ops.convert_to_tensor(tokens[:, max(i - 1, 0)]), cache, i
        )
        np.testing.assert_allclose(
            harness.arrays_of(row), whole[:, i], rtol=0, atol=2e-5
        )


def test_greedy_samples_are_the_likeliest_tokens():
    model, prompt = made("linear"), tokens_of(2)
    found = harness.arrays_of(model.sample(3, prompt=prompt, temperature=0))
    tokens = prompt
    for _ in range(3):
        padded = np.concatenate([tokens, tokens[:, :1]], axis=1)
        logits = harness.arrays_of(model(padded)["logits"])[:, -1]
        tokens = np.concatenate([tokens, logits.argmax(1)[:, None]], axis=1)
    np.testing.assert_array_equal(found, tokens)
    same = model.sample(3, prompt=prompt, temperature=1.0, top_k=1, seed=9)
    np.testing.assert_array_equal(harness.arrays_of(same), tokens)


def test_samples_have_the_probabilities_of_the_model():
    model = made(vocabulary_size=5)
    logits = harness.arrays_of(model(tokens_of(1, 1) * 0)["logits"])[0, 0]
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    drawn = model.sample(1, batch_size=4001, seed=3, temperature=2.0)
    share = np.bincount(harness.arrays_of(drawn)[:, 0], minlength=5) / 4001
    # Five deviations of a share from 4,001 draws.
    assert np.abs(share - expected).max() < 5 * (0.25 / 4001) ** 0.5


def test_samples_are_functions_of_the_seed():
    model = made("linear")
    first = harness.arrays_of(model.sample(4, batch_size=5, seed=3))
    longer = model.sample(5, batch_size=7, seed=3)
    np.testing.assert_array_equal(harness.arrays_of(longer)[:5, :4], first)
    other = harness.arrays_of(model.sample(4, batch_size=5, seed=4))
    assert (other != first).any()
    run = harness.compiled(
        lambda p: model.sample(2, prompt=p, seed=3, top_k=3), True
    )
    if run is not None:
        prompt = tokens_of(2)
        expected = model.sample(2, prompt=prompt, seed=3, top_k=3)
        np.testing.assert_array_equal(
            harness.arrays_of(run(ops.convert_to_tensor(prompt))),
            harness.arrays_of(expected),
        )


def test_previous_tokens_go_on():
    model, tokens = made(), tokens_of(2)
    plain = harness.arrays_of(model(tokens)["logits"])
    fresh = model({"tokens": tokens, "previous": np.array([-1, -1, -1])})
    np.testing.assert_array_equal(harness.arrays_of(fresh["logits"]), plain)
    after = model({"tokens": tokens, "previous": np.array([-1, 2, 0])})
    after = harness.arrays_of(after["logits"])
    np.testing.assert_array_equal(after[0], plain[0])
    second = model(np.array([[2, 5]], "int32"))["logits"]  # 2, then this place
    other = model({"tokens": np.array([[5]]), "previous": np.array([2])})
    assert harness.arrays_of(second).shape == (1, 2, VOCABULARY)
    assert np.abs(after[1] - plain[1]).max() > 1e-3
    assert harness.arrays_of(other["logits"]).shape == (1, 1, VOCABULARY)


@pytest.mark.slow
def test_fit_and_saved_file(tmp_path):
    model = made("sliding_window", dropout_rate=0.1)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    tokens = np.tile(np.arange(6, dtype="int32"), (10, 1))
    data = {"tokens": tokens, "mask": np.ones_like(tokens, dtype=bool)}
    history = model.fit(data, batch_size=5, epochs=4, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    path = str(tmp_path / "decoder.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    config = model.get_config()
    assert type(model).from_config(config).get_config() == config
    np.testing.assert_array_equal(
        harness.arrays_of(loaded(tokens)["logits"]),
        harness.arrays_of(model(tokens)["logits"]),
    )


def test_short_and_empty():
    model = made()
    empty = harness.arrays_of(model(tokens_of(0))["logits"])
    assert empty.shape == (3, 0, VOCABULARY)
    numerators, counts = loss_of(model, batch_of(tokens_of(0)))
    assert numerators["loss"] == counts["loss"] == 0
    assert harness.arrays_of(model.sample(0, batch_size=2)).shape == (2, 0)
    nothing = np.zeros((3, 2), bool)
    numerators, counts = loss_of(model, batch_of(tokens_of(2), mask=nothing))
    assert numerators["loss"] == counts["loss"] == 0
    logits = model({"tokens": tokens_of(2), "mask": nothing})["logits"]
    assert np.isfinite(harness.arrays_of(logits)).all()


def test_refusals():
    with pytest.raises(ValueError, match="causal=False"):
        TokenDecoder(TransformerStack(1, 2, 13), hidden_dim=8)
    with pytest.raises(ValueError, match="vocabulary_size=1"):
        made(vocabulary_size=1)
    with pytest.raises(ValueError, match="position_grid=None"):
        made(positions="learned")
    with pytest.raises(ValueError, match="positions='relative'"):
        made(positions="relative")
    model = made()
    with pytest.raises(ValueError, match="dtype=float32"):
        model.items_of(np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match="mask.shape"):
        model.items_of({"tokens": tokens_of(2), "mask": np.ones((3, 1), bool)})
    with pytest.raises(ValueError, match="temperature=-1"):
        model.sample(1, temperature=-1)
    with pytest.raises(ValueError, match="top_k=0"):
        model.sample(1, top_k=0)
    with pytest.raises(ValueError, match="carries a memory"):
        model.initial_memory(3)
