import keras
import matplotlib
import numpy as np
import pytest
from keras import ops

import pixmodels
from pixmodels import attention


def _vit(**options):
    keras.utils.set_random_seed(11)
    return pixmodels.ViTBackbone(
        (10, 15, 1),
        5,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        **options,
    )


IMAGES = np.random.default_rng(3).random((2, 10, 15, 1)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)


def test_names_and_shapes():
    vit = _vit(num_registers=2)
    assert vit.intermediate_names() == (
        "embedding",
        "block_0/attention",
        "block_0",
        "block_1/attention",
        "block_1",
        "output",
    )
    found = vit.intermediates(IMAGES)
    assert list(found) == ["embedding", "block_0", "block_1", "output"]
    assert {tuple(x.shape) for x in found.values()} == {(2, 9, 12)}
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found["output"]), ops.convert_to_numpy(vit(IMAGES))
    )
    found = vit.intermediates(IMAGES, "block_1/attention")
    assert found["block_1/attention"].shape == (2, 3, 9, 9)
    with pytest.raises(ValueError, match=r"names=\['block_2'\]"):
        vit.intermediates(IMAGES, ["block_2"])


def test_blocks_follow_each_other():
    vit = _vit()
    found = vit.intermediates(IMAGES, mask=MASK)
    mask = np.pad(MASK, ((0, 0), (1, 0)), constant_values=True)
    x = vit.encoder.blocks[1](found["block_0"], mask=mask, prefix=1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(x), ops.convert_to_numpy(found["block_1"])
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"rotary": 100.0},
        {"name": "local", "window": 3},
        {"name": "local", "window": 3, "causal": True, "rotary": 100.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("subset", [False, True])
def test_maps_times_values_are_the_output(options, subset):
    options = dict(options)
    layer = attention.get(options.pop("name", "softmax"))(3, **options)
    layer.build((None, None, 12))
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 9, 12)).astype("float32")
    mask = np.ones((2, 9), bool)
    mask[1, 6:] = False
    call = {"mask": mask, "prefix": 1, "grid": (3, 5)}
    if subset:
        call["positions"] = np.array(
            [[0, 1, 4, 5, 7, 8, 13, 14], [2, 3, 4, 5, 6, 7, 8, 9]], "int32"
        )
    weights = ops.convert_to_numpy(layer.attention_map(x, **call))
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    assert (weights[1, :, :, 6:] == 0).all()
    values = ops.convert_to_numpy(layer.split_heads(layer.value(x)))
    mixed = ops.convert_to_tensor(weights @ values)
    expected = layer.output_dense(layer.merge_heads(mixed))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x, **call))[mask],
        ops.convert_to_numpy(expected)[mask],
        rtol=0,
        atol=1e-6,
    )


def test_a_mechanism_without_maps_is_refused():
    class Still(attention.Mixer):
        pass

    with pytest.raises(ValueError, match="Still"):
        Still(3).attention_map(np.ones((1, 3, 12)))


def test_under_another_policy():
    vit = _vit(dtype="mixed_bfloat16")
    found = vit.intermediates(IMAGES, ["block_0", "block_0/attention"])
    assert keras.backend.standardize_dtype(found["block_0"].dtype) == "bfloat16"
    maps = found["block_0/attention"]
    assert keras.backend.standardize_dtype(maps.dtype) == "float32"


def test_picture_of_attention():
    vit = _vit()
    found = vit.intermediates(IMAGES, ["block_1/attention"], mask=MASK)
    maps = ops.convert_to_numpy(found["block_1/attention"])
    figure = pixmodels.models.plot_attention(IMAGES[1], maps[1], vit.grid)
    assert isinstance(figure, matplotlib.figure.Figure)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "image"
    assert [t.split(",")[0] for t in titles[1:]] == [
        "mean of heads",
        "head 0",
        "head 1",
        "head 2",
    ]
    # What is covered is what is attended: padding stays bare.
    cover = figure.axes[2].images[1].get_array()[..., 3]
    assert cover.shape == (10, 15)
    share = maps[1, 0, 0, 1:].reshape(2, 3)
    expected = np.kron(share / share.max(), np.ones((5, 5)))
    np.testing.assert_allclose(cover / cover.max(), expected, atol=1e-6)
    assert (cover[5:] == 0).all()
    figure.canvas.draw()
    few = pixmodels.models.plot_attention(
        IMAGES[0], maps[0, 0], vit.grid, heads=False
    )
    assert len(few.axes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": np.ones((3, 6, 6))}, r"shape \(A, 7, 7\)"),
        ({"image": np.ones((10, 16))}, r"image.shape=\(10, 16\)"),
        ({"image": np.ones(10)}, r"image.shape=\(10,\)"),
        ({"query": 7}, "query=7"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(change, message):
    fine = {
        "image": np.ones((10, 15)),
        "attention": np.ones((3, 7, 7)),
        "grid": (2, 3),
    }
    with pytest.raises(ValueError, match=message):
        pixmodels.models.plot_attention(**{**fine, **change})
