"""LoRA and int8 weights: what trains, what is saved, what comes back."""

import gc
import json
import subprocess
import sys

import harness
import keras
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import _quantized
from pixmodels import tasks

# keras names each layer without kernels, its own LayerNormalization too.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a `quantize` method:UserWarning"
)
IMAGES = np.random.default_rng(5).random((3, 10, 15, 1)).astype("float32")


def _vit(**options):
    keras.utils.set_random_seed(11)
    return _moved(
        pixmodels.ViTBackbone(
            (10, 15, 1),
            5,
            num_layers=2,
            num_heads=3,
            hidden_dim=12,
            mlp_dim=13,
            **options,
        )
    )


def _classifier(**options):
    return _moved(tasks.ImageClassifier(_vit(), 7, **options))


def _autoencoder():
    return _moved(
        pixmodels.MaskedAutoencoder(
            _vit(),
            decoder_num_layers=1,
            decoder_num_heads=2,
            decoder_hidden_dim=8,
            decoder_mlp_dim=11,
        )
    )


def _moved(model, only=lambda weight: True):
    """Weights away from zero and one."""
    rng = np.random.default_rng(3)
    for weight in filter(only, model.trainable_weights):
        noise = 0.2 * rng.normal(size=weight.shape)
        weight.assign(ops.convert_to_numpy(weight) + noise)
    return model


def _inputs(model):
    if isinstance(model, pixmodels.MaskedAutoencoder):
        noise = np.arange(18.0).reshape(3, 6) % 5
        return {"pixels": IMAGES, "noise": noise.astype("float32")}
    return IMAGES


def _outputs(model):
    outputs = model(_inputs(model))
    outputs = outputs["logits"] if isinstance(outputs, dict) else outputs
    return ops.convert_to_numpy(ops.stop_gradient(outputs))


def _lora_of(weights):
    return [w for w in weights if w.name.startswith("lora_kernel")]


MODELS = [
    _classifier,
    *[pytest.param(m, marks=pytest.mark.slow) for m in (_vit, _autoencoder)],
]


@pytest.mark.parametrize("make", MODELS)
def test_only_lora_weights_of_the_backbone_are_trained(make):
    model = make()
    before = _outputs(model)
    count, trained = model.count_params(), len(model.trainable_weights)
    model.enable_lora(5, targets=("query", "value", "dense_1"))
    _, backbone = pixmodels.presets._resize.backbone_of(model)
    assert len(_lora_of(backbone.weights)) == 2 * 2 * 3
    found = [id(w) for w in backbone.trainable_weights]
    assert found == [id(w) for w in _lora_of(backbone.weights)]
    around = len(model.trainable_weights) - len(found)
    assert around == trained - len(_vit().trainable_weights)
    # Query and value 12 x 12, the first layer of the MLP 12 x 13; twice.
    more = 2 * 5 * (2 * (12 + 12) + (12 + 13))
    assert model.count_params() == count + more
    np.testing.assert_array_equal(_outputs(model), before)  # B is zero


def test_a_step_moves_nothing_else():
    model = _classifier()
    model.enable_lora(2)
    model.head_logits.trainable = False
    before = [ops.convert_to_numpy(w) for w in model.weights]
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=keras.backend.backend() != "jax",
    )
    model.fit(IMAGES, np.array([0, 3, 5]), epochs=1, verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        moved = not np.array_equal(ops.convert_to_numpy(weight), old)
        # B is zero at first, and with it the gradient of A.
        assert moved == (weight.name == "lora_kernel_b"), weight.path


def test_gradients_are_those_of_the_kernel():
    """d/dA = s G B', d/dB = s A' G for the gradient G of W + s A B."""
    plain, model = _vit(), _vit()
    model.enable_lora(3, alpha=6)
    _moved(model)
    dense = model.encoder.blocks[1].mixer.query
    a, b = (ops.convert_to_numpy(w) for w in _lora_of(dense.weights))
    for index in range(2):
        for name in ("query", "value"):
            ours = getattr(model.encoder.blocks[index].mixer, name)
            kernel = getattr(plain.encoder.blocks[index].mixer, name).kernel
            kernel.assign(ops.convert_to_numpy(ours.kernel))
    target = np.linspace(-1, 1, 12, dtype="float32")

    def gradients(model, weights):
        def loss():
            return ops.sum(ops.square(ops.subtract(model(IMAGES), target)))

        return harness.loss_and_gradients(loss, weights)[1]

    kernel = plain.encoder.blocks[1].mixer.query.kernel
    [expected] = gradients(plain, [kernel])
    found = gradients(model, _lora_of(dense.weights))
    for ours, theirs in zip(found, (expected @ b.T, a.T @ expected)):
        scale = max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours, 2 * theirs, rtol=0, atol=1e-5 * scale)


def _changed(kind, make):
    model = make()
    if kind == "int8":
        model.quantize("int8")
    else:
        model.enable_lora(3)
        _moved(model)
    return model


CHILD = """
import json, sys
import keras
import numpy as np
import pixmodels
import pixmodels.tasks
for name, noise in json.loads(sys.argv[1]).items():
    load = pixmodels.from_preset
    if name.endswith(".keras"):
        load = keras.saving.load_model
    model, arrays = load(name), np.load(name + ".npz")
    inputs = arrays["images"]
    if noise:
        inputs = {"pixels": inputs, "noise": arrays["noise"]}
    outputs = model(inputs)
    outputs = outputs["logits"] if isinstance(outputs, dict) else outputs
    outputs = keras.ops.convert_to_numpy(keras.ops.stop_gradient(outputs))
    np.testing.assert_allclose(
        outputs, arrays["outputs"], rtol=0, atol=1e-5, err_msg=name
    )
    print(name)
"""


@pytest.mark.parametrize("make", MODELS)
def test_saved_models_give_the_same_in_a_new_process(make, tmp_path):
    paths = {}
    for kind in ("lora", "int8"):
        model = _changed(kind, make)
        outputs, inputs = _outputs(model), _inputs(model)
        path = str(tmp_path / kind)
        model.save(path + ".keras")
        model.save_to_preset(path)
        noise = isinstance(inputs, dict)
        arrays = {"noise": inputs["noise"]} if noise else {}
        for name in (path, path + ".keras"):
            paths[name] = noise
            np.savez(name + ".npz", images=IMAGES, outputs=outputs, **arrays)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(paths)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == list(paths)


@pytest.mark.parametrize("make", MODELS)
def test_int8_is_near_and_stays_int8(make, tmp_path):
    exact, model = make(), make()
    model.quantize("int8")
    a, b = _outputs(exact), _outputs(model)
    assert (a != b).any()
    # Kernels and activations on 254 steps: 0.4 % each, a dozen layers.
    assert np.abs(a - b).max() < 12 * 2 / 254 * np.abs(a).max()
    model.save_to_preset(tmp_path / "p")
    again = pixmodels.from_preset(tmp_path / "p")
    assert again.get_config() == model.get_config()
    kernels = [w for w in again.weights if w.path.endswith("/kernel")]
    assert kernels
    for kernel in kernels:
        assert keras.backend.standardize_dtype(kernel.dtype) == "int8"
    for x, y in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(x), ops.convert_to_numpy(y)
        )
    wide = pixmodels.from_preset(tmp_path / "p", image_shape=(15, 20, 1))
    _, backbone = pixmodels.presets._resize.backbone_of(wide)
    assert backbone.image_shape == (15, 20, 1)
    assert backbone.encoder.blocks[0].dense_1.quantization_mode == "int8"


def test_collections_are_as_before():
    """Neither a caller's frozen objects nor ours stay otherwise than before."""
    model = _vit()
    gc.unfreeze()
    model.quantize("int8")
    assert gc.get_freeze_count() == 0
    gc.freeze()
    count = gc.get_freeze_count()
    with _quantized.quick_collections():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() >= count // 2 > 0


def test_a_backbone_alone_out_of_an_int8_model(tmp_path):
    model = _changed("int8", _classifier)
    model.save_to_preset(tmp_path / "p")
    alone = pixmodels.ViTBackbone.from_preset(tmp_path / "p")
    np.testing.assert_array_equal(_outputs(alone), _outputs(model.backbone))


def test_lora_on_int8(tmp_path):
    """Kernels are rounded anew with A B in them when they are saved."""
    model = _changed("int8", _classifier)
    model.enable_lora(3)
    np.testing.assert_array_equal(
        _outputs(model), _outputs(_changed("int8", _classifier))
    )
    _moved(model, lambda weight: weight.name.startswith("lora"))
    model.save_to_preset(tmp_path / "p")
    a, b = _outputs(model), _outputs(pixmodels.from_preset(tmp_path / "p"))
    assert np.abs(a - b).max() < 12 * 2 / 254 * np.abs(a).max()


def test_what_is_refused(tmp_path):
    model = _vit()
    for options, match in (
        ({"rank": 0}, "rank=0"),
        ({"rank": 2, "targets": "qery"}, "'qery'"),
        ({"rank": 2, "targets": ()}, "targets="),
    ):
        with pytest.raises(ValueError, match=match):
            model.enable_lora(**options)
    model.enable_lora(2)
    with pytest.raises(ValueError, match="without LoRA"):
        model.enable_lora(2)
    with pytest.raises(ValueError, match="LoRA weights for another image"):
        model.with_image_shape((15, 20, 1))
    with pytest.raises(ValueError, match="LoRA weights for to_hf"):
        model.to_hf(tmp_path / "hf")
    model = _vit()
    model.quantize("int8")
    with pytest.raises(ValueError, match="floating point for to_hf"):
        model.to_hf(tmp_path / "hf")
    with pytest.raises(ValueError, match="frozen backbone"):
        _classifier(linear_probe=True).enable_lora(2)
