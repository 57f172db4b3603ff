"""Files of other libraries, written here from arrays, and our numbers."""

import inspect
import json
import shutil
import sys

import harness
import numpy as np
import preset_files
import pytest
from keras import ops

import pixmodels
from pixmodels import presets
from pixmodels import tasks

IMAGE = (6, 15, 3)
HIDDEN = pytest.mark.skipif(
    "representation_dim"
    not in inspect.signature(tasks.ImageClassifier).parameters,
    reason="ImageClassifier has no hidden layer",
)


def _images(seed=5, shape=(2, *IMAGE)):
    return np.random.default_rng(seed).random(shape).astype("float32")


def _close(ours, expected, atol=1e-5):
    ours = ops.convert_to_numpy(ours)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=atol)


# --- PIXEL ------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretraining(fixtures, tmp_path_factory):
    """(folder, arrays) of the tiny PIXEL of the fixtures."""
    pytest.importorskip("safetensors")
    arrays = dict(np.load(fixtures / "pretraining_tiny_norm.npz"))
    weights = {k[2:]: v for k, v in arrays.items() if k.startswith("w/")}
    folder = tmp_path_factory.mktemp("pixel") / "tiny"
    return preset_files.hf_folder(
        folder, preset_files.pixel_config(), weights
    ), arrays


def test_pixel_pretraining(pretraining):
    folder, arrays = pretraining
    model = pixmodels.from_preset(folder)
    assert isinstance(model, pixmodels.MaskedAutoencoder)
    assert model.decoder_norm_epsilon == 1e-5
    assert model.encoder.layer_norm_epsilon == 1e-12
    assert model.encoder.position_grid == (5, 5)
    attended = arrays["in/attention_mask"].sum(1).astype("int32")
    batch = {
        "pixels": arrays["in/pixel_values"].transpose(0, 2, 3, 1),
        "num_patches": attended - 1,
        "patch_mask": arrays["in/patch_mask"],
        "example_id": np.arange(3, dtype="int32"),
    }
    _close(model(batch)["logits"], arrays["out/logits"])
    sums = model.loss_sums(batch, [0, 0], training=False)
    numerators, counts = harness.arrays_of(sums)
    loss = float(numerators["loss"] / counts["loss"])
    assert abs(loss - arrays["out/loss"].item()) < 1e-6


def test_pixel_backbone_out_of_pretraining(pretraining):
    folder, _ = pretraining
    whole = pixmodels.MaskedAutoencoder.from_preset(folder)
    alone = pixmodels.PIXELBackbone.from_preset(folder)
    for a, b in zip(whole.encoder.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        )


def test_pixel_goes_back(pretraining, tmp_path):
    folder, arrays = pretraining
    pixmodels.from_preset(folder).to_hf(tmp_path / "back")
    from safetensors.numpy import load_file

    back = load_file(tmp_path / "back" / "model.safetensors")
    there = {k[2:]: v for k, v in arrays.items() if k.startswith("w/")}
    assert set(back) == set(there)
    for name, array in there.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)
    again = pixmodels.from_preset(tmp_path / "back")
    assert again.get_config().keys()


# --- Google -----------------------------------------------------------------

SPELLINGS = {
    "flax": lambda arrays: arrays,
    "pre-linen": preset_files.old_spelling,
    "scanned": preset_files.scanned_spelling,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_google_npz(spelling, tmp_path):
    arrays = preset_files.google_arrays(rows=6)
    if spelling == "scanned":  # positions are added before the class token
        arrays["Transformer/posembed_input/pos_embedding"][:, 0] = 0
    there = SPELLINGS[spelling](arrays)
    if spelling == "scanned":
        there["params/img/pos_embedding"] = arrays[
            "Transformer/posembed_input/pos_embedding"
        ][:, 1:]
    path = tmp_path / "vit.npz"
    np.savez(path, **there)
    images = _images()
    tokens, logits = preset_files.numpy_vit(arrays, images * 2 - 1)
    model = pixmodels.from_preset(path, image_shape=IMAGE)
    assert isinstance(model, tasks.ImageClassifier)
    assert model.backbone.activation == "gelu_approximate"
    _close(model.backbone(images), tokens)
    _close(model(images), logits)
    plain = pixmodels.ViTBackbone.from_preset(
        path, image_shape=IMAGE, normalization="none"
    )
    _close(plain(images * 2 - 1), tokens)


def test_google_npz_without_a_class_token(tmp_path):
    arrays = preset_files.google_arrays(rows=4, token=False)
    path = tmp_path / "gap.npz"
    np.savez(path, **arrays)
    model = pixmodels.from_preset(path)  # a square of four patches
    assert model.backbone.image_shape == (6, 10, 3)
    images = _images(shape=(2, 6, 10, 3))
    _, logits = preset_files.numpy_vit(arrays, images * 2 - 1)
    _close(model(images), logits)


def test_google_npz_with_attention_pooling(tmp_path):
    arrays = preset_files.google_arrays(rows=4, token=False, pooled=True)
    path = tmp_path / "map.npz"
    np.savez(path, **preset_files.scanned_spelling(arrays))
    images = _images(shape=(2, 6, 10, 3))
    _, logits = preset_files.numpy_vit(arrays, images * 2 - 1)
    _close(pixmodels.from_preset(path)(images), logits)


@HIDDEN
def test_google_npz_with_pre_logits(tmp_path):
    arrays = preset_files.google_arrays(rows=4, hidden=11)
    path = tmp_path / "in21k.npz"
    np.savez(path, **arrays)
    images = _images(shape=(2, 6, 10, 3))
    tokens, logits = preset_files.numpy_vit(arrays, images * 2 - 1)
    _close(pixmodels.ViTBackbone.from_preset(path)(images), tokens)
    model = pixmodels.from_preset(path)
    assert model.representation_dim == 11
    _close(model(images), logits)


def test_google_npz_in_bfloat16(tmp_path):
    arrays = preset_files.google_arrays(rows=4)
    half = {  # numpy keeps such arrays as two bytes without a meaning
        name: (x.view("uint32") >> 16).astype("uint16").view("V2")
        for name, x in arrays.items()
    }
    np.savez(tmp_path / "half.npz", **half)
    model = pixmodels.ViTBackbone.from_preset(
        tmp_path / "half.npz", normalization="none"
    )
    found = ops.convert_to_numpy(model.embedding.projection.bias)
    np.testing.assert_allclose(
        found, arrays["embedding/bias"], rtol=2**-7, atol=0
    )
    assert not (found.view("uint32") & 0xFFFF).any()


def test_google_npz_at_another_resolution(tmp_path):
    """vit_jax resamples by `scipy.ndimage.zoom(order=1)`."""
    ndimage = pytest.importorskip("scipy.ndimage")
    arrays = preset_files.google_arrays(rows=9)
    path = tmp_path / "vit.npz"
    np.savez(path, **arrays)
    model = pixmodels.from_preset(path, image_shape=(15, 35, 3))
    name = "Transformer/posembed_input/pos_embedding"
    table = arrays[name][0]
    grid = table[1:].reshape(3, 3, -1)
    grid = ndimage.zoom(grid, (5 / 3, 7 / 3, 1), order=1)
    table = np.concatenate([table[:1], grid.reshape(35, -1)])
    images = _images(shape=(2, 15, 35, 3))
    tokens, logits = preset_files.numpy_vit(
        {**arrays, name: table[None]}, images * 2 - 1
    )
    _close(model.backbone(images), tokens)
    _close(model(images), logits)
    cubic = pixmodels.from_preset(
        path, image_shape=(15, 35, 3), resampling="bicubic"
    )
    found = ops.convert_to_numpy(cubic.backbone.position_embedding.table)
    assert np.abs(found - table).max() > 0.01
    with pytest.raises(ValueError, match="method='lanczos'"):
        pixmodels.from_preset(
            path, image_shape=(15, 35, 3), resampling="lanczos"
        )


def test_a_table_that_is_no_square_needs_an_image_shape(tmp_path):
    path = tmp_path / "vit.npz"
    np.savez(path, **preset_files.google_arrays(rows=6))
    with pytest.raises(ValueError, match="with 6 patches"):
        pixmodels.from_preset(path)


# --- KerasHub ---------------------------------------------------------------


def test_keras_hub_preset(fixtures):
    """Made with keras-hub 0.32.0: every tensor random, pixels in [-1, 1]."""
    folder = fixtures / "keras_hub_vit"
    expected = np.load(folder / "expected.npz")
    model = pixmodels.from_preset(folder)
    assert isinstance(model, tasks.ImageClassifier)
    assert model.backbone.activation == "gelu"
    _close(model.backbone(expected["images"] / 255.0), expected["tokens"])
    _close(model(expected["images"]), expected["logits2"])
    alone = pixmodels.ViTBackbone.from_preset(folder)
    _close(alone(expected["images"] / 255.0), expected["tokens"])


@HIDDEN
def test_keras_hub_classifier_with_a_hidden_layer(fixtures, tmp_path):
    folder = tmp_path / "hidden"
    shutil.copytree(fixtures / "keras_hub_vit", folder)
    shutil.copytree(
        fixtures / "keras_hub_vit_hidden", folder, dirs_exist_ok=True
    )
    expected = np.load(folder / "expected.npz")
    model = pixmodels.from_preset(folder)
    _close(model(expected["images"]), expected["logits"])


def test_another_keras_hub_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"registered_name": "keras_hub>BertBackbone", "config": {}}'
    )
    with pytest.raises(ValueError, match="keras_hub>BertBackbone"):
        pixmodels.from_preset(tmp_path)


# --- What does not fit ------------------------------------------------------


def _altered(pretraining, tmp_path, change, config=None):
    _, arrays = pretraining
    weights = {k[2:]: v.copy() for k, v in arrays.items() if k[:2] == "w/"}
    change(weights)
    config = preset_files.pixel_config(**(config or {}))
    return preset_files.hf_folder(tmp_path / "altered", config, weights)


def test_the_report_lists_all_problems(pretraining, tmp_path):
    def change(weights):
        del weights["vit.layernorm.bias"]
        weights["vit.encoder.layer.7.output.dense.bias"] = np.zeros(32)
        weights["decoder.decoder_pred.bias"] = np.zeros(771, "float32")

    folder = _altered(pretraining, tmp_path, change)
    with pytest.raises(ValueError) as error:
        pixmodels.from_preset(folder)
    text = str(error.value)
    assert (
        "missing (1):\n    encoder.encoder.norm.beta (layernorm.bias)" in text
    )
    assert "unexpected (1):\n    encoder.layer.7.output.dense.bias" in text
    line = "decoder.decoder_pred.bias: (771,), expected (768,)"
    assert f"misshapen (1):\n    {line}" in text
    with pytest.warns(UserWarning, match="misshapen"):
        model = pixmodels.from_preset(folder, strict=False)
    assert isinstance(model, pixmodels.MaskedAutoencoder)


def test_nan_is_refused_even_when_not_strict(pretraining, tmp_path):
    def change(weights):
        weights["decoder.decoder_pred.bias"][5] = np.nan

    folder = _altered(pretraining, tmp_path, change)
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"not finite.*\n.*decoder_pred"):
            pixmodels.from_preset(folder, strict=strict)


def test_weights_of_another_architecture_are_refused(pretraining):
    folder, _ = pretraining
    with pytest.raises(ValueError, match="preset of a ViTBackbone"):
        pixmodels.ViTBackbone.from_preset(folder)
    with pytest.raises(ValueError, match="unexpected"):
        pixmodels.from_preset(folder, backbone_options={"num_layers": 1})


def test_unknown_model_types_are_refused(pretraining, tmp_path):
    folder = _altered(
        pretraining, tmp_path, lambda w: None, {"model_type": "bert"}
    )
    with pytest.raises(ValueError, match="model_type='bert'"):
        pixmodels.from_preset(folder)


def test_unknown_activations_are_refused(pretraining, tmp_path):
    folder = _altered(
        pretraining, tmp_path, lambda w: None, {"hidden_act": "mish"}
    )
    with pytest.raises(ValueError, match="hidden_act='mish'"):
        pixmodels.from_preset(folder)


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_cut_safetensors_file_is_refused(pretraining, tmp_path, keep):
    folder = _altered(pretraining, tmp_path, lambda w: None)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="whole .safetensors file"):
        pixmodels.from_preset(folder)


def test_a_cut_npz_file_is_refused(tmp_path):
    path = tmp_path / "vit.npz"
    np.savez(path, **preset_files.google_arrays(rows=4))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="whole .npz file"):
        pixmodels.from_preset(path)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "vit.npz", cls=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="whole .npz file"):
        pixmodels.from_preset(tmp_path / "vit.npz")


def test_without_torch_a_bin_file_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "mae.pth").write_bytes(b"weights")
    with pytest.raises(ImportError, match="pip install torch"):
        pixmodels.from_preset(tmp_path / "mae.pth")


def test_bfloat16_safetensors(pretraining, tmp_path):
    """numpy has no such type; the file is written by its specification."""
    folder = _altered(pretraining, tmp_path, lambda w: None)
    _, arrays = pretraining
    header, data = {}, b""
    for name, x in arrays.items():
        if name.startswith("w/"):
            x = np.ascontiguousarray(x)
            part = (x.view("uint32") >> 16).astype("<u2").tobytes()
            header[name[2:]] = {
                "dtype": "BF16",
                "shape": x.shape,
                "data_offsets": [len(data), len(data) + len(part)],
            }
            data += part
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        len(head).to_bytes(8, "little") + head + data
    )
    model = pixmodels.from_preset(folder)
    for layer, name in (
        (model.prediction, "decoder.decoder_pred"),
        (model.decoder.norm, "decoder.decoder_norm"),
    ):
        found = ops.convert_to_numpy(layer.weights[-1])
        expected = arrays[f"w/{name}.bias"]
        np.testing.assert_allclose(found, expected, rtol=2**-7)


def test_sharded_safetensors(pretraining, tmp_path):
    from safetensors.numpy import save_file

    folder, arrays = pretraining
    new = tmp_path / "shards"
    new.mkdir()
    shutil.copy(folder / "config.json", new)
    names = [k[2:] for k in arrays if k.startswith("w/")]
    places = {}
    for i in range(3):
        file = f"model-0000{i}.safetensors"
        part = names[i::3]
        places.update(dict.fromkeys(part, file))
        save_file({n: arrays[f"w/{n}"] for n in part}, new / file)
    (new / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": places})
    )
    a, b = pixmodels.from_preset(folder), pixmodels.from_preset(new)
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(x), ops.convert_to_numpy(y)
        )
    (new / "model-00001.safetensors").unlink()
    with pytest.raises(ValueError, match="model-00001.safetensors"):
        pixmodels.from_preset(new)


def test_names_of_options_are_checked(pretraining):
    folder, _ = pretraining
    with pytest.raises(ValueError, match="mask_rati"):
        pixmodels.from_preset(folder, mask_rati=0.5)
    with pytest.raises(ValueError, match="backbone_options"):
        pixmodels.from_preset(folder, backbone_options={"drop": 0.5})
    with pytest.raises(ValueError, match="normalization='no'"):
        pixmodels.from_preset(folder, normalization="no")
    with pytest.raises(TypeError, match="path=3"):
        pixmodels.from_preset(3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pixmodels.from_preset("nowhere")


def test_the_message_about_a_wrong_path_is_short(tmp_path):
    for number in range(97):
        (tmp_path / f"file-{number:02}.txt").write_text("")
    with pytest.raises(
        ValueError, match=r"'file-04.txt' and 92 more\."
    ) as error:
        pixmodels.from_preset(tmp_path)
    assert "file-05" not in str(error.value)
    with pytest.raises(ValueError, match="beside its config.json") as error:
        pixmodels.from_preset(tmp_path / "file-03.txt")
    assert "file-04" not in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="which is empty"):
        pixmodels.from_preset(tmp_path / "empty")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match=r"and 94 more\."):
        pixmodels.from_preset(tmp_path)


def test_a_report_is_a_value():
    report = presets.LoadReport("x", 3)
    assert report.complete
    report.check()
    assert str(report) == "3 weights loaded from x"
