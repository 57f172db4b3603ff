"""Position tables and backbones at another resolution than their own."""

import harness
import keras
import numpy as np
import pixel_weights
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import positions

SIZE = st.integers(1, 9)


@pytest.mark.parametrize("way", ["in the call", "of the weights"])
def test_interpolated_vit_golden_numbers(fixtures, way):
    arrays = dict(np.load(fixtures / "vit_interpolated.npz"))
    vit = pixmodels.ViTBackbone(
        (24, 24, 3),
        6,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=48,
        layer_norm_epsilon=1e-12,
        resample_positions=True,
    )
    vit.embedding.projection.kernel.assign(arrays["w/patch_kernel"])
    vit.embedding.projection.bias.assign(arrays["w/patch_bias"])
    vit.embedding.class_token.assign(arrays["w/cls"][None, None])
    vit.position_embedding.table.assign(arrays["w/pos"])
    pixel_weights.load_stack(vit.encoder, arrays, "", "lnf")
    if way == "of the weights":
        vit = vit.with_image_shape((18, 36, 3))
        assert vit.position_grid == (3, 6)
    image = arrays["in/image"]
    found = vit.intermediates(image, ["embedding", "output"])
    for name, expected in (
        ("embedding", arrays["out/embedded"]),
        ("output", arrays["out/tokens"]),
    ):
        ours = ops.convert_to_numpy(found[name])
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(vit(image)), ops.convert_to_numpy(found["output"])
    )


@given(SIZE, SIZE, SIZE, SIZE, st.sampled_from(positions.RESAMPLING))
def test_resampling_keeps_constants_and_prefix(r, c, new_r, new_c, method):
    table = np.full((2 + r * c, 3), 7, "float32")
    table[:2] = [[1, 2, 3], [4, 5, 6]]
    new = positions.resample_positions(
        table, (r, c), (new_r, new_c), prefix=2, method=method
    )
    assert new.shape == (2 + new_r * new_c, 3)
    assert new.dtype == np.float32
    np.testing.assert_array_equal(new[:2], table[:2])
    np.testing.assert_allclose(new[2:], 7, rtol=1e-6)


@given(st.integers(1, 23), st.sampled_from(positions.RESAMPLING))
def test_the_same_grid_changes_nothing(size, method):
    matrix = positions.resampling_matrix(size, size, method)
    np.testing.assert_allclose(matrix, np.eye(size), rtol=0, atol=1e-12)


@given(st.integers(1, 11), st.integers(1, 13), st.integers(0, 2**31))
def test_zoom_equals_scipy(old, new, seed):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(seed)
    table = rng.random((old * 3, 2)).astype("float32")
    grid = table.reshape(old, 3, 2)
    zoomed = ndimage.zoom(grid, (new / old, 1, 1), order=1)
    ours = positions.resample_positions(table, (old, 3), (new, 3), 0, "zoom")
    np.testing.assert_allclose(
        ours.reshape(new, 3, 2), zoomed, rtol=0, atol=1e-6
    )


@pytest.mark.parity
@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("new", [(3, 7), (5, 5), (11, 13), (1, 2), (29, 2)])
def test_resampling_equals_torch(method, new):
    torch = pytest.importorskip("torch")
    table = np.random.default_rng(3).normal(size=(1 + 35, 17))
    table = table.astype("float32")
    grid = torch.from_numpy(table[1:].reshape(1, 5, 7, 17)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(
        grid, size=new, mode=method, align_corners=False
    )
    expected = expected.permute(0, 2, 3, 1).reshape(-1, 17).numpy()
    ours = positions.resample_positions(table, (5, 7), new, 1, method)
    np.testing.assert_allclose(ours[1:], expected, rtol=0, atol=1e-5)


def test_wrong_tables_are_refused():
    table = np.zeros((1 + 6, 5), "float32")
    with pytest.raises(ValueError, match=r"table.shape=\(7, 5\)"):
        positions.resample_positions(table, (2, 2), (3, 3))
    with pytest.raises(ValueError, match="method='cubic'"):
        positions.resample_positions(table, (2, 3), (3, 3), method="cubic")
    with pytest.raises(ValueError, match="new=0"):
        positions.resample_positions(table, (2, 3), (0, 3))
    with pytest.raises(ValueError, match="resample_positions|method='area'"):
        _vit(resample_positions="area")


def test_a_row_reads_the_front_of_its_table_or_a_larger_square():
    assert positions.grid_of_row(529, (23, 23)) == (23, 23)
    assert positions.grid_of_row(7, (23, 23)) == (23, 23)
    assert positions.grid_of_row(530, (23, 23)) == (24, 24)
    assert positions.grid_of_row(1024, (23, 23)) == (32, 32)
    assert positions.grid_of_row(7, (1, 5)) == (1, 7)
    rows, columns = positions.grid_of_row(67, (3, 11))
    assert (rows, columns) == (5, 19)


def _vit(**options):
    keras.utils.set_random_seed(11)
    options = {"image_shape": (10, 15, 1), "patch_size": 5, **options}
    return pixmodels.ViTBackbone(
        num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=13, **options
    )


def _pixel(**options):
    keras.utils.set_random_seed(11)
    options = {"image_shape": (5, 55, 1), "patch_size": 5, **options}
    return pixmodels.PIXELBackbone(
        num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=13, **options
    )


def _images(*shape):
    return np.random.default_rng(3).random(shape).astype("float32")


def _same(a, b):
    a, b = map(ops.convert_to_numpy, (a, b))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(20, 35, 1), (5, 5, 1), (5, 35, 1)])
def test_the_call_and_the_new_backbone_agree(shape):
    vit = _vit(resample_positions=True)
    other = vit.with_image_shape(shape)
    assert other.grid == other.position_grid == (shape[0] // 5, shape[1] // 5)
    images = _images(2, *shape)
    _same(vit(images), other(images))
    keep = np.array([[0], [0]], "int32")
    _same(vit(images, ids_keep=keep), other(images, ids_keep=keep))
    # The old backbone is as it was.
    assert vit.position_embedding.table.shape == (7, 12)


def test_pixel_is_truncated_up_to_its_table():
    pixel = _pixel()
    shorter = pixel.with_image_shape((5, 35, 1))
    assert shorter.position_grid == (4, 4)
    images = _images(2, 5, 35, 1)
    _same(shorter(images), pixel(images))
    longest = pixel.with_image_shape((5, 80, 1))
    assert longest.position_grid == (4, 4)
    longest(_images(1, 5, 80, 1))


def test_pixel_beyond_its_table_reads_a_larger_square():
    pixel = _pixel(resample_positions=True)
    images = _images(2, 5, 5 * 25, 1)
    longer = pixel.with_image_shape((5, 5 * 25, 1))
    assert longer.position_grid == (5, 5)
    _same(longer(images), pixel(images))
    table = ops.convert_to_numpy(pixel.position_embedding.table)
    new = ops.convert_to_numpy(longer.position_embedding.table)
    expected = positions.resample_positions(table, (4, 4), (5, 5))
    np.testing.assert_array_equal(new, expected)
    # Up to the table nothing is resampled.
    images = _images(2, 5, 35, 1)
    _same(pixel(images), _pixel()(images))
    # A length that is no square reads the front of the next square.
    assert pixel.table_grid((1, 17)) == (5, 5)
    pixel(_images(1, 5, 5 * 17, 1))


def test_a_page_has_a_table_of_its_own_grid():
    page = _pixel(image_shape=(15, 35, 1))
    assert page.position_grid == (3, 7)
    assert page(_images(2, 15, 35, 1)).shape == (2, 22, 12)


@pytest.mark.parametrize("name", ["rotary", "none"])
def test_positions_without_a_table(name):
    vit = _vit(positions=name, resample_positions=True, num_registers=1)
    images = _images(2, 20, 25, 1)
    _same(vit(images), vit.with_image_shape((20, 25, 1))(images))


def test_a_resampled_table_gets_gradients_and_compiles():
    vit = _vit(resample_positions=True)
    images = _images(2, 15, 20, 1)
    table = vit.position_embedding.table
    _, gradients = harness.loss_and_gradients(
        lambda: ops.sum(ops.square(vit(images)[:, 3:])), [table]
    )
    assert np.abs(gradients[0]).max() > 0
    jitted = harness.compiled(vit, True)
    if jitted is not None:
        _same(jitted(images), vit(images))


def test_autoencoder_at_another_resolution():
    def model(encoder):
        return pixmodels.MaskedAutoencoder(
            encoder,
            decoder_num_layers=1,
            decoder_num_heads=2,
            decoder_hidden_dim=8,
            decoder_mlp_dim=7,
        )

    small = model(_vit(resample_positions=True, num_registers=2))
    large = small.with_image_shape((20, 25, 1))
    inputs = {
        "pixels": _images(2, 20, 25),
        "patch_mask": pixmodels.masking.draw_masks("block", (4, 5), [3, 5]),
    }
    a, b = small(inputs), large(inputs)
    assert a["logits"].shape == (2, 20, 25)
    _same(a["logits"], b["logits"])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 20, 34, 1), "H and W in whole patches"),
        ((2, 20, 35, 3), "channels|images.shape"),
        ((2, 0, 35, 1), "images.shape"),
    ],
)
def test_wrong_images_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        _vit(resample_positions=True)(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match="images.shape"):
        _vit()(np.zeros(shape, "float32"))


def test_wrong_shapes_are_refused():
    vit = _vit()
    with pytest.raises(ValueError, match="1 channels"):
        vit.with_image_shape((20, 35, 3))
    with pytest.raises(ValueError, match="divisible"):
        vit.with_image_shape((20, 34, 1))
    with pytest.raises(ValueError, match="three ints"):
        vit.with_image_shape((20, 35))
    with pytest.raises(ValueError, match="method='area'"):
        vit.with_image_shape((20, 35, 1), method="area")
    with pytest.raises(ValueError, match=r"mask of shape \(B, 6\)"):
        vit(_images(2, 10, 15, 1), mask=np.ones((2, 5), bool))
