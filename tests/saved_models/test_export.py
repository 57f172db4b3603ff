import json

import keras
import marks
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import saved_models
from pixmodels import tasks
from pixmodels.tasks import ImageClassifier
from pixmodels.tasks import TextClassifier

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="a SavedModel is exported under the tensorflow backend",
)

SIDE, LENGTH = 5, 11
LABELS = ("no", "yes", "perhaps")


def _backbone(attention="softmax"):
    options = pixmodels.attention.get(attention).small_options
    return pixmodels.PIXELBackbone(
        (SIDE, SIDE * LENGTH, 3),
        SIDE,
        num_layers=1,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        attention=attention,
        attention_options=options,
    )


def _text_model(attention="softmax", pooling="mean"):
    keras.utils.set_random_seed(3)
    backbone = _backbone(attention)
    return TextClassifier(backbone, 3, pooling=pooling, labels=LABELS)


def _image_model(channels=1):
    keras.utils.set_random_seed(3)
    backbone = pixmodels.ViTBackbone(
        (6, 14, channels),
        2,
        num_layers=1,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
    )
    return ImageClassifier(backbone, 7)


def _text_inputs(length, n=2):
    rng = np.random.default_rng(length)
    return {
        "pixels": rng.integers(0, 256, (n, SIDE, SIDE * length), "uint8"),
        "num_patches": rng.integers(1, length, n, "int32"),
    }


def _expected(model, inputs):
    logits = model(inputs)
    return {
        "logits": ops.convert_to_numpy(logits),
        "probabilities": ops.convert_to_numpy(ops.softmax(logits)),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = _text_model()
    path = tmp_path_factory.mktemp("text") / "new" / "folder"
    assert saved_models.export(model, path) == path
    return model, path


def test_text_model_in_a_new_process(exported):
    model, path = exported
    inputs = _text_inputs(7, n=3)
    difference = saved_models.check_in_new_process(
        path, inputs, _expected(model, inputs)
    )
    assert difference <= 1e-6


def test_image_model_in_a_new_process(tmp_path):
    model = _image_model()
    path = saved_models.export(model, tmp_path / "image")
    images = np.random.default_rng(3).integers(0, 256, (5, 6, 14), "uint8")
    difference = saved_models.check_in_new_process(
        path, {"images": images}, _expected(model, images), signature="pixels"
    )
    assert difference <= 1e-6


QUICK = ("fnet", "linear", "local", "luna", "s5", "softmax")


def _mixers(any_length):
    """Names, of which some are marked slow: each is an export of seconds."""
    mixers = pixmodels.attention
    names = mixers.names()
    names = [n for n in names if mixers.get(n).any_length == any_length]
    return marks.but_slow(names, QUICK)


@pytest.mark.parametrize("attention", _mixers(any_length=False))
def test_mixers_of_static_lengths_need_one(attention, tmp_path):
    import tensorflow as tf

    model = _text_model(attention)
    with pytest.raises(ValueError, match="num_patches to fix one"):
        saved_models.export(model, tmp_path / "m")
    path = saved_models.export(model, tmp_path / "m", num_patches=LENGTH)
    run = tf.saved_model.load(path).signatures["pixels"]
    inputs = _text_inputs(LENGTH, 3)
    outputs = run(**{k: tf.constant(v) for k, v in inputs.items()})
    for name, value in _expected(model, inputs).items():
        np.testing.assert_allclose(
            outputs[name].numpy(), value, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    ("attention", "pooling"),
    [
        *(
            pytest.param(*name.values, "mean", marks=name.marks)
            for name in _mixers(any_length=True)
        ),
        ("softmax", "max"),
        ("softmax", "cls"),
        ("softmax", "attention"),
    ],
)
def test_any_width_and_batch(attention, pooling, tmp_path):
    import tensorflow as tf

    model = _text_model(attention, pooling)
    loaded = tf.saved_model.load(saved_models.export(model, tmp_path / "m"))
    assert set(loaded.signatures) == {"serving_default", "pixels"}
    run = loaded.signatures["pixels"]
    for length, n in ((2, 1), (5, 3), (LENGTH, 2)):
        inputs = _text_inputs(length, n)
        outputs = run(**{k: tf.constant(v) for k, v in inputs.items()})
        for name, value in _expected(model, inputs).items():
            np.testing.assert_allclose(
                outputs[name].numpy(), value, rtol=0, atol=1e-6
            )


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (tasks.TextRegressor, ()),
        (tasks.TokenClassifier, (3,)),
        (tasks.DependencyParser, (3,)),
        (tasks.QuestionAnswerer, ()),
    ],
)
def test_every_task_on_text(cls, arguments, tmp_path):
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    model = cls(_backbone(), *arguments)
    path = saved_models.export(model, tmp_path / "m")
    run = tf.saved_model.load(path).signatures["serving_default"]
    shapes = model.serve_shapes()
    metadata = saved_models.read_metadata(path)
    assert metadata["outputs"] == {
        name: [list(shape), "float32"] for name, shape in shapes.items()
    }
    for length, n, words in ((2, 1, 1), (LENGTH, 3, 4)):
        inputs = _text_inputs(length, n)
        if cls is tasks.DependencyParser:
            starts = np.arange(words + 1, dtype="int32")[None]
            inputs["word_starts"] = starts.repeat(n, axis=0)
        outputs = run(**{k: tf.constant(v) for k, v in inputs.items()})
        expected = model.serve(inputs)
        assert set(outputs) == set(expected) == set(shapes)
        for name, value in expected.items():
            value = ops.convert_to_numpy(value)
            assert len(shapes[name]) == value.ndim
            np.testing.assert_allclose(
                outputs[name].numpy(), value, rtol=0, atol=1e-6
            )


def test_signatures(exported):
    import tensorflow as tf

    run = tf.saved_model.load(exported[1]).signatures["serving_default"]
    _, specs = run.structured_input_signature
    assert specs == {
        "pixels": tf.TensorSpec((None, SIDE, None), "uint8", "pixels"),
        "num_patches": tf.TensorSpec((None,), "int32", "num_patches"),
    }
    outputs = run.structured_outputs
    assert sorted(outputs) == ["logits", "probabilities"]
    assert all(x.dtype == tf.float32 for x in outputs.values())
    assert all(x.shape.as_list() == [None, 3] for x in outputs.values())


def test_fixed_width(tmp_path):
    import tensorflow as tf

    path = saved_models.export(_text_model(), tmp_path / "m", num_patches=7)
    run = tf.saved_model.load(path).signatures["pixels"]
    spec = run.structured_input_signature[1]["pixels"]
    assert spec.shape.as_list() == [None, SIDE, SIDE * 7]
    metadata = saved_models.read_metadata(path)
    assert metadata["inputs"]["pixels"] == [[None, SIDE, SIDE * 7], "uint8"]


def test_colour_images(tmp_path):
    import tensorflow as tf

    model = _image_model(channels=3)
    path = saved_models.export(model, tmp_path / "m")
    images = np.random.default_rng(3).integers(0, 256, (2, 6, 14, 3), "uint8")
    run = tf.saved_model.load(path).signatures["pixels"]
    logits = run(images=tf.constant(images))["logits"]
    np.testing.assert_allclose(
        logits, ops.convert_to_numpy(model(images)), rtol=0, atol=1e-6
    )


def test_metadata(exported):
    model, path = exported
    metadata = saved_models.read_metadata(path)
    assert metadata["class_name"] == "TextClassifier"
    assert metadata["labels"] == list(LABELS)
    assert metadata["renderer"] is None
    assert metadata["num_parameters"] == model.count_params()
    assert metadata["versions"]["keras"] == keras.__version__
    again = keras.saving.deserialize_keras_object(metadata["config"])
    assert again.labels == LABELS
    assert again.count_params() == model.count_params()


def test_renderer_config_travels_along(tmp_path):
    from pixmodels.renderers import CairoRenderer

    renderer = CairoRenderer(max_patches=LENGTH, patch_size=SIDE)
    path = saved_models.export(_text_model(), tmp_path / "m", renderer=renderer)
    config = saved_models.read_metadata(path)["renderer"]
    again = CairoRenderer.from_config(config)
    assert again.get_config() == renderer.get_config()


def test_overwriting(tmp_path):
    model, path = _image_model(), tmp_path / "model"
    saved_models.export(model, path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        saved_models.export(model, path)
    before = (path / "saved_model.pb").stat().st_mtime_ns
    saved_models.export(model, path, overwrite=True)
    assert (path / "saved_model.pb").stat().st_mtime_ns > before
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="something else"):
        saved_models.export(model, other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "precious"]


def test_nothing_is_left_of_a_failed_export(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        saved_models.export(_image_model(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(tmp_path):
    mae = pixmodels.MaskedAutoencoder(
        _backbone(),
        decoder_num_layers=1,
        decoder_num_heads=3,
        decoder_hidden_dim=12,
        decoder_mlp_dim=13,
    )
    with pytest.raises(TypeError, match="model=MaskedAutoencoder"):
        saved_models.export(mae, tmp_path / "m")
    with pytest.raises(ValueError, match="num_patches=12"):
        saved_models.export(_text_model(), tmp_path / "m", num_patches=12)
    with pytest.raises(ValueError, match="Expected num_patches=None"):
        saved_models.export(_image_model(), tmp_path / "m", num_patches=3)
    with pytest.raises(FileNotFoundError, match="without assets.extra"):
        saved_models.read_metadata(tmp_path)


def test_check_finds_what_only_works_here(tmp_path):
    """`numpy_function` exports without a word and fails elsewhere."""
    import tensorflow as tf

    def run(x):
        return {"y": tf.numpy_function(lambda a: a + 1, [x], tf.float32)}

    module = tf.Module()
    spec = tf.TensorSpec((None,), tf.float32, "x")
    module.run = tf.function(run, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "m"), {"run": module.run})
    x = np.arange(3, dtype="float32")
    with pytest.raises(RuntimeError, match="tensorflow alone"):
        saved_models.check_in_new_process(
            tmp_path / "m", {"x": x}, {"y": x + 1}, signature="run"
        )


def test_check_compares():
    from pixmodels.saved_models import check

    y = np.array([1.0, 2.0], "float32")
    assert check._difference("y", y, {"y": y + np.float32(0.5)}) == 0.5
    with pytest.raises(ValueError, match="'z'"):
        check._difference("z", y, {"y": y})
    with pytest.raises(ValueError, match="float32"):
        check._difference("y", y, {"y": y.astype("float64")})
    with pytest.raises(ValueError, match="expected={}"):
        saved_models.check_in_new_process("m", {}, {})


def test_a_slow_process_is_ended(exported):
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        saved_models.check_in_new_process(
            exported[1], {}, {"logits": np.zeros(1)}, timeout=0.05
        )
