import io

import numpy as np
import pytest
from PIL import Image
from PIL import ImageFile

from pixmodels.tasks import Digits
from pixmodels.tasks import ImageSource
from pixmodels.tasks import load_image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM")


def _pixels(channels=3):
    shape = (13, 17, 3)[: 2 if channels == 1 else 3]
    return np.random.default_rng(3).integers(0, 256, shape).astype("uint8")


def _encode(image, format):
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats(tmp_path, format):
    path = tmp_path / "image"
    path.write_bytes(_encode(Image.fromarray(_pixels()), format))
    np.testing.assert_array_equal(load_image(path), _pixels())
    grey = load_image(str(path), mode="L")
    assert (grey.shape, grey.dtype) == ((13, 17), np.uint8)
    # ITU-R 601, within the rounding of integer weights.
    luma = _pixels() @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey - luma).max() <= 1


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_files(tmp_path, format):
    """At every length: refused, or nothing but an end marker is missing."""
    data = _encode(Image.fromarray(_pixels()), format)
    path = tmp_path / "cut.image"
    path.write_bytes(data)
    whole = load_image(path)
    for size in [*range(0, len(data), 29), *range(len(data) - 9, len(data))]:
        path.write_bytes(data[:size])
        try:
            pixels = load_image(path)
        except ValueError as error:
            assert "cut.image" in str(error)
            assert "Received: path=" in str(error)
        else:
            assert len(data) - size <= 4
            np.testing.assert_array_equal(pixels, whole)


def test_truncation_is_found_where_the_process_ignores_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "cut.jpg"
    path.write_bytes(_encode(Image.fromarray(_pixels()), "JPEG")[:-200])
    with pytest.raises(ValueError, match=r"cut\.jpg"):
        load_image(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_damaged_and_other_files(tmp_path):
    data = bytearray(_encode(Image.fromarray(_pixels()), "PNG"))
    data[101] ^= 255
    (tmp_path / "damaged.png").write_bytes(data)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.ones((3, 5), "float32")).save(tmp_path / "float.tiff")
    for name in ("damaged.png", "text.png", "folder.png", "float.tiff"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            load_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="mode='HSV'"):
        load_image(tmp_path / "damaged.png", mode="HSV")


def test_unusual_modes(tmp_path):
    path = tmp_path / "image.png"
    deep = (np.arange(221, dtype=np.uint16) * 257).reshape(13, 17)
    Image.fromarray(deep).save(path)
    np.testing.assert_array_equal(load_image(path, mode="L"), deep >> 8)
    clear = np.zeros((13, 17, 4), np.uint8)
    clear[:7] = 255, 0, 0, 255
    Image.fromarray(clear).save(path)
    pixels = load_image(path)
    assert (pixels[:7] == [255, 0, 0]).all()
    assert (pixels[7:] == 255).all()
    Image.fromarray(_pixels()).convert("P").save(path)
    assert load_image(path).shape == (13, 17, 3)


def test_orientation(tmp_path):
    image = Image.fromarray(_pixels())
    exif = image.getexif()
    exif[0x0112] = 6  # Shown turned by 90 degrees clockwise.
    image.save(tmp_path / "turned.tiff", exif=exif)
    expected = np.rot90(_pixels(), -1)
    np.testing.assert_array_equal(
        load_image(tmp_path / "turned.tiff"), expected
    )


def test_digits():
    digits = Digits(seed=3)
    assert digits.train_images.shape == (1438, 8, 8)
    assert digits.test_images.shape == (359, 8, 8)
    ids = np.concatenate([digits.train_ids, digits.test_ids])
    assert sorted(ids) == list(range(1797))
    for labels, n in ((digits.train_labels, 1438), (digits.test_labels, 359)):
        assert labels.dtype == np.int32
        counts = np.bincount(labels)
        assert abs(counts / n - 0.1).max() < 0.006
    # No image stands on both sides, not even as another example.
    train = {image.tobytes() for image in digits.train_images}
    assert not train & {image.tobytes() for image in digits.test_images}
    from sklearn.datasets import load_digits

    data = load_digits()
    np.testing.assert_array_equal(
        data.target[digits.test_ids], digits.test_labels
    )
    levels = data.images[digits.test_ids] / 16
    assert digits.test_images.dtype == np.uint8
    assert np.abs(digits.test_images / 255 - levels).max() <= 0.5 / 255
    assert digits.test_images.max() == 255


def test_digits_are_a_function_of_the_seed():
    a, b, c = Digits(seed=3), Digits(seed=3), Digits(seed=5)
    np.testing.assert_array_equal(a.test_ids, b.test_ids)
    assert set(a.test_ids) != set(c.test_ids)
    with pytest.raises(ValueError, match="test_fraction=1"):
        Digits(test_fraction=1)


def test_image_source():
    images = np.arange(5 * 3 * 7, dtype=np.uint8).reshape(5, 3, 7)
    source = ImageSource(images, labels=[2, 3, 5, 7, 11])
    assert source.lengths is None
    assert len(source) == 5
    batch = source.get_batch([4, -1, 0], seed=3, epoch=1)
    np.testing.assert_array_equal(
        batch["pixels"], np.stack([images[4], 0 * images[0], images[0]])
    )
    assert {k: v.dtype.name for k, v in batch.items()} == {
        "pixels": "uint8",
        "label": "int32",
        "weight": "float32",
        "example_id": "int32",
    }
    assert batch["label"].tolist() == [11, 0, 2]
    assert batch["weight"].tolist() == [1, 0, 1]
    assert batch["example_id"].tolist() == [4, -1, 0]
    batch["pixels"][:] = 1
    np.testing.assert_array_equal(source.get_batch([4])["pixels"][0], images[4])
    assert source.report() == {"images": 5, "shape": [3, 7], "bytes": 105}


def test_image_source_refuses():
    images = np.zeros((5, 3, 7), np.uint8)
    with pytest.raises(TypeError, match="float64"):
        ImageSource(images / 2)
    with pytest.raises(ValueError, match=r"images\.shape=\(3, 7\)"):
        ImageSource(images[0])
    with pytest.raises(ValueError, match=r"\(2,\)"):
        ImageSource(images, labels=[1, 2])
    with pytest.raises(IndexError, match="indices="):
        ImageSource(images).get_batch([5])
    with pytest.raises(ValueError, match="length=3"):
        ImageSource(images).get_batch([1], length=3)
