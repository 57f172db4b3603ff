"""Autoregressive pixels: likelihoods, draws, causality, rendered rows."""

import itertools

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import attention
from pixmodels.layers import TransformerStack
from pixmodels.models import BlockRecurrentStack
from pixmodels.models import PatchDecoder
from pixmodels.models import PerceiverARStack
from pixmodels.models import _pixel_distributions

SHAPE, PATCH = (4, 10, 1), (2, 5)  # 2 x 2 patches of 10 values


def array(x):
    return ops.convert_to_numpy(x)


def body_of(kind="softmax"):
    if kind == "block_recurrent":
        return BlockRecurrentStack(
            1, 2, 11, recurrent_layers=(0,), window=2, num_states=3
        )
    if kind == "perceiver_ar":
        return PerceiverARStack(1, 2, 11, num_latents=3)
    options = {**attention.get(kind).small_options, "causal": True}
    return TransformerStack(1, 2, 11, attention=kind, attention_options=options)


def made(kind="softmax", **options):
    keras.utils.set_random_seed(3)
    options = {"hidden_dim": 8, "components": 3, "levels": 5, **options}
    model = PatchDecoder(body_of(kind), SHAPE, PATCH, **options)
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        noise = rng.normal(size=weight.shape) * 0.3
        weight.assign(array(weight) + noise)
    return model


def pixels_of(batch=3, levels=5, seed=7):
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels, (batch, *SHAPE[:2])).astype("uint8")


@pytest.mark.parametrize("kind", _pixel_distributions.KINDS)
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_probabilities_of_all_patches_add_up_to_one(kind, scale):
    found = _pixel_distributions.distribution(kind, 2, 7, 3)
    rng = np.random.default_rng(3)
    parameters = found.initial() + scale * rng.normal(size=(5, 1, found.size))
    every = np.array(list(itertools.product(range(7), repeat=2)), "int32")
    nats = found.nats(ops.array(parameters, "float32"), ops.array(every[None]))
    total = np.exp(-array(nats).astype("float64")).sum(axis=1)
    np.testing.assert_allclose(total, 1.0, atol=2e-5)


def test_one_logistic_by_hand():
    found = _pixel_distributions.LogisticMixture(1, 256, 1)
    parameters = ops.array([[0.0, 0.25, np.log(0.1)]], "float32")

    def cumulative(level):  # up to the upper edge of a level
        edge = (level + 0.5) * 2 / 255 - 1
        return 1 / (1 + np.exp(-(edge - 0.25) / 0.1))

    for level in (0, 1, 100, 160, 254, 255):
        nats = found.nats(parameters, ops.array([[level]]))
        share = 1.0 if level == 255 else cumulative(level)
        share -= cumulative(level - 1) if level else 0.0
        np.testing.assert_allclose(array(nats)[0], -np.log(share), rtol=2e-4)
    far = found.nats(
        ops.array([[0.0, 30.0, -50.0]], "float32"), ops.array([[3]])
    )
    assert np.isfinite(array(far)).all()


@pytest.mark.parametrize("kind", _pixel_distributions.KINDS)
def test_draws_have_the_probabilities_of_the_loss(kind):
    model = made(distribution=kind, components=2, levels=3)
    found = _pixel_distributions.distribution(kind, 2, 3, 2)
    rng = np.random.default_rng(5)
    one = found.initial() + rng.normal(size=found.size)
    count = 4001
    parameters = ops.array(np.tile(one, (count, 1)), "float32")

    def uniform(salt, size):
        return ops.array(rng.random((count, size)), "float32")

    drawn = array(found.draw(parameters, uniform))
    every = np.array(list(itertools.product(range(3), repeat=2)), "int32")
    nats = found.nats(parameters[:9], ops.array(every))
    for patch, expected in zip(every, np.exp(-array(nats)), strict=True):
        share = (drawn == patch).all(axis=1).mean()
        assert abs(share - expected) < 5 * (0.25 / count) ** 0.5
    assert model.values_per_item() == 10


def test_loss_counts_text_patches_and_their_end():
    keras.utils.set_random_seed(3)
    model = PatchDecoder(
        body_of(), (4, 21, 1), (4, 3), hidden_dim=8, components=2
    )
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (3, 4, 21)).astype("uint8")
    batch = {
        "pixels": pixels,
        "num_patches": np.array([6, 2, 0], "int32"),
        "weight": np.array([1, 1, 0], "float32"),
        "example_id": np.arange(3, dtype="int32"),
    }
    key = np.array([3, 5], "int32")
    sums, counts = harness.arrays_of(model.loss_sums(batch, key, False))
    assert counts == {"loss": 10 * 12, "bits_per_dim": 10 * 12}
    items, _ = model.items_of(pixels)
    nats = array(model.losses(model(batch)["logits"], items))
    expected = nats[0].sum() + nats[1, :3].sum()
    np.testing.assert_allclose(sums["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        sums["bits_per_dim"], expected / np.log(2), rtol=1e-5
    )
    noisy = pixels.copy()
    noisy[1, :, 9:] = 7
    again = {**batch, "pixels": noisy}
    other, _ = harness.arrays_of(model.loss_sums(again, key, False))
    np.testing.assert_allclose(other["loss"], sums["loss"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "block_recurrent", "perceiver_ar"])
def test_causal_and_drawn_as_called(kind):
    model, pixels = made(kind), pixels_of()
    before = array(model(pixels)["logits"])
    hidden = 4 - before.shape[1]
    for i in range(4):
        changed = pixels.copy()
        row, column = 2 * (i // 2), 5 * (i % 2)
        changed[:, row : row + 2, column : column + 5] ^= 1
        after = array(model(changed)["logits"])
        first = max(0, i + 1 - hidden)
        np.testing.assert_allclose(
            after[:, :first], before[:, :first], rtol=0, atol=1e-6
        )
    drawn = model.sample(prompt=pixels, num_given=2, temperature=0)
    drawn = array(drawn)[..., 0]
    np.testing.assert_array_equal(drawn[:, :2], pixels[:, :2])
    logits = model(drawn)["logits"][:, -2:]
    # Perceiver AR draws the place before the last one with a shorter cache.
    for i in (1,) if kind == "perceiver_ar" else (0, 1):
        likeliest = model.draw(logits[:, i], half, temperature=0)
        items = array(model.items_of(drawn)[0])[:, 2 + i]
        np.testing.assert_array_equal(array(likeliest), items)


def half(salt, size):
    return ops.ones((3, size)) / 2


@pytest.mark.slow
def test_samples_of_rows_and_saved_file(tmp_path):
    keras.utils.set_random_seed(3)
    model = PatchDecoder(
        body_of("sliding_window"),
        (4, 20, 3),
        4,
        hidden_dim=8,
        distribution="categorical",
        levels=3,
        positions="sincos",
    )
    drawn = array(model.sample(2, columns=3, seed=5))
    assert drawn.shape == (2, 4, 12, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 2
    again = array(model.sample(2, columns=3, seed=5))
    np.testing.assert_array_equal(drawn, again)
    assert (array(model.sample(2, columns=3, seed=6)) != drawn).any()
    path = str(tmp_path / "patches.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(
        array(loaded(drawn)["logits"]), array(model(drawn)["logits"])
    )
    config = model.get_config()
    assert PatchDecoder.from_config(config).get_config() == config
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit({"pixels": drawn}, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_refusals():
    with pytest.raises(ValueError, match="distribution='normal'"):
        made(distribution="normal")
    with pytest.raises(ValueError, match="levels=1"):
        made(levels=1)
    with pytest.raises(ValueError, match="divisible by the patch size"):
        PatchDecoder(body_of(), (4, 9, 1), 4, hidden_dim=8)
    model = made()
    with pytest.raises(ValueError, match="pixels.dtype=float32"):
        model.items_of(np.zeros((2, 4, 10), "float32"))
    with pytest.raises(ValueError, match=r"pixels.shape=\(2, 4\)"):
        model.items_of(np.zeros((2, 4), "uint8"))
    with pytest.raises(ValueError, match="divisible by the patch size"):
        model.items_of(np.zeros((2, 4, 9), "uint8"))
    with pytest.raises(ValueError, match="temperature=-1"):
        model.sample(temperature=-1)
