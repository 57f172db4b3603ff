import heads
import keras
import numpy as np
import pytest
from scipy import stats

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import TextRegressor

KEY = np.array([3, 5], "int32")


def _model(length=heads.LENGTH, side=heads.SIDE, **options):
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(length, side=side, num_layers=1)
    return heads.randomise(TextRegressor(backbone, **options))


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_loss_by_hand(pooling):
    model, batch = _model(pooling=pooling), heads.batch()
    batch["label"] = np.array([0.5, -2, 3, 9], "float32")
    found = heads.arrays(model(batch))
    assert found.shape == (4, 1)
    errors = (found[:, 0] - batch["label"]) ** 2 * batch["weight"]
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    assert float(counts["loss"]) == 3
    assert float(numerators["loss"]) == pytest.approx(errors.sum(), rel=1e-5)
    assert set(numerators) == set(counts) == {"loss"}


def test_score():
    model, renderer = _model(23, 16), CairoRenderer(max_patches=23)
    texts = [("a", "b"), ("one", "two words"), ("x y", "z"), "alone"]
    labels = [1.0, 2.5, 2.5, 0.0]
    found = model.predict_texts(texts, renderer)[:, 0]
    score = model.score(texts, labels, renderer)
    assert score == {
        "mean_squared_error": pytest.approx(np.mean((found - labels) ** 2)),
        "pearson": pytest.approx(np.corrcoef(found, labels)[0, 1]),
        "spearman": pytest.approx(
            np.corrcoef(stats.rankdata(found), stats.rankdata(labels))[0, 1]
        ),
    }
    flat = model.score(texts, [1.0] * 4, renderer)
    assert np.isnan([flat["pearson"], flat["spearman"]]).all()
    with pytest.raises(ValueError, match=r"4 texts, labels of shape \(3,\)"):
        model.score(texts, labels[:3], renderer)


def test_config():
    model = _model(pooling="attention", leaky=True, dropout_rate=0.3)
    config = model.get_config()
    assert TextRegressor.from_config(config).get_config() == config
    assert model.batch_spec(7, 5)["label"] == ((7,), "float32")


@pytest.mark.slow
def test_plain_fit():
    model, batch = _model(dropout_rate=0.0), heads.batch()
    batch["label"] = np.array([0.5, -2, 3, 9], "float32")
    x = {k: batch[k] for k in ("pixels", "num_patches")}
    model.compile(
        optimizer=keras.optimizers.Adam(0.01), loss="mse", jit_compile=False
    )
    history = model.fit(x, batch["label"], epochs=9, verbose=0, shuffle=False)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
