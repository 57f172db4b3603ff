"""PIXEL's fine-tuned heads, as files, give the original's numbers."""

import numpy as np
import preset_files
import pytest
from keras import ops

import pixmodels
from pixmodels import presets
from pixmodels import tasks

HEADS = {
    "seq_mean": "TextClassifier",
    "seq_max": "TextClassifier",
    "seq_cls": "TextClassifier",
    "seq_pma4": "TextClassifier",
    "seq_regression": "TextRegressor",
    "tok": "TokenClassifier",
    "qa": "QuestionAnswerer",
    "parse": "DependencyParser",
}
# What PIXEL gives on the command line and keeps in no file.
OPTIONS = {"seq_max": {"pooling": "max"}, "seq_pma4": {"pooling_heads": 4}}


@pytest.fixture(scope="module")
def arrays(shared):
    pytest.importorskip("safetensors")
    return dict(np.load(shared("fixtures/pixel/heads_tiny.npz")))


def _folder(arrays, head, folder):
    at = f"{head}/w/"
    weights = {k[len(at) :]: v for k, v in arrays.items() if k.startswith(at)}
    config = preset_files.pixel_config(
        architectures=["PIXELForX"], id2label={"0": "LABEL_0"}
    )
    return preset_files.hf_folder(folder, config, weights)


def _batch(arrays, head):
    batch = {
        "pixels": arrays["in/pixel_values"].transpose(0, 2, 3, 1),
        "num_patches": arrays["in/attention_mask"].sum(1).astype("int32") - 1,
    }
    if head == "parse":
        batch["word_starts"] = arrays["parse/in/word_starts"].astype("int32")
    return batch


@pytest.mark.parametrize("head", HEADS)
def test_heads(head, arrays, tmp_path):
    folder = _folder(arrays, head, tmp_path / head)
    model = pixmodels.from_preset(folder, **OPTIONS.get(head, {}))
    assert type(model) is getattr(tasks, HEADS[head])
    outputs = model(_batch(arrays, head))
    if not isinstance(outputs, dict):
        outputs = {"logits": outputs}
    for name, output in outputs.items():
        theirs = name.replace("relation", "rel")
        expected = arrays[f"{head}/out/{theirs}"]
        found = ops.convert_to_numpy(output)
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("head", HEADS)
def test_heads_go_back(head, arrays, tmp_path):
    """Our folder for PIXEL's code holds what PIXEL's own held and used."""
    from safetensors.numpy import load_file

    folder = _folder(arrays, head, tmp_path / head)
    options = OPTIONS.get(head, {})
    model = pixmodels.from_preset(folder, **options)
    model.to_hf(tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    for name, array in back.items():
        np.testing.assert_array_equal(array, arrays[f"{head}/w/{name}"])
    again = pixmodels.from_preset(tmp_path / "back", **options)
    for x, y in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(x), ops.convert_to_numpy(y)
        )


def test_a_shorter_text_reads_the_front_of_the_table(arrays, tmp_path):
    folder = _folder(arrays, "seq_mean", tmp_path / "p")
    model = pixmodels.from_preset(folder, image_shape=(16, 256, 3))
    pixels = arrays["seq16/in/pixel_values"].transpose(0, 2, 3, 1)
    count = arrays["seq16/in/attention_mask"].sum(1).astype("int32") - 1
    logits = model({"pixels": pixels, "num_patches": count})
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits),
        arrays["seq16/out/logits"],
        rtol=0,
        atol=1e-5,
    )


def test_a_table_that_was_cut_for_fine_tuning(arrays, tmp_path):
    """PIXEL saves 256 of 529 positions; 16 of 25 here."""
    short = dict(arrays)
    name = "seq_mean/w/vit.embeddings.position_embeddings"
    short[name] = arrays[name][:, :17]
    folder = _folder(short, "seq_mean", tmp_path / "p")
    model = pixmodels.from_preset(folder, load_weights=False)
    assert model.backbone.position_grid == (4, 4)
    short[name] = arrays[name][:, :15]
    folder = _folder(short, "seq_mean", tmp_path / "q")
    model = pixmodels.from_preset(folder, load_weights=False)
    assert model.backbone.position_grid == (1, 14)


def test_what_no_file_says_is_asked_for(arrays, tmp_path):
    folder = _folder(arrays, "seq_pma4", tmp_path / "p")
    with pytest.raises(ValueError, match="pooling_heads"):
        pixmodels.from_preset(folder)


def test_another_head_on_a_fine_tuned_backbone(arrays, tmp_path):
    folder = _folder(arrays, "tok", tmp_path / "p")
    model = tasks.TextClassifier.from_preset(folder, num_classes=3)
    assert model.num_classes == 3
    name = "tok/w/vit.layernorm.weight"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.backbone.encoder.norm.gamma), arrays[name]
    )
    with pytest.raises(ValueError, match="holds a TokenClassifier"):
        presets.from_preset(folder, pixmodels.ViTBackbone)
