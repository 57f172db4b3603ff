"""Hierarchies: golden numbers, masks at every level, pages, bad input."""

import harness
import keras
import numpy as np
import pixel_weights
import pytest
from keras import ops

import pixmodels
from pixmodels import layers
from pixmodels import models

SIZES = (2, 3, 5, 7)  # patients, notes, sentences, words
MASKED = np.ones(SIZES, bool)
MASKED[0, 2] = False  # a note
MASKED[0, 0, 3:] = False  # sentences
MASKED[1, 1, 2, 4:] = False  # words


def _load_level(level, arrays, name):
    for i, block in enumerate(level.blocks):
        at = f"w/{name}_{i}_"
        for part, mine in {
            "q": block.mixer.query,
            "k": block.mixer.key,
            "v": block.mixer.value,
            "o": block.mixer.output_dense,
            "fc1": block.dense_1,
            "fc2": block.dense_2,
        }.items():
            pixel_weights.load_dense(mine, arrays, at + part)
        pixel_weights.load_norm(block.norm_1, arrays, at + "ln1")
        pixel_weights.load_norm(block.norm_2, arrays, at + "ln2")
    pixel_weights.load_dense(level.pool.dense, arrays, f"w/{name}_pool")


def test_golden_numbers(shared):
    arrays = dict(np.load(shared("fixtures/layers/hierarchical.npz")))
    model = models.HierarchicalEncoder(
        hidden_dim=16, num_heads=2, mlp_dim=32, num_classes=3
    )
    _load_level(model.levels[0], arrays, "l1")
    _load_level(model.levels[1], arrays, "l2")
    pixel_weights.load_dense(model.head, arrays, "w/cls")
    found = model.intermediates(arrays["in/x"])
    for mine, name in (
        ("level_1", "notes"),
        ("level_2", "doc"),
        ("output", "logits"),
    ):
        y = ops.convert_to_numpy(found[mine])
        expected = arrays[f"out/{name}"]
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def _words(**options):
    return models.TokenEncoder(
        31, num_layers=1, num_heads=2, hidden_dim=10, mlp_dim=13, **options
    )


def _model(first=None, **options):
    keras.utils.set_random_seed(3)
    model = models.HierarchicalEncoder(
        _words() if first is None else first,
        **{"num_layers": 1, "num_heads": 3, "mlp_dim": 11, **options},
        hidden_dim=12,
    )
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return model


def _ids(seed=3):
    return np.random.default_rng(seed).integers(0, 31, SIZES)


def _numpy(outputs):
    return {k: ops.convert_to_numpy(v) for k, v in outputs.items()}


@pytest.mark.parametrize(
    "pooling", ["first", "mean", "max", "mean_max", "last"]
)
def test_padding_changes_nothing_at_any_level(pooling):
    model = _model(pooling=pooling, first_pooling=pooling)
    found = _numpy(model.intermediates(_ids(), mask=MASKED))
    other = np.where(MASKED, _ids(), _ids(11))
    again = _numpy(model.intermediates(other, mask=MASKED))
    for name, value in found.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    # What is cut away altogether gives the same as what is masked.
    alone = _numpy(model.intermediates(_ids()[:1, :2], mask=MASKED[:1, :2]))
    np.testing.assert_allclose(
        found["output"][0], alone["output"][0], rtol=0, atol=1e-5
    )
    short = model(_ids()[:1, :1, :3])
    masked = np.zeros((1, *SIZES[1:]), bool)
    masked[:, :1, :3] = True
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(_ids()[:1], mask=masked)),
        ops.convert_to_numpy(short),
        rtol=0,
        atol=1e-5,
    )
    # Real parts do matter.
    ids = _ids()
    ids[1, 2, 4] = (ids[1, 2, 4] + 1) % 31
    changed = ops.convert_to_numpy(model(ids, mask=MASKED))
    assert (changed[1] != found["output"][1]).any()
    np.testing.assert_array_equal(changed[0], found["output"][0])


def test_nothing_real_gives_zeros_and_nan_stays_where_it_is():
    model = models.HierarchicalEncoder(
        num_layers=1, num_heads=2, mlp_dim=11, hidden_dim=10, pooling="mean"
    )
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, 5, 10)).astype("float32")
    mask = MASKED.any(-1)
    mask[1] = False
    found = _numpy(model.intermediates(x, mask=mask))
    for value in found.values():
        assert np.isfinite(value).all()
        assert not value[1].any()
    padded = np.where(mask[..., None], x, np.nan).astype("float32")
    again = ops.convert_to_numpy(model(padded, mask=mask))
    np.testing.assert_array_equal(again, found["output"])
    x[0, 0, 0] = np.nan
    outputs = ops.convert_to_numpy(model(x))
    assert np.isnan(outputs[0]).all()
    assert np.isfinite(outputs[1]).all()


@pytest.mark.parametrize(
    "pooling", ["first", "mean", "max", "mean_max", "last"]
)
def test_poolings_by_hand(pooling):
    rng = np.random.default_rng(3)
    layer = layers.SequencePooling(pooling, hidden_dim=3)
    layer.build((None, None, 5))
    x = rng.normal(size=(4, 7, 5)).astype("float32")
    mask = np.zeros((4, 7), bool)
    mask[0] = mask[1, 2:5] = mask[2, 3] = True
    kernel = ops.convert_to_numpy(layer.dense.kernel)
    for prefix in (0, 1):
        found = ops.convert_to_numpy(layer(x, mask=mask, prefix=prefix))
        for row in range(3):
            real = x[row, prefix:][mask[row, prefix:]]
            parts = {
                "first": [x[row, 0] if prefix else real[0]],
                "mean": [real.mean(0)],
                "max": [real.max(0)],
                "mean_max": [real.mean(0), real.max(0)],
                "last": [real[-1]],
            }[pooling]
            expected = np.tanh(np.concatenate(parts) @ kernel)
            np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-6)
        assert not found[3].any()


def test_pages_of_patches():
    """Patch, line, page, document, with a class token in each line."""
    keras.utils.set_random_seed(3)
    lines = pixmodels.PIXELBackbone(
        (4, 4 * 7, 1),
        4,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=11,
    )
    model = models.HierarchicalEncoder(
        lines, num_layers=1, num_heads=2, mlp_dim=11, dropout_rate=0.0
    )
    rng = np.random.default_rng(3)
    x = rng.random((2, 3, 5, 4, 28, 1)).astype("float32")
    found = _numpy(model.intermediates(x, mask=MASKED))
    columns = np.repeat(MASKED, 4, axis=-1)[..., None, :, None]
    noise = rng.random(x.shape).astype("float32")
    again = model(np.where(columns, x, noise), mask=MASKED)
    np.testing.assert_array_equal(ops.convert_to_numpy(again), found["output"])
    line = lines(x[:1, 1, 2])
    pooled = ops.convert_to_numpy(model.first_pool(line, prefix=1))
    np.testing.assert_allclose(
        found["level_0"][0, 1, 2], pooled[0], rtol=0, atol=1e-6
    )
    whole = model(x, mask=MASKED.any(-1))  # of lines, not of patches
    assert ops.convert_to_numpy(whole).shape == (2, 8)


def test_config_saving_and_compiled(tmp_path):
    model = _model(num_classes=5, attention="linear", dropout_rate=0.0)
    again = models.HierarchicalEncoder.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = ops.convert_to_numpy(model(_ids(), mask=MASKED))
    found = ops.convert_to_numpy(loaded(_ids(), mask=MASKED))
    np.testing.assert_array_equal(found, expected)
    xla = harness.compiled(lambda x: model(x, mask=MASKED), True)
    if xla is not None:
        found = ops.convert_to_numpy(xla(_ids()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_every_weight_learns_and_dropout_is_of_the_example():
    model = _model(num_classes=5, dropout_rate=0.3)

    def loss():
        with pixmodels.random.key_scope([3, 5], np.array([17, 19])):
            logits = model(_ids(), mask=MASKED, training=True)
        return ops.sum(ops.square(logits - 1.0))

    first, gradients = harness.loss_and_gradients(loss, model.trainable_weights)
    for weight, value in zip(model.trainable_weights, gradients, strict=True):
        assert np.isfinite(value).all()
        assert np.abs(value).max() > 0, weight.path
    assert first == float(ops.convert_to_numpy(loss()))
    with pixmodels.random.key_scope([3, 5], np.array([17, 19])):
        both = model(_ids(), mask=MASKED, training=True)
    with pixmodels.random.key_scope([3, 5], np.array([19])):
        one = model(_ids()[1:], mask=MASKED[1:], training=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(both)[1:],
        ops.convert_to_numpy(one),
        rtol=0,
        atol=1e-5,
    )


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="hidden_dim=None"):
        models.HierarchicalEncoder()
    with pytest.raises(ValueError, match="pooling='middle'"):
        _model(pooling="middle")
    model = _model()
    with pytest.raises(ValueError, match=r"inputs.shape=\(2, 3, 5\)"):
        model(_ids()[..., 0])
    with pytest.raises(ValueError, match=r"inputs.shape=\(2, 0, 5, 7\)"):
        model(_ids()[:, :0])
    with pytest.raises(ValueError, match=r"mask.shape=\(2, 3, 4, 7\)"):
        model(_ids(), mask=MASKED[:, :, :4])
    with pytest.raises(ValueError, match="dtype=.*float32"):
        model(_ids(), mask=MASKED.astype("float32"))
    with pytest.raises(ValueError, match="positions='sincos'"):
        _words(positions="sincos")
    with pytest.raises(ValueError, match="max_length=None"):
        _words(positions="learned")
    with pytest.raises(ValueError, match="at most max_length=3"):
        _words(max_length=3)(_ids()[0, 0])
    with pytest.raises(ValueError, match=r"ids.shape=\(2, 0\)"):
        _words()(np.zeros((2, 0), "int32"))
    one = model(_ids()[:, :1, :1, :1])
    assert np.isfinite(ops.convert_to_numpy(one)).all()
