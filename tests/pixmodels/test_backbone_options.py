"""The options of backbones, each through the shared harness and by value."""

import harness
import keras
import numpy as np
import pytest
from keras import ops

import pixmodels

OPTIONS = {
    "bare": {
        "class_token": False,
        "qkv_bias": False,
        "final_norm": False,
        "positions": "none",
    },
    "registers-rotary": {
        "num_registers": 2,
        "layer_scale": 0.3,
        "positions": "rotary",
        "drop_path_rate": 0.3,
    },
    "only-registers-local": {
        "class_token": False,
        "num_registers": 3,
        "positions": "rotary",
        "attention": "local",
    },
}
WIDTH = {"num_layers": 2, "num_heads": 3, "hidden_dim": 12, "mlp_dim": 13}


@pytest.mark.parametrize(
    "check",
    [
        harness.check_config,
        harness.check_compiled,
        harness.check_symbolic,
        harness.check_mixed_precision,
        harness.check_padding,
        harness.check_training_step,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("name", OPTIONS)
def test_options_in_the_harness(name, check):
    check(harness._backbone_case("vit", **OPTIONS[name]))


@pytest.mark.parametrize("name", OPTIONS)
def test_options_saved(name, tmp_path):
    case = harness._backbone_case("vit", **OPTIONS[name])
    harness.check_save(case, tmp_path)


def _vit(**options):
    keras.utils.set_random_seed(11)
    options = {"image_shape": (10, 15, 1), "patch_size": 5, **options}
    return pixmodels.ViTBackbone(**{**WIDTH, **options})


def test_prefix_and_lengths():
    images = np.zeros((2, 10, 15, 1), "float32")
    for options, prefix in (
        ({}, 1),
        ({"class_token": False}, 0),
        ({"num_registers": 4}, 5),
        ({"class_token": False, "num_registers": 4}, 4),
    ):
        vit = _vit(**options)
        assert vit.prefix == prefix
        assert vit(images).shape == (2, prefix + 6, 12)
        keep = np.array([[0, 5], [2, 3]], "int32")
        assert vit(images, ids_keep=keep).shape == (2, prefix + 2, 12)


def test_registers_get_no_position_and_stand_after_the_class_token():
    vit = _vit(num_registers=2)
    images = np.random.default_rng(3).random((1, 10, 15, 1)).astype("float32")
    plain = _vit()
    for name in ("projection", "class_token"):
        old = getattr(vit.embedding, name)
        new = getattr(plain.embedding, name)
        if name == "projection":
            new.set_weights(old.get_weights())
        else:
            new.assign(old)
    plain.position_embedding.set_weights(vit.position_embedding.get_weights())
    a = ops.convert_to_numpy(vit.intermediates(images)["embedding"])
    b = ops.convert_to_numpy(plain.intermediates(images)["embedding"])
    np.testing.assert_array_equal(a[:, :1], b[:, :1])
    np.testing.assert_array_equal(a[:, 3:], b[:, 1:])
    registers = ops.convert_to_numpy(vit.embedding.registers)
    np.testing.assert_array_equal(a[:, 1:3], registers)


def test_without_qkv_bias_only_the_output_has_one():
    mixer = _vit(qkv_bias=False).encoder.blocks[0].mixer
    assert mixer.query.bias is mixer.key.bias is mixer.value.bias is None
    assert mixer.output_dense.bias is not None


def test_layer_scale_multiplies_the_branches():
    vit, plain = _vit(layer_scale=0.25), _vit()
    images = np.random.default_rng(3).random((2, 10, 15, 1)).astype("float32")
    for block, other in zip(vit.encoder.blocks, plain.encoder.blocks):
        # The same product by the last weights of a branch.
        for scale, last, same in (
            (block.scale_1, block.mixer.output_dense, other.mixer.output_dense),
            (block.scale_2, block.dense_2, other.dense_2),
        ):
            gain = ops.convert_to_numpy(scale.gamma)
            np.testing.assert_array_equal(gain, np.full(12, 0.25, "float32"))
            gain = np.linspace(0.1, 2, 12, dtype="float32")
            scale.gamma.assign(gain)
            same.kernel.assign(ops.convert_to_numpy(last.kernel) * gain)
    names = [w.path for w in vit.weights if "scale_" not in w.path]
    others = {w.path.split("/", 1)[1]: w for w in plain.weights}
    for weight in vit.weights:
        name = weight.path.split("/", 1)[1]
        if weight.path in names and not name.endswith(
            ("output/kernel", "dense_2/kernel")
        ):
            others[name].assign(weight)
    np.testing.assert_allclose(
        ops.convert_to_numpy(vit(images)),
        ops.convert_to_numpy(plain(images)),
        rtol=0,
        atol=1e-6,
    )


def test_drop_path_leaves_out_branches_of_whole_examples():
    layer = pixmodels.layers.DropPath(0.3, salt="a")
    x = np.random.default_rng(3).random((1009, 3, 5)).astype("float32")
    with pixmodels.random.key_scope([1, 2], np.arange(1009)):
        y = ops.convert_to_numpy(layer(x, training=True))
    gone = (y == 0).all((1, 2))
    # Kept examples are scaled whole.
    np.testing.assert_allclose(y[~gone], x[~gone] / 0.7, rtol=1e-6)
    assert abs(gone.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 1009)
    # The expectation is the input's.
    assert abs(y.mean() - x.mean()) < 0.05
    with pixmodels.random.key_scope([1, 2], np.arange(1009)[::-1]):
        again = ops.convert_to_numpy(layer(x[::-1], training=True))
    np.testing.assert_array_equal(again[::-1], y)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)
    outside = ops.convert_to_numpy(layer(x, training=True))
    assert abs((outside == 0).all((1, 2)).mean() - 0.3) < 0.08
    with pytest.raises(ValueError, match="rate=1"):
        pixmodels.layers.DropPath(1)


def test_drop_path_rises_over_depth():
    vit = _vit(drop_path_rate=0.2, num_layers=5)
    rates = [b.drop_path_1.rate for b in vit.encoder.blocks]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.15, 0.2])
    salts = {
        layer.salt
        for b in vit.encoder.blocks
        for layer in (b.drop_path_1, b.drop_path_2)
    }
    assert len(salts) == 10
    assert _vit(drop_path_rate=0.2, num_layers=1).encoder.drop_path_rate == 0.2


def test_final_norm():
    images = np.random.default_rng(3).random((2, 10, 15, 1)).astype("float32")
    found = _vit().intermediates(images, ["block_1", "output"])
    bare = _vit(final_norm=False)
    assert not hasattr(bare.encoder, "norm")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(bare(images)),
        ops.convert_to_numpy(found["block_1"]),
    )
