"""Sequence to sequence: causality, masks, search, learning, bad input."""

import itertools

import harness
import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels import layers
from pixmodels import models

SOURCE, TARGET = 11, 7  # tokens
KEY = np.array([3, 5], "int32")


def _made(mixer="softmax", scale=0.5, encoder=None, **options):
    keras.utils.set_random_seed(3)
    small = attention.get(mixer).small_options
    encoder = encoder or models.TokenEncoder(
        SOURCE, num_layers=1, num_heads=2, hidden_dim=10, mlp_dim=13
    )
    options = {"vocabulary_size": TARGET, "hidden_dim": 8, **options}
    options.setdefault("max_length", 5)
    options.setdefault("num_layers", 1)
    model = models.EncoderDecoder(
        encoder,
        num_heads=2,
        mlp_dim=13,
        attention=mixer,
        attention_options=small,
        **options,
    )
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        weight.assign(weight + scale * rng.normal(size=weight.shape))
    return model


def _batch(**more):
    rng = np.random.default_rng(5)
    return {
        "source": rng.integers(0, SOURCE, (3, 7)),
        "source_mask": np.arange(7) < np.array([[7], [4], [1]]),
        "target": rng.integers(0, TARGET, (3, 5)),
        "target_mask": np.arange(5) < np.array([[5], [3], [0]]),
        "example_id": np.arange(17, 20, dtype="int32"),
        **more,
    }


def _logits(model, batch):
    return ops.convert_to_numpy(model(batch)["logits"])


def _causal_mixers():
    names = attention.names()
    return [name for name in names if attention.get(name).causal]


@pytest.mark.parametrize("mixer", ["softmax", "luna", "mega"])
def test_causal_by_perturbation(mixer):
    model, batch = _made(mixer), _batch()
    del batch["target_mask"]
    before = _logits(model, batch)
    for i in range(5):
        target = batch["target"].copy()
        target[:, i] = (target[:, i] + 1) % TARGET
        after = _logits(model, {**batch, "target": target})
        np.testing.assert_allclose(
            after[:, : i + 1], before[:, : i + 1], rtol=0, atol=1e-5
        )
        if i < 4:
            assert np.abs(after[:, i + 1] - before[:, i + 1]).max() > 1e-4


@pytest.mark.parametrize("mixer", ["softmax", "luna", "mega"])
def test_steps_are_rows_of_the_call(mixer):
    model, batch = _made(mixer, num_layers=2), _batch()
    del batch["target_mask"]
    whole = _logits(model, batch)
    given = model.decoder.given(
        *model.encode(batch["source"], batch["source_mask"])
    )
    cache = model.initial_cache(3, 5)
    last = np.zeros(3, "int32")
    for i in range(5):
        row, cache = model.step(last, cache, i, given)
        np.testing.assert_allclose(
            ops.convert_to_numpy(row), whole[:, i], rtol=0, atol=2e-5
        )
        last = batch["target"][:, i]


@pytest.mark.slow
@pytest.mark.parametrize("mixer", _causal_mixers())
def test_every_causal_mixer_decodes(mixer):
    model, batch = _made(mixer), _batch()
    ids = model.greedy(batch["source"], mask=batch["source_mask"])
    ids = ops.convert_to_numpy(ids)
    logits = _logits(model, {**batch, "target": ids, "target_mask": None})
    ended = np.cumsum(ids == 1, axis=1) - (ids == 1) > 0
    np.testing.assert_array_equal(logits.argmax(-1)[~ended], ids[~ended])


def test_padding_changes_nothing():
    model, batch = _made(), _batch()
    expected = _logits(model, batch)
    noise = np.random.default_rng(7).integers(0, SOURCE, (3, 7))
    source = np.where(batch["source_mask"], batch["source"], noise)
    target = np.where(batch["target_mask"], batch["target"], 3)
    found = _logits(model, {**batch, "source": source, "target": target})
    real = batch["target_mask"]
    np.testing.assert_array_equal(found[real], expected[real])
    short = {"source": batch["source"][1:2, :4], "target": target[1:2, :3]}
    np.testing.assert_allclose(
        _logits(model, short)[0], expected[1, :3], rtol=0, atol=1e-5
    )


def test_cross_attention_by_hand_and_without_anything_real():
    rng = np.random.default_rng(3)
    layer = layers.CrossAttention(2)
    layer.build((None, None, 6), (None, None, 5))
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.normal(size=(3, 4, 6)).astype("float32")
    memory = rng.normal(size=(3, 7, 5)).astype("float32")
    mask = np.arange(7) < np.array([[7], [3], [0]])
    hidden = np.where(mask[..., None], memory, np.nan).astype("float32")
    found = ops.convert_to_numpy(layer(x, hidden, mask=mask))
    query, key, value, output = (
        [np.float64(ops.convert_to_numpy(w)) for w in part.weights]
        for part in (layer.query, layer.key, layer.value, layer.output_dense)
    )
    for b, count in enumerate((7, 3, 0)):
        q = x[b] @ query[0] + query[1]
        k = memory[b, :count] @ key[0] + key[1]
        v = memory[b, :count] @ value[0] + value[1]
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            weights = np.exp(q[:, part] @ k[:, part].T / np.sqrt(3))
            total = np.maximum(weights.sum(-1, keepdims=True), 1e-300)
            heads.append(weights / total @ v[:, part])
        expected = np.concatenate(heads, -1) @ output[0] + output[1]
        np.testing.assert_allclose(found[b], expected, rtol=0, atol=1e-5)


# --- Search -----------------------------------------------------------------


def _brute_force(model, source, mask, length, penalty):
    """Every sequence that ends or is `length` long, with its score."""
    others = [i for i in range(model.vocabulary_size) if i != model.end_id]
    sequences = []
    for n in range(1, length + 1):
        heads = itertools.product(others, repeat=n - 1)
        last = [model.end_id] + (others if n == length else [])
        sequences += [(*head, end) for head in heads for end in last]
    padded = [s + (model.end_id,) * (length - len(s)) for s in sequences]
    rows = np.array(padded, "int32")
    logits = _logits(
        model,
        {
            "source": np.repeat(source[None], len(rows), axis=0),
            "source_mask": np.repeat(mask[None], len(rows), axis=0),
            "target": rows,
        },
    ).astype("float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = np.take_along_axis(logits, rows[..., None], -1)[..., 0]
    lengths = np.array([len(s) for s in sequences])
    counted = np.arange(length) < lengths[:, None]
    scores = (nats * counted).sum(1) / lengths**penalty
    order = np.argsort(-scores)
    return rows[order], scores[order]


@pytest.mark.parametrize("penalty", [0.0, 1.0, 1.7])
def test_beams_that_hold_everything_are_brute_force(penalty):
    model = _made("linear", vocabulary_size=3, scale=0.7)
    source, mask = _batch()["source"], _batch()["source_mask"]
    length, size = 4, 8
    ids, scores = model.beam_search(
        source,
        mask=mask,
        max_length=length,
        beam_size=size,
        length_penalty=penalty,
    )
    ids, scores = ops.convert_to_numpy(ids), ops.convert_to_numpy(scores)
    for row in range(3):
        expected = _brute_force(model, source[row], mask[row], length, penalty)
        np.testing.assert_array_equal(ids[row], expected[0][:size])
        np.testing.assert_allclose(
            scores[row], expected[1][:size], rtol=0, atol=1e-4
        )


def test_greedy_is_the_likeliest_token_each_time():
    model, batch = _made("sliding_window"), _batch()
    source, mask = batch["source"], batch["source_mask"]
    found = ops.convert_to_numpy(model.greedy(source, mask=mask))
    ids = np.zeros((3, 0), "int32")
    for _ in range(5):
        target = np.concatenate([ids, ids[:, :1] if ids.size else [[2]] * 3], 1)
        logits = _logits(
            model, {"source": source, "source_mask": mask, "target": target}
        )
        token = logits[:, -1].argmax(-1)
        token = np.where((ids == 1).any(1), 1, token)
        ids = np.concatenate([ids, token[:, None]], axis=1)
    np.testing.assert_array_equal(found, ids)
    one, _ = model.beam_search(
        source, mask=mask, beam_size=1, length_penalty=0.0
    )
    # One beam keeps the best that goes on, and the best that has ended.
    assert ops.convert_to_numpy(one).shape == (3, 1, 5)
    never = _made("sliding_window")
    never.end_id = TARGET  # a token that is never written
    found = never.greedy(source, mask=mask)
    one, _ = never.beam_search(source, mask=mask, beam_size=1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(one)[:, 0], ops.convert_to_numpy(found)
    )


def test_a_wider_beam_is_no_worse():
    model, batch = _made(), _batch()
    best = [
        ops.convert_to_numpy(
            model.beam_search(
                batch["source"], beam_size=size, length_penalty=0.0
            )[1]
        )[:, 0]
        for size in (1, 50)
    ]
    assert (best[1] >= best[0] - 1e-5).all()


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_search_in_one_graph(jit):
    model, batch = _made("linear"), _batch()
    source, mask = batch["source"].astype("int32"), batch["source_mask"]

    def search(source, mask):
        ids, scores = model.beam_search(source, mask=mask, beam_size=3)
        return {
            "greedy": model.greedy(source, mask=mask),
            "ids": ids,
            "scores": scores,
        }

    run = harness.compiled(search, jit)
    if run is None:
        pytest.skip("this backend compiles nothing here")
    eager = harness.arrays_of(search(source, mask))
    found = harness.arrays_of(run(source, mask))
    for name in ("greedy", "ids"):
        np.testing.assert_array_equal(found[name], eager[name])
    np.testing.assert_allclose(
        found["scores"], eager["scores"], rtol=0, atol=1e-5
    )


# --- Loss, learning, files --------------------------------------------------


@pytest.mark.parametrize("memory", [None, "local", "batch"])
def test_loss(memory):
    smoothing = 0.1
    model = _made(
        memory=memory, memory_temperature=1.7, label_smoothing=smoothing
    )
    batch = _batch(weight=np.array([1, 0.5, 1], "float32"))
    sums, counts = harness.arrays_of(model.loss_sums(batch, KEY, False))
    outputs = harness.arrays_of(model(batch))
    logits = np.float64(outputs["logits"])
    spread = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(spread, batch["target"][..., None], -1)[..., 0]
    if memory:
        nats = -ops.convert_to_numpy(
            models.trime_log_probs(
                outputs["logits"],
                outputs["contexts"],
                batch["target"],
                mask=batch["target_mask"],
                memory=memory,
                temperature=1.7,
            )
        )
    loss = (1 - smoothing) * nats - smoothing * spread.mean(-1)
    counted = batch["target_mask"] * batch["weight"][:, None]
    np.testing.assert_allclose(counts["loss"], counted.sum())
    np.testing.assert_allclose(sums["loss"], (loss * counted).sum(), rtol=1e-5)
    np.testing.assert_allclose(
        sums["bits_per_token"], (nats * counted).sum() / np.log(2), rtol=1e-5
    )
    right = (logits.argmax(-1) == batch["target"]) * counted
    np.testing.assert_allclose(sums["accuracy"], right.sum(), rtol=1e-6)


def test_every_weight_learns():
    model = _made(dropout_rate=0.3, attention_dropout=0.3)

    def loss():
        sums, counts = model.loss_sums(_batch(), KEY, training=True)
        return sums["loss"] / counts["loss"]

    value, gradients = harness.loss_and_gradients(loss, model.trainable_weights)
    for weight, gradient in zip(
        model.trainable_weights, gradients, strict=True
    ):
        assert np.isfinite(gradient).all(), weight.path
        if not weight.path.endswith("key/bias"):
            assert np.abs(gradient).max() > 0, weight.path
    assert value == float(ops.convert_to_numpy(loss()))


def test_pixels_to_tokens_config_and_files(tmp_path):
    encoder = pixmodels.PIXELBackbone(
        (4, 4 * 7, 1), 4, num_layers=1, num_heads=2, hidden_dim=12, mlp_dim=13
    )
    model = _made("linear", encoder=encoder, hidden_dim=None)
    rng = np.random.default_rng(3)
    pixels = rng.random((3, 4, 28, 1)).astype("float32")
    batch = _batch(source=pixels)
    expected = _logits(model, batch)
    columns = np.repeat(batch["source_mask"], 4, axis=1)[:, None, :, None]
    noise = rng.random(pixels.shape).astype("float32")
    other = {**batch, "source": np.where(columns, pixels, noise)}
    np.testing.assert_array_equal(_logits(model, other), expected)
    assert model.greedy(pixels, mask=batch["source_mask"]).shape == (3, 5)
    again = models.EncoderDecoder.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(_logits(loaded, batch), expected)


def test_nan_stays_in_its_example():
    encoder = pixmodels.PIXELBackbone(
        (4, 4 * 7, 1), 4, num_layers=1, num_heads=2, hidden_dim=12, mlp_dim=13
    )
    model = _made(encoder=encoder)
    pixels = np.random.default_rng(3).random((3, 4, 28, 1)).astype("float32")
    expected = _logits(model, _batch(source=pixels))
    pixels[1] = np.nan
    found = _logits(model, _batch(source=pixels))
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])


def test_lengths_of_one_and_nothing_real():
    model = _made()
    source, target = np.array([[3], [5]]), np.array([[2], [1]])
    found = _logits(model, {"source": source, "target": target})
    assert found.shape == (2, 1, TARGET)
    assert np.isfinite(found).all()
    mask = np.array([[True], [False]])
    ids = model.greedy(source, mask=mask, max_length=1)
    assert ops.convert_to_numpy(ids).shape == (2, 1)


def test_what_cannot_be_is_refused():
    batch = _batch()
    for options, match in (
        ({"begin_id": 1}, "begin_id=1, end_id=1"),
        ({"end_id": TARGET}, "end_id=7"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"memory": "long"}, "memory='long'"),
        ({"mixer": "linformer"}, "has no causal form"),
        ({"encoder": keras.layers.Dense(3)}, "Received: Dense"),
    ):
        with pytest.raises(ValueError, match=match):
            _made(**options)
    with pytest.raises(ValueError, match="Expected a causal decoder"):
        layers.DecoderStack(1, 2, 3, attention_options={"causal": False})
    model = _made()
    for name in ("source", "target"):
        with pytest.raises(ValueError, match=r"shape=\(3, 0\)"):
            model({**batch, name: batch[name][:, :0], f"{name}_mask": None})
    with pytest.raises(ValueError, match="max_length=6"):
        model.greedy(batch["source"], max_length=6)
    with pytest.raises(ValueError, match="max_length=-1"):
        model.greedy(batch["source"], max_length=-1)
    with pytest.raises(ValueError, match="beam_size=0"):
        model.beam_search(batch["source"], beam_size=0)
    with pytest.raises(ValueError, match="length_penalty=-1"):
        model.beam_search(batch["source"], length_penalty=-1)
    given = model.decoder.given(*model.encode(batch["source"]))
    with pytest.raises(ValueError, match="batch size 3"):
        model.step(np.zeros(3, "int32"), model.initial_cache(2, 5), 0, given)


@pytest.mark.parametrize("name", sorted(models.TRANSLATION))
def test_named_settings(name):
    small = {"hidden_dim": 16, "mlp_dim": 13, "num_layers": 1}
    model = models.translation_model(name, SOURCE, TARGET, **small)
    sums, counts = model.loss_sums(_batch(), KEY, training=False)
    loss = ops.convert_to_numpy(sums["loss"] / counts["loss"])
    assert np.isfinite(loss)
    published = models.TRANSLATION[name]["model"]
    assert model.encoder.vocabulary_size == SOURCE
    for config in (model.get_config(), model.encoder.get_config()):
        for key, value in {**published, **small}.items():
            if key == "attention_options":
                assert value.items() <= config[key].items()
            elif key in config:
                assert config[key] == value
    with pytest.raises(ValueError, match="name='luna'"):
        models.translation_model("luna", SOURCE, TARGET)
