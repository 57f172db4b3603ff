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
    assert backbone.trainable != options.get("linear_probe", False)
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


def test_map_pooling():
    """The closed form of the layer is in test_head_layers."""
    model, images = _model("map"), _images()
    scaled = np.repeat(images[..., None] / np.float32(255), 3, axis=-1)
    patches = model.backbone(scaled)[:, 1:]
    expected = model.head_logits(model.head_pooling(patches))
    np.testing.assert_array_equal(_numpy(model(images)), _numpy(expected))
    assert model.head_pooling.num_heads == 5
    assert model.head_pooling.mlp_dim == 13


def test_linear_probe_by_hand():
    model = _model("mean", linear_probe=True)
    names = [v.path.split("/", 1)[1] for v in model.trainable_variables]
    assert names == ["head_logits/kernel", "head_logits/bias"]
    images = _images(5)
    scaled = np.repeat(images[..., None] / np.float32(255), 3, axis=-1)
    features = _numpy(model.backbone(scaled)).astype("float64")
    features = features[:, 1:].mean(axis=1)
    real = np.array([1, 1, 0, 1, 0], "float32")
    batch = {"pixels": images, "weight": real}
    # In training: this batch's own statistics, fillers left out.
    mean, var = features[real > 0].mean(axis=0), features[real > 0].var(axis=0)
    normal = (features - mean) / np.sqrt(var + 1e-6)
    kernel, bias = (_numpy(w) for w in model.head_logits.weights)
    logits = _numpy(model(batch, training=True))
    np.testing.assert_allclose(
        logits[real > 0],
        (normal @ kernel + bias)[real > 0],
        rtol=0,
        atol=2e-3,
    )
    # Later: the running ones, a tenth of the way from 0 and 1.
    normal = features - 0.1 * mean
    normal = normal / np.sqrt(0.9 + 0.1 * var + 1e-6)
    np.testing.assert_allclose(
        _numpy(model(images)), normal @ kernel + bias, rtol=0, atol=1e-5
    )


def test_linear_probe_without_norm():
    probe = _model("cls", linear_probe=True, probe_norm=False)
    plain = _model("cls")
    plain.set_weights(probe.get_weights())
    np.testing.assert_array_equal(
        _numpy(probe(_images())), _numpy(plain(_images()))
    )
    config = probe.get_config()
    again = ImageClassifier.from_config(config)
    assert again.get_config() == config
    assert len(again.trainable_variables) == 2


def test_linear_probe_leaves_the_backbone_as_it_is():
    model = _model("mean", linear_probe=True)
    images, labels = _images(5), np.array([2, 3, 5, 1, 0])
    before = model.backbone.get_weights()
    head = _numpy(model.head_logits.kernel)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(images, labels, epochs=3, verbose=0)
    for a, b in zip(before, model.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (head != _numpy(model.head_logits.kernel)).any()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the driver is TensorFlow"
)
def test_linear_probe_in_the_trainer(tmp_path):
    """The running statistics move inside a compiled step."""
    from pixmodels.tasks import ImageSource
    from pixmodels.training import TrainConfig
    from pixmodels.training import Trainer

    def make():
        return _model("mean", linear_probe=True)

    config = TrainConfig(steps=3, batch_size=2, deterministic=False)
    source = ImageSource(_images(5), np.array([2, 3, 5, 1, 0]))
    trainer = Trainer(make, source, config, tmp_path / "run")
    trainer.train()
    norm = trainer.model.head_norm
    assert np.abs(_numpy(norm.moving_mean)).max() > 0
    assert np.abs(_numpy(norm.moving_variance) - 1).max() > 0


@pytest.mark.parametrize("pooling", ["cls", "mean", "map"])
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
