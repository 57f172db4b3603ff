"""Our own preset folders, for every registered backbone and task."""

import hashlib
import json
import os
import shutil

import harness
import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import _registry
from pixmodels import presets
from pixmodels import tasks

CASES = [
    case
    for case in harness.cases()
    if case.name.endswith(("pixel", "vit", "-pixel-softmax"))
]


def _tiny(cls=pixmodels.PIXELBackbone, shape=(5, 35, 1), patch=5, **options):
    keras.utils.set_random_seed(11)
    return cls(
        shape,
        patch,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        **options,
    )


def _classifier(**options):
    return tasks.TextClassifier(_tiny(), 5, **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(classifier, the folder it was saved in, not to be touched)."""
    model = _classifier()
    folder = tmp_path_factory.mktemp("saved") / "p"
    model.save_to_preset(folder)
    return model, folder


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(saved[1], tmp_path / "p")


def _equal(a, b):
    assert len(a.weights) == len(b.weights)
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(x), ops.convert_to_numpy(y), err_msg=x.path
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_round_trip(case, tmp_path):
    model = case.make()
    model.save_to_preset(tmp_path / "preset")
    again = pixmodels.from_preset(tmp_path / "preset")
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    _equal(model, again)


def test_every_backbone_and_task_has_the_methods():
    for registry in (_registry.BACKBONES, _registry.TASKS):
        for name in registry.names():
            cls = registry.get(name)
            for method in ("from_preset", "save_to_preset", "to_hf"):
                assert callable(getattr(cls, method)), (name, method)


def test_what_stands_in_a_folder(tmp_path):
    model = _classifier(labels=list("abcde"))
    model.save_to_preset(
        tmp_path / "p", licence="CC0-1.0", source="tests", renderer={"dpi": 90}
    )
    names = sorted(os.listdir(tmp_path / "p"))
    assert names == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "renderer.json",
        "task.json",
    ]
    metadata = json.loads((tmp_path / "p" / "metadata.json").read_text())
    assert metadata["parameters"] == model.count_params()
    assert metadata["licence"] == "CC0-1.0"
    assert metadata["source"] == "tests"
    assert metadata["class"] == "pixmodels>TextClassifier"
    assert metadata["pixmodels_version"] == pixmodels.__version__
    assert metadata["keras_version"] == keras.__version__
    assert set(metadata["files"]) == set(names) - {"metadata.json"}
    config = json.loads((tmp_path / "p" / "config.json").read_text())
    assert config["registered_name"] == "pixmodels>PIXELBackbone"
    assert os.listdir(tmp_path) == ["p"]  # no half-written folder is left


def test_large_weights_are_cut_into_files(tmp_path):
    model = _classifier()
    model.save_to_preset(tmp_path / "p", max_shard_size=4e-6)  # 4 kB
    parts = list((tmp_path / "p").glob("model_*.weights.h5"))
    assert len(parts) > 2
    _equal(model, pixmodels.from_preset(tmp_path / "p"))
    parts[1].unlink()
    with pytest.raises(ValueError, match=parts[1].name):
        pixmodels.from_preset(tmp_path / "p")


@pytest.mark.parametrize(
    "name", ["model.weights.h5", "config.json", "task.json"]
)
@pytest.mark.parametrize("damage", ["cut", "altered", "gone"])
def test_damaged_files_are_refused_by_name(name, damage, preset):
    path = preset / name
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "altered":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        pixmodels.from_preset(preset)


def test_a_preset_without_or_with_newer_metadata_is_refused(preset):
    path = preset / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, "format_version": 2}))
    with pytest.raises(ValueError, match="format_version=2"):
        pixmodels.from_preset(preset)
    path.unlink()
    with pytest.raises(ValueError, match="whole preset"):
        pixmodels.from_preset(preset)


def test_nan_is_refused_in_both_directions(tmp_path):
    model = _classifier()
    model.save_to_preset(tmp_path / "good")
    bias = model.head_logits.bias
    value = ops.convert_to_numpy(bias)
    bias.assign(np.where(np.arange(5) == 3, np.nan, value))
    with pytest.raises(ValueError, match="head_logits/bias"):
        model.save_to_preset(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    # A folder whose checksums are right but whose weights are not numbers.
    path = tmp_path / "good" / "model.weights.h5"
    model.save_weights(path)
    at = tmp_path / "good" / "metadata.json"
    metadata = json.loads(at.read_text())
    metadata["files"][path.name] = {
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    at.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="NaN"):
        pixmodels.from_preset(tmp_path / "good")


def test_folders_in_the_way(tmp_path):
    model = _classifier()
    model.save_to_preset(tmp_path / "p")
    with pytest.raises(ValueError, match="overwrite=True"):
        model.save_to_preset(tmp_path / "p")
    other = _tiny()
    other.save_to_preset(tmp_path / "p", overwrite=True)
    assert not (tmp_path / "p" / "task.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not delete")
    with pytest.raises(ValueError, match="mine"):
        model.save_to_preset(tmp_path / "mine", overwrite=True)
    with pytest.raises(TypeError, match="model="):
        presets.save_to_preset(keras.Sequential(), tmp_path / "q")


def test_the_class_that_is_asked_for(saved):
    model, folder = saved
    backbone = pixmodels.PIXELBackbone.from_preset(folder)
    _equal(model.backbone, backbone)
    _equal(model, tasks.TextClassifier.from_preset(folder))
    new = pixmodels.MaskedAutoencoder.from_preset(
        folder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
    )
    _equal(model.backbone, new.encoder)
    with pytest.raises(ValueError, match="holds a TextClassifier on a PIXEL"):
        pixmodels.ViTBackbone.from_preset(folder)


def test_a_head_on_a_pretrained_backbone(tmp_path):
    encoder = _tiny()
    whole = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
    )
    whole.save_to_preset(tmp_path / "p")
    model = tasks.TextClassifier.from_preset(
        tmp_path / "p",
        num_classes=7,
        pooling="max",
        backbone_options={"dropout_rate": 0.1, "trainable_positions": True},
    )
    assert model.num_classes == 7
    assert model.backbone.dropout_rate == 0.1
    assert model.backbone.position_embedding.table.trainable
    _equal(encoder, model.backbone)


def test_options_take_the_place_of_the_presets(saved):
    _, folder = saved
    model = pixmodels.from_preset(
        folder, dropout_rate=0.3, dtype="mixed_bfloat16"
    )
    assert model.dropout_rate == 0.3
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.backbone.dtype_policy.name == "mixed_bfloat16"
    with pytest.raises(ValueError, match="architecture"):
        pixmodels.from_preset(folder, backbone_options={"num_layers": 1})
    new = pixmodels.from_preset(folder, load_weights=False)
    assert not np.array_equal(
        ops.convert_to_numpy(new.head_dense.kernel),
        ops.convert_to_numpy(model.head_dense.kernel),
    )


def test_another_resolution(tmp_path):
    vit = _tiny(pixmodels.ViTBackbone, (10, 15, 1))
    vit.save_to_preset(tmp_path / "vit")
    other = pixmodels.from_preset(tmp_path / "vit", image_shape=(20, 35, 1))
    assert other.position_grid == (4, 7)
    expected = pixmodels.positions.resample_positions(
        ops.convert_to_numpy(vit.position_embedding.table), (2, 3), (4, 7)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(other.position_embedding.table),
        expected,
        rtol=0,
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="channels"):
        pixmodels.from_preset(tmp_path / "vit", image_shape=(20, 35, 3))


def test_another_length_of_text(tmp_path):
    model = pixmodels.MaskedAutoencoder(
        _tiny(),  # 7 patches, a table of 3 x 3
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
    )
    model.save_to_preset(tmp_path / "p")
    short = pixmodels.from_preset(tmp_path / "p", image_shape=(5, 20, 1))
    _equal(model, short)
    long = pixmodels.from_preset(tmp_path / "p", image_shape=(5, 65, 1))
    assert long.encoder.position_grid == (4, 4)
    assert tuple(long.decoder_positions.table.shape) == (17, 8)
    pixels = np.ones((2, 5, 65, 1), "float32")
    outputs = long({"pixels": pixels, "noise": np.arange(26.0).reshape(2, 13)})
    assert tuple(outputs["logits"].shape) == (2, 13, 25)


def test_paths_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        pixmodels.from_preset(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        pixmodels.from_preset(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="JSON file"):
        pixmodels.from_preset(tmp_path)
    (tmp_path / "config.json").write_text(
        '{"registered_name": "mylab>Net", "config": {}}'
    )
    (tmp_path / "metadata.json").write_text("{}")
    with pytest.raises(ValueError, match="format=None"):
        pixmodels.from_preset(tmp_path)


# --- Renderers --------------------------------------------------------------


def test_a_renderer_travels_with_the_weights(tmp_path):
    renderers = pytest.importorskip("pixmodels.renderers")
    try:
        path = renderers.FontStack.default().entry(0)[0]
    except FileNotFoundError as error:
        pytest.skip(str(error))
    own = tmp_path / "Own.ttf"
    shutil.copy(path, own)
    renderer = renderers.CairoRenderer([own], max_patches=23, layout="bigrams")
    model = _tiny(shape=(16, 16 * 23, 1), patch=16)
    model.save_to_preset(tmp_path / "p", renderer=renderer, copy_fonts=True)
    drawn = renderer(["reads"]).pixels
    own.unlink()
    shutil.move(tmp_path / "p", tmp_path / "moved")
    again = presets.load_renderer(tmp_path / "moved")
    np.testing.assert_array_equal(again(["reads"]).pixels, drawn)
    assert again.layout == "bigrams"
    assert presets.load_renderer(tmp_path / "moved", dpi=90).dpi == 90
    (tmp_path / "moved" / "fonts" / "Own.ttf").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Own\.ttf"):
        presets.load_renderer(tmp_path / "moved")


def test_the_renderer_of_a_pixel_folder(tmp_path):
    renderers = pytest.importorskip("pixmodels.renderers")
    try:
        path = renderers.FontStack.default().entry(0)[0]
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = tmp_path / "pixel-base"
    folder.mkdir()
    shutil.copy(path, folder / "GoNotoCurrent.ttf")
    config = {
        "background_color": "white",
        "dpi": 120,
        "font_color": "black",
        "font_file": "GoNotoCurrent.ttf",
        "font_size": 8,
        "max_seq_length": 529,
        "pad_size": 3,
        "pixels_per_patch": 16,
        "text_renderer_type": "TextRenderer",
    }
    (folder / "text_renderer_config.json").write_text(json.dumps(config))
    renderer = presets.load_renderer(folder)
    expected = renderers.CairoRenderer([path])
    assert renderer.get_config()["max_patches"] == 529
    np.testing.assert_array_equal(
        renderer(["My cat"]).pixels, expected(["My cat"]).pixels
    )
    bigrams = tmp_path / "pixel-base-bigrams"
    shutil.copytree(folder, bigrams)
    assert presets.load_renderer(bigrams).layout == "bigrams"
    config["text_renderer_type"] = "PyGameTextRenderer"
    (folder / "text_renderer_config.json").write_text(json.dumps(config))
    assert presets.renderer_config(folder)["baseline"] == "pygame"
    (folder / "GoNotoCurrent.ttf").unlink()
    with pytest.raises(FileNotFoundError, match="GoNotoCurrent"):
        presets.load_renderer(folder)
    assert presets.load_renderer(folder, font_stack=[path]).dpi == 120
    with pytest.raises(ValueError, match=r"renderer\.json"):
        presets.load_renderer(tmp_path)
