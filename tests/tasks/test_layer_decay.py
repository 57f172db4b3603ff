import json

import heads
import keras
import numpy as np
import pytest

import pixmodels
from pixmodels.tasks import ImageClassifier
from pixmodels.tasks import TextClassifier
from pixmodels.tasks import layer_lr_multipliers


def _model():
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(num_layers=3, trainable_positions=True)
    return heads.randomise(TextClassifier(backbone, 5))


def test_multipliers():
    """MAE's rule with 3 blocks: layers 0 to 4."""
    model = _model()
    found = layer_lr_multipliers(model, 0.5)
    assert set(found) == {v.path for v in model.trainable_variables}
    expected = {
        "embedding/": 1 / 16,
        "position_embedding/": 1 / 16,
        "block_0/": 1 / 8,
        "block_1/": 1 / 4,
        "block_2/": 1 / 2,
        "encoder/norm/": 1,
        "/head_": 1,
    }
    for path, rate in found.items():
        (rule,) = {value for key, value in expected.items() if key in path}
        assert rate == rule, path
    assert set(layer_lr_multipliers(model, 1.0).values()) == {1.0}
    assert set(layer_lr_multipliers(model.backbone, 0.5).values()) == {
        *(1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
    }


def test_only_what_is_trained():
    backbone = pixmodels.ViTBackbone(
        (6, 6, 1), 3, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=5
    )
    model = ImageClassifier(backbone, 3, linear_probe=True)
    found = layer_lr_multipliers(model, 0.5)
    assert len(found) == 2
    assert set(found.values()) == {1.0}


def test_bad_arguments():
    for decay in (0, 1.5, -1):
        with pytest.raises(ValueError, match=f"decay={decay}"):
            layer_lr_multipliers(_model(), decay)
    with pytest.raises(TypeError, match="backbone of blocks"):
        layer_lr_multipliers(keras.Sequential(), 0.5)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the driver is TensorFlow"
)
def test_trainer_honours_them():
    """A first step of Adam moves each weight by its own rate."""
    from pixmodels.training import TrainConfig
    from pixmodels.training import _settings
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    batch = {**heads.batch(), "label": np.array([1, 3, 0, 2], "int32")}
    config = {
        "steps": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "weight_decay": 0.0,
        "deterministic": False,
        "jit_compile": False,
    }

    settings = TrainConfig(**config, layer_decay=0.5)
    driver = TensorFlowDriver(_model, settings, batch)
    variables = driver.model.trainable_variables
    rates = layer_lr_multipliers(driver.model, 0.5)
    before = [v.numpy() for v in variables]
    driver.fetch(driver.train_step(batch, 0))
    for variable, old in zip(variables, before):
        step = np.abs(variable.numpy() - old).max()
        if not variable.path.endswith("key/bias"):  # its gradient is zero
            assert step == pytest.approx(
                1e-3 * rates[variable.path], rel=0.02
            ), variable.path
    # Configs of runs made before there was such a setting still load.
    old = _settings.to_dict(TrainConfig(**config))
    del old["layer_decay"]
    again = _settings.from_dict(TrainConfig, json.loads(json.dumps(old)))
    assert again.layer_decay is None


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the driver is TensorFlow"
)
def test_weight_decay_is_scaled_too():
    """As in torch, where a group's rate scales its decay."""
    from pixmodels.training import TrainConfig
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    batch = {**heads.batch(), "label": np.array([1, 3, 0, 2], "int32")}
    batch["weight"] = np.zeros(4, "float32")  # no gradient at all
    config = TrainConfig(
        steps=1,
        batch_size=4,
        learning_rate=0.1,
        schedule="constant",
        weight_decay=0.5,
        layer_decay=0.5,
        deterministic=False,
        jit_compile=False,
    )
    driver = TensorFlowDriver(_model, config, batch)
    block = driver.model.backbone.encoder.blocks[1]
    before = block.dense_1.kernel.numpy()
    driver.fetch(driver.train_step(batch, 0))
    np.testing.assert_allclose(
        block.dense_1.kernel.numpy(),
        before * (1 - 0.1 * 0.25 * 0.5),
        rtol=1e-6,
    )
