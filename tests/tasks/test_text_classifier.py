import json

import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels.tasks import TextClassifier
from pixmodels.tasks import text_classifier

SIDE, LENGTH, WIDTH, CLASSES = 5, 11, 12, 7
LABELS = tuple("abcdefg")


def _model(pooling="mean", seed=3, channels=3, **options):
    keras.utils.set_random_seed(seed)
    backbone = pixmodels.PIXELBackbone(
        (SIDE, SIDE * LENGTH, channels),
        SIDE,
        num_layers=2,
        num_heads=3,
        hidden_dim=WIDTH,
        mlp_dim=13,
        dropout_rate=options.pop("backbone_dropout", 0.0),
    )
    model = TextClassifier(backbone, CLASSES, pooling=pooling, **options)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + 0.2 * rng.normal(size=value.shape))
    return model


def _batch(n=4, length=LENGTH, seed=5):
    rng = np.random.default_rng(seed)
    return {
        "pixels": rng.integers(0, 256, (n, SIDE, SIDE * length), "uint8"),
        "num_patches": np.array([1, 4, 6, 10, 2][:n], "int32") % length,
        "label": np.array([6, 0, 3, 2, 5][:n], "int32"),
        "weight": np.array([1, 1, 1, 0, 1][:n], "float32"),
        "example_id": np.array([11, 2, 17, -1, 5][:n], "int32"),
    }


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("pooling", text_classifier.POOLING)
def test_head_by_hand(pooling):
    """The head in numpy, on the sequence of the backbone."""
    from scipy.special import erf

    model, batch = _model(pooling), _batch()
    images = np.repeat(batch["pixels"][..., None] / np.float32(255), 3, axis=-1)
    attended = np.arange(LENGTH) <= batch["num_patches"][:, None]
    x = _numpy(model.backbone(images, mask=attended)).astype("float64")
    weights = [_numpy(w).astype("float64") for w in model.weights]
    weights = {
        w.path.split("/", 1)[1]: value
        for w, value in zip(model.weights, weights, strict=True)
    }

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    if pooling == "cls":
        pooled = np.tanh(dense(x[:, 0], "head_dense"))
    else:
        x = x[:, 1:]
        if pooling != "attention":
            x = dense(x, "head_dense")
            x = x * (1 + erf(x / np.sqrt(2))) / 2
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-12)
        x = x * weights["head_norm/gamma"] + weights["head_norm/beta"]

        def attend(rows, axis):
            return _numpy(model.head_pooling(rows[None].astype("float32")))[0]

        reduce = {"mean": np.mean, "max": np.max, "attention": attend}[pooling]
        pooled = np.stack(
            [reduce(row[keep], axis=0) for row, keep in zip(x, attended)]
        )
    expected = dense(pooled, "head_logits")
    logits = _numpy(model(batch))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", text_classifier.POOLING)
def test_padding_changes_nothing(pooling):
    model, batch = _model(pooling), _batch()
    logits = _numpy(model(batch))
    noise = _batch(seed=13)["pixels"]
    real = np.arange(LENGTH) <= batch["num_patches"][:, None]
    columns = np.repeat(real, SIDE, axis=1)[:, None]
    pixels = np.where(columns, batch["pixels"], noise)
    assert (pixels != batch["pixels"]).any()
    again = _numpy(model({**batch, "pixels": pixels}))
    np.testing.assert_array_equal(logits, again)
    # Nor does the width of the bucket.
    short = {k: v[:3] for k, v in batch.items()}
    short["pixels"] = short["pixels"][:, :, : SIDE * 7]
    np.testing.assert_allclose(
        _numpy(model(short)), logits[:3], rtol=0, atol=1e-5
    )


def test_what_num_patches_means():
    model, batch = _model(), _batch()
    pixels = batch["pixels"]
    everything = _numpy(model({"pixels": pixels}))
    for count in (LENGTH - 1, LENGTH, LENGTH + 29):
        counts = np.full(4, count, "int32")
        logits = model({"pixels": pixels, "num_patches": counts})
        np.testing.assert_allclose(
            _numpy(logits), everything, rtol=0, atol=1e-5
        )
    fewer = model({"pixels": pixels, "num_patches": np.full(4, LENGTH - 2)})
    assert np.abs(_numpy(fewer) - everything).max() > 1e-4


def test_kinds_of_pixels():
    model, batch = _model(), _batch()
    grey = batch["pixels"]
    logits = _numpy(model(batch))
    for pixels in (
        np.repeat(grey[..., None], 3, axis=-1),
        (grey / 255).astype("float32"),
        grey[..., None],
    ):
        again = _numpy(model({**batch, "pixels": pixels}))
        np.testing.assert_allclose(again, logits, rtol=0, atol=1e-6)


def test_loss_sums_by_hand():
    model, batch = _model(), _batch()
    logits = _numpy(model(batch)).astype("float64")
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = -np.log(chances[np.arange(4), batch["label"]])
    correct = logits.argmax(axis=1) == batch["label"]
    numerators, counts = model.loss_sums(
        batch, np.array([3, 5], "int32"), training=False
    )
    weight = batch["weight"]
    assert float(counts["loss"]) == float(counts["accuracy"]) == 3
    assert float(numerators["loss"]) == pytest.approx(
        (errors * weight).sum(), rel=1e-5
    )
    assert float(numerators["accuracy"]) == (correct * weight).sum()
    # Without weights all count.
    del batch["weight"]
    numerators, counts = model.loss_sums(batch, np.array([3, 5]), False)
    assert float(counts["loss"]) == 4
    assert float(numerators["loss"]) == pytest.approx(errors.sum(), rel=1e-5)


def test_dropout_follows_the_key_and_the_example():
    model, batch = _model(dropout_rate=0.5), _batch()

    def loss(step, rows=slice(None)):
        part = {k: v[rows] for k, v in batch.items()}
        numerators, _ = model.loss_sums(part, np.array([3, step], "int32"))
        return float(numerators["loss"])

    assert loss(5) == loss(5) != loss(6)
    # An example drops the same elements in a batch of its own.
    parts = [loss(5, slice(i, i + 1)) for i in range(4)]
    assert sum(parts) == pytest.approx(loss(5), rel=1e-5)
    still, _ = model.loss_sums(batch, np.array([3, 5], "int32"), False)
    assert float(still["loss"]) != loss(5)


def test_config_round_trip():
    model = _model("max", dropout_rate=0.3, labels=LABELS)
    config = model.get_config()
    again = TextClassifier.from_config(config)
    assert again.get_config() == config
    assert again.labels == LABELS
    # What JSON makes of it is as good.
    again = TextClassifier.from_config(json.loads(json.dumps(config)))
    assert (again.labels, again.pooling) == (LABELS, "max")
    assert again.backbone.get_config() == model.backbone.get_config()
    assert again.count_params() == model.count_params()


@pytest.mark.parametrize("pooling", text_classifier.POOLING)
def test_save_and_load(pooling, tmp_path):
    model, batch = _model(pooling, labels=LABELS), _batch()
    logits = _numpy(model(batch))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(_numpy(loaded(batch)), logits)
    assert loaded.labels == LABELS
    model.save_weights(tmp_path / "model.weights.h5")
    other = _model(pooling, seed=7)
    assert np.abs(_numpy(other(batch)) - logits).max() > 1e-3
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(_numpy(other(batch)), logits)


@pytest.mark.slow
def test_plain_compile_and_fit():
    model = _model(backbone_dropout=0.1)
    batch = _batch(5)
    batch["pixels"] //= np.array([1, 2, 4, 9, 50], "uint8")[:, None, None]
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x = {k: batch[k] for k in ("pixels", "num_patches")}
    history = model.fit(
        x, batch["label"], epochs=17, batch_size=3, verbose=0, shuffle=False
    )
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    result = model.evaluate(x, batch["label"], verbose=0, return_dict=True)
    numerators, counts = model.loss_sums(
        {**batch, "weight": np.ones(5)}, np.array([0, 0]), False
    )
    loss = float(numerators["loss"]) / float(counts["loss"])
    assert result["loss"] == pytest.approx(loss, rel=1e-4)


def test_classify():
    from pixmodels.renderers import CairoRenderer

    backbone = pixmodels.PIXELBackbone(
        (16, 16 * 13, 1),
        num_layers=1,
        num_heads=3,
        hidden_dim=WIDTH,
        mlp_dim=13,
    )
    model = TextClassifier(backbone, 3, labels=("x", "y", "z"))
    renderer = CairoRenderer(max_patches=37)
    texts = ["one", "δύο", "three and four", ("a", "b"), ["five", "six"]]
    answers = model.classify(texts, renderer, batch_size=3)
    drawn = renderer(texts)
    logits = _numpy(
        model({"pixels": drawn.pixels, "num_patches": drawn.num_patches})
    )
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [a for a, _ in answers] == ["xyz"[i] for i in logits.argmax(axis=1)]
    np.testing.assert_allclose(
        [p for _, p in answers], chances.max(axis=1), rtol=1e-4
    )
    assert len(model.classify("one text", renderer)) == 1
    assert model.classify([], renderer) == []
    with pytest.warns(UserWarning, match=r"Texts \[1\] are longer"):
        model.classify(["short", "word " * 31], renderer)
    with pytest.raises(ValueError, match="patch_size=15"):
        model.classify("a", CairoRenderer(patch_size=15))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"pooling": "sum"}, ValueError, "pooling='sum'"),
        ({"leaky": True}, ValueError, "leaky=True"),
        ({"pooling_heads": 3}, ValueError, "pooling_heads=3"),
        (
            {"pooling": "attention", "pooling_heads": 5},
            ValueError,
            "num_heads=5, width=12",
        ),
        ({"num_classes": 1}, ValueError, "num_classes=1"),
        ({"num_classes": 2.0}, ValueError, "num_classes=2.0"),
        ({"labels": ("a", "b")}, ValueError, "Expected 7 labels"),
        ({"labels": ("a",) * 7}, ValueError, "that differ"),
        ({"labels": "abcdefg"}, TypeError, "labels='abcdefg'"),
        ({"labels": range(7)}, TypeError, "sequence of str"),
        ({"dropout_rate": 1.0}, ValueError, r"rate=1\.0"),
        ({"backbone": "vit"}, TypeError, "backbone='vit'"),
    ],
)
def test_bad_arguments(arguments, error, match):
    backbone = _model().backbone
    arguments = {"backbone": backbone, "num_classes": CLASSES, **arguments}
    with pytest.raises(error, match=match):
        TextClassifier(**arguments)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((2, SIDE), "pixels.shape"),
        ((2, SIDE + 1, SIDE * 3), r"Expected images of shape \(B, 5"),
        ((2, SIDE, SIDE * 3 + 1), r"Expected images of shape \(B, 5"),
        ((2, SIDE, SIDE * 3, 2), "1 or 3 channels"),
        ((2, SIDE, SIDE * 29), "at most 16 patches"),
    ],
)
def test_bad_pixels(shape, match):
    with pytest.raises(ValueError, match=match):
        _model()({"pixels": np.zeros(shape, "uint8")})


def test_bad_inputs():
    pixels = np.zeros((2, SIDE, SIDE), "uint8")
    with pytest.raises(ValueError, match="inputs of type"):
        _model()(pixels)
    with pytest.raises(ValueError, match=r"\['images'\]"):
        _model()({"images": pixels})
