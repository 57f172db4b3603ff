"""The masked autoencoder with the options of encoders, and wrong masks."""

import harness
import keras
import numpy as np
import pytest
from harness import arrays_of
from keras import ops

import pixmodels

OPTIONS = {
    "registers": {
        "num_registers": 2,
        "layer_scale": 0.3,
        "positions": "rotary",
        "drop_path_rate": 0.3,
    },
    "bare": {
        "class_token": False,
        "qkv_bias": False,
        "final_norm": False,
        "positions": "learned",
    },
    "rotary-local": {
        "positions": "rotary",
        "attention": "local",
        "attention_options": {"window": 4},
    },
}


def _autoencoder(dtype="float32", **options):
    keras.utils.set_random_seed(11)
    encoder = pixmodels.ViTBackbone(
        (15, 35, 1),
        5,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        dtype=dtype,
        **options,
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
        dtype=dtype,
    )


def _batch(strategy="block"):
    rng = np.random.default_rng(3)
    counts = np.array([20, 11, 3], "int32")
    ids = np.array([5, 7, 13], "int32")
    return {
        "pixels": rng.integers(0, 256, (3, 15, 35)).astype("uint8"),
        "num_patches": counts,
        "example_id": ids,
        "weight": np.ones(3, "float32"),
        "patch_mask": pixmodels.masking.draw_masks(
            strategy, (3, 7), ids, num_text_patches=counts + 1
        ),
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_every_weight_is_trained(name):
    model = _autoencoder(**OPTIONS[name])
    batch = _batch()

    def loss():
        sums, counts = model.loss_sums(batch, [3, 5])
        return sums["loss"] / counts["loss"]

    value, gradients = harness.loss_and_gradients(loss, model.trainable_weights)
    assert np.isfinite(value)
    for weight, gradient in zip(
        model.trainable_weights, gradients, strict=True
    ):
        # A bias of all keys moves no softmax, unless rotary turns it.
        if not weight.path.endswith("key/bias"):
            assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("name", OPTIONS)
def test_config_and_file(name, tmp_path):
    model = _autoencoder(**OPTIONS[name])
    batch = _batch()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.encoder.get_config() == model.encoder.get_config()
    np.testing.assert_array_equal(
        arrays_of(loaded(batch))["logits"], arrays_of(model(batch))["logits"]
    )


@pytest.mark.parametrize("strategy", pixmodels.masking.STRATEGIES)
def test_masks_of_every_strategy(strategy):
    model = _autoencoder()
    batch = _batch(strategy)
    outputs = arrays_of(model(batch))
    np.testing.assert_array_equal(outputs["mask"], batch["patch_mask"])
    for row, mask in zip(outputs["ids_keep"], batch["patch_mask"], strict=True):
        np.testing.assert_array_equal(row, np.flatnonzero(mask == 0))


def test_hidden_and_padding_patches_change_nothing_else():
    model = _autoencoder(positions="rotary", num_registers=1)
    batch = _batch()
    logits = arrays_of(model(batch))["logits"]
    hidden = batch["patch_mask"].astype(bool)
    gone = hidden | (np.arange(21)[None] > batch["num_patches"][:, None])
    # (B, N) -> (B, R, 5, C, 5) -> (B, H, W)
    pixels = np.repeat(np.repeat(gone.reshape(3, 3, 7), 5, 1), 5, 2)
    changed = np.where(pixels, 255 - batch["pixels"], batch["pixels"])
    again = arrays_of(model({**batch, "pixels": changed}))["logits"]
    real = np.arange(21)[None] <= batch["num_patches"][:, None]
    np.testing.assert_array_equal(logits[real], again[real])


def _hidden(*counts):
    mask = np.zeros((len(counts), 21), "uint8")
    for row, count in zip(mask, counts, strict=True):
        row[:count] = 1
    return mask


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_mask": np.zeros((3, 20))}, r"shape \(B, 21\).*\(3, 20\)"),
        ({"patch_mask": np.zeros(21)}, r"shape=\(21,\)"),
        ({"patch_mask": _hidden(6, 0, 6)}, "hides nothing in row 1"),
        ({"patch_mask": _hidden(6, 6, 21)}, "hides everything in row 2"),
        ({"patch_mask": _hidden(5, 6, 6)}, "hide 6 of 21.*5 patches in row 0"),
        ({"patch_mask": _hidden(6, 6, 6)[:, ::-1]}, "hides padding only"),
        ({"num_patches": np.array([20, -1, 3])}, "zero attended patches"),
        (
            {"patch_mask": None, "noise": np.zeros((3, 11))},
            r"noise of shape \(B, 21\)",
        ),
        ({"pixels": np.zeros((3, 10, 35), "uint8")}, "images.shape"),
        ({"pixels": np.zeros((3, 15, 35, 3), "uint8")}, "channels"),
    ],
)
def test_wrong_batches_are_refused(change, message):
    batch = {**_batch(), "num_patches": np.array([11, 11, 3], "int32")}
    with pytest.raises(ValueError, match=message):
        _autoencoder()({**batch, **change})


def test_filler_examples_may_hide_anything():
    batch = {**_batch(), "patch_mask": _hidden(6, 6, 0)}
    batch["weight"] = np.array([1, 1, 0], "float32")
    _autoencoder()(batch)


def test_too_few_patches_to_keep_one():
    model = _autoencoder(resample_positions=True)
    with pytest.raises(ValueError, match="1 patches"):
        model({"pixels": np.zeros((2, 5, 5), "uint8")})


def test_a_graph_without_a_loss_is_finite():
    model = _autoencoder()
    batch = _batch()
    for change in (
        {"patch_mask": _hidden(6, 6, 6)[:, ::-1]},
        {"patch_mask": _hidden(0, 0, 0)},
        {"patch_mask": _hidden(21, 21, 21)},
        {"num_patches": np.full(3, -1, "int32")},
    ):
        changed = {**batch, "num_patches": np.full(3, 9, "int32"), **change}
        tensors = {k: ops.convert_to_tensor(v) for k, v in changed.items()}
        sums, counts = arrays_of(model.loss_sums(tensors, [1, 2]))
        assert np.isfinite(sums["loss"])
        outputs = model(tensors)
        assert np.isfinite(arrays_of(outputs)["logits"]).all()
        loss = model.compute_loss(tensors, y_pred=outputs)
        assert np.isfinite(ops.convert_to_numpy(loss))
    assert float(counts["loss"]) == float(sums["loss"]) == 0.0
    assert float(ops.convert_to_numpy(loss)) == 0.0


def test_decoder_follows_the_encoder():
    model = _autoencoder(num_registers=2, qkv_bias=False)
    assert model.decoder.blocks[0].mixer.query.bias is None
    assert model.decoder_positions.table.shape == (22, 8)
    model = _autoencoder(class_token=False)
    assert model.decoder_positions.table.shape == (21, 8)
