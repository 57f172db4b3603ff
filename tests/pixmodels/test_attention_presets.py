"""Weights of a softmax model in mechanisms that share its projections."""

import numpy as np
import pytest
from keras import ops

import pixmodels

LENGTH = 11
# Options with which every patch attends to every other one.
ALL = {
    "bigbird": {"block": 13},
    "local": {"window": 13},
    "longformer": {"window": 26},
    "sliding_window": {"window": 13},
    "sparse": {"block": 13},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A softmax backbone with weights far from zero, and its folder."""
    model = pixmodels.ViTBackbone(
        (5, 5 * LENGTH, 3),
        5,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
    )
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.3)
    folder = tmp_path_factory.mktemp("preset") / "softmax"
    model.save_to_preset(folder)
    return model, folder


def _images():
    return np.random.default_rng(5).random((2, 5, 5 * LENGTH, 3), "float32")


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_preset_takes_another_mechanism(trained, name):
    model, folder = trained
    other = pixmodels.from_preset(
        folder, attention=name, attention_options=ALL[name]
    )
    assert other.attention == name
    mask = np.arange(LENGTH) < np.array([[11], [7]])
    expected = ops.convert_to_numpy(model(_images(), mask=mask))
    found = ops.convert_to_numpy(other(_images(), mask=mask))
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(found[1, :8], expected[1, :8], atol=2e-5)


def test_a_narrow_window_differs(trained):
    model, folder = trained
    local = pixmodels.from_preset(
        folder, attention="local", attention_options={"window": 3}
    )
    expected = ops.convert_to_numpy(model(_images()))
    found = ops.convert_to_numpy(local(_images()))
    assert np.abs(found - expected).max() > 1e-2


def test_inside_a_task_and_from_a_file_of_weights(trained, tmp_path):
    model, _ = trained
    options = {"attention": "local", "attention_options": {"window": 13}}
    pixmodels.MaskedAutoencoder(
        model, decoder_num_layers=1, decoder_num_heads=3, decoder_hidden_dim=12
    ).save_to_preset(tmp_path / "task")
    whole = pixmodels.from_preset(tmp_path / "task", backbone_options=options)
    assert whole.encoder.attention == "local"
    model.save_weights(tmp_path / "some.weights.h5")
    config = {**model.get_config(), **options}
    other = type(model).from_config(config)
    other.load_weights(tmp_path / "some.weights.h5")
    expected = ops.convert_to_numpy(model(_images()))
    for found in (whole.encoder, other):
        found = ops.convert_to_numpy(found(_images()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_a_mechanism_with_weights_of_its_own_is_refused(trained):
    _, folder = trained
    with pytest.raises(ValueError, match="leave the architecture as it is"):
        pixmodels.from_preset(
            folder,
            attention="linformer",
            attention_options={"rank": 3, "max_length": 17},
        )
