import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels.tasks import ImageClassifier

HEIGHT, WIDTH, CLASSES = 6, 14, 7


def _model(pooling="cls", seed=3, channels=3, **options):
    keras.utils.set_random_seed(seed)
    backbone = pixmodels.ViTBackbone(
        (HEIGHT, WIDTH, channels),
        (3, 2),
        num_layers=1,
        num_heads=5,
        hidden_dim=20,
        mlp_dim=13,
    )
    model = ImageClassifier(backbone, CLASSES, pooling=pooling, **options)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + 0.2 * rng.normal(size=value.shape))
    return model


def _images(n=3, seed=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, HEIGHT, WIDTH), "uint8")


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_head_by_hand(pooling):
    model, images = _model(pooling), _images()
    scaled = np.repeat(images[..., None] / np.float32(255), 3, axis=-1)
    x = _numpy(model.backbone(scaled))
    assert x.shape == (3, 1 + 2 * 7, 20)
    pooled = x[:, 0] if pooling == "cls" else x[:, 1:].mean(axis=1)
    layer = model.head_logits
    expected = pooled @ _numpy(layer.kernel) + _numpy(layer.bias)
    np.testing.assert_allclose(
        _numpy(model(images)), expected, rtol=0, atol=1e-5
    )


def test_kinds_of_input():
    model, images = _model(), _images()
    logits = _numpy(model(images))
    assert logits.dtype == np.float32
    for inputs in (
        {"pixels": images, "label": np.zeros(3, "int32")},
        (images / 255).astype("float32"),
        np.repeat(images[..., None], 3, axis=-1),
    ):
        np.testing.assert_allclose(
            _numpy(model(inputs)), logits, rtol=0, atol=1e-6
        )


def test_loss_sums_by_hand():
    model, images = _model(dropout_rate=0.5), _images()
    batch = {
        "pixels": images,
        "label": np.array([2, 6, 0], "int32"),
        "weight": np.array([1, 0, 1], "float32"),
        "example_id": np.array([13, -1, 7], "int32"),
    }
    key = np.array([3, 5], "int32")
    logits = _numpy(model(images)).astype("float64")
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = -np.log(chances[np.arange(3), batch["label"]])
    numerators, counts = model.loss_sums(batch, key, training=False)
    assert float(counts["loss"]) == 2
    assert float(numerators["loss"]) == pytest.approx(
        errors[0] + errors[2], rel=1e-5
    )

    def loss(key):
        return float(model.loss_sums(batch, key)[0]["loss"])

    assert loss(key) == loss(key) != loss(np.array([3, 6], "int32"))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_config_save_and_load(pooling, tmp_path):
    labels = tuple("gfedcba")
    model = _model(pooling, dropout_rate=0.3, labels=labels)
    config = model.get_config()
    assert ImageClassifier.from_config(config).get_config() == config
    logits = _numpy(model(_images()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(_numpy(loaded(_images())), logits)
    assert loaded.get_config() == config
    model.save_weights(tmp_path / "model.weights.h5")
    other = _model(pooling, seed=7)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(_numpy(other(_images())), logits)


def test_plain_fit_and_classify():
    model = _model(labels=tuple("abcdefg"))
    images, labels = _images(5), np.array([2, 3, 5, 1, 0])
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images, labels, epochs=17, batch_size=5, verbose=0)
    answers = model.classify(images, batch_size=2)
    assert [name for name, _ in answers] == ["abcdefg"[i] for i in labels]
    assert all(0 < chance <= 1 for _, chance in answers)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"pooling": "max"}, ValueError, "pooling='max'"),
        ({"num_classes": True}, ValueError, "num_classes=True"),
        ({"labels": ("a",)}, ValueError, "Expected 7 labels"),
        ({"backbone": None}, TypeError, "backbone=None"),
    ],
)
def test_bad_arguments(arguments, error, match):
    arguments = {
        "backbone": _model().backbone,
        "num_classes": CLASSES,
        **arguments,
    }
    with pytest.raises(error, match=match):
        ImageClassifier(**arguments)


@pytest.mark.parametrize(
    "shape",
    [
        (HEIGHT, WIDTH),
        (3, HEIGHT + 3, WIDTH),
        (3, HEIGHT, WIDTH - 2),
        (3, HEIGHT, WIDTH, 2),
    ],
)
def test_bad_images(shape):
    with pytest.raises(ValueError, match=r"Expected (images|pixels)"):
        _model()(np.zeros(shape, "uint8"))


def test_bad_dict():
    with pytest.raises(ValueError, match="'images'"):
        _model()({"images": _images()})
