import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels import positions


def test_angles_by_hand():
    # Row 1, column 2 of a 2 x 3 grid, head size 8: frequencies 1 and 1 / 10.
    angles = positions.rotary_2d(8, (2, 3), base=100)
    assert angles.shape == (6, 4)
    np.testing.assert_allclose(angles[5], [2, 0.2, 1, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(angles[0], 0)
    with pytest.raises(ValueError, match="head_dim=6"):
        positions.rotary_2d(6, (2, 3))


def _turned(x, angles):
    """Pairs of neighbours as complex numbers, as RoPE-ViT's own code."""
    z = x[..., 0::2] + 1j * x[..., 1::2]
    z = z * np.exp(1j * np.float64(angles))
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = z.real, z.imag
    return out


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("subset", [False, True])
def test_turned_equals_complex_numbers(prefix, subset):
    rng = np.random.default_rng(3)
    layer = attention.get("softmax")(3, head_dim=8, rotary=100.0)
    layer.build((None, None, 11))
    angles = positions.rotary_2d(8, (5, 7))
    count, places = 35, None
    if subset:
        count = 13
        places = np.stack(
            [np.sort(rng.permutation(35)[:count]) for _ in range(2)]
        ).astype("int32")
        angles = angles[places][:, None]
    x = rng.normal(size=(2, 3, prefix + count, 8)).astype("float32")
    y = layer.turned(ops.convert_to_tensor(x), places, prefix, (5, 7))
    y = ops.convert_to_numpy(y)
    np.testing.assert_array_equal(y[:, :, :prefix], x[:, :, :prefix])
    np.testing.assert_allclose(
        y[:, :, prefix:],
        _turned(np.float64(x[:, :, prefix:]), angles),
        rtol=0,
        atol=1e-6,
    )


@settings(max_examples=20)
@given(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2**31))
def test_scores_depend_on_offsets_only(down, right, seed):
    rng = np.random.default_rng(seed)
    layer = attention.get("softmax")(1, head_dim=12, rotary=100.0)
    layer.build((None, None, 12))
    grid = (7, 9)
    query, key = rng.normal(size=(2, 1, 1, 1, 12)).astype("float32")

    def score(first, second):
        turned = [
            layer.turned(ops.convert_to_tensor(x), np.array([[place]]), 0, grid)
            for x, place in ((query, first), (key, second))
        ]
        return float(ops.sum(turned[0] * turned[1]))

    first, second = (1, 3), (3, 2)
    at = [row * 9 + column for row, column in (first, second)]
    moved = [place + 9 * down + right for place in at]
    assert abs(score(*at) - score(*moved)) < 1e-4


@pytest.mark.parametrize("name", ["softmax", "local"])
def test_moving_a_picture_moves_the_output(name):
    # Without absolute positions and without tokens in front (which are not
    # turned, so that their place is the grid's corner), an image whose content
    # moves by whole patches gives the same tokens.
    if name == "local":
        options = {"attention": name, "attention_options": {"window": 63}}
    else:
        options = {"attention": name}
    keras.utils.set_random_seed(3)
    vit = pixmodels.ViTBackbone(
        (35, 45, 1),
        5,
        num_layers=2,
        num_heads=3,
        hidden_dim=24,
        mlp_dim=13,
        positions="rotary",
        class_token=False,
        **options,
    )
    rng = np.random.default_rng(3)
    _strong(vit, rng)
    patch = rng.random((15, 10, 1)).astype("float32")

    def run(row, column):
        image = np.ones((1, 35, 45, 1), "float32")
        mask = np.zeros((1, 7, 9), bool)
        image[0, 5 * row :, 5 * column :][:15, :10] = patch
        mask[0, row : row + 3, column : column + 2] = True
        tokens = ops.convert_to_numpy(vit(image, mask=mask.reshape(1, -1)))
        return tokens[0].reshape(7, 9, 24)[mask[0]]

    before = run(0, 1)
    np.testing.assert_allclose(before, run(3, 6), rtol=0, atol=1e-4)
    # But which patch is where matters: rotary is not "none". The upper two
    # rows of patches change places.
    patch = patch[np.r_[5:10, 0:5, 10:15]]
    after = run(0, 1)[[2, 3, 0, 1, 4, 5]]
    assert np.abs(after - before).max() > 1e-2


def _strong(layer, rng):
    """Weights that make attention far from even."""
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)


def test_a_row_of_patches_turns_by_its_column():
    layer = attention.get("softmax")(3, rotary=100.0)
    layer.build((None, None, 12))
    rng = np.random.default_rng(5)
    _strong(layer, rng)
    x = rng.normal(size=(2, 7, 12)).astype("float32")
    a = ops.convert_to_numpy(layer(x, prefix=1))
    b = ops.convert_to_numpy(layer(x, prefix=1, grid=(1, 6)))
    c = ops.convert_to_numpy(layer(x, prefix=1, grid=(2, 3)))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3


def test_what_cannot_turn_is_refused():
    class Still(attention.Mixer):
        pass

    with pytest.raises(ValueError, match="Still has no rotary"):
        Still(3, rotary=100.0)
    with pytest.raises(ValueError, match="head_dim=5"):
        attention.get("softmax")(3, rotary=100.0).build((None, None, 15))
    with pytest.raises(ValueError, match="head_dim=6"):
        pixmodels.ViTBackbone(
            (4, 4, 1),
            2,
            num_layers=1,
            num_heads=2,
            hidden_dim=12,
            mlp_dim=13,
            positions="rotary",
        )
