import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from pixmodels import masking
from pixmodels.tasks import DecodedImageSource
from pixmodels.tasks import ImageFolder
from pixmodels.tasks import MaskedSource


def picture(height, width, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for k, (name, count) in enumerate((("b", 2), ("a", 3))):
        (tmp_path / name).mkdir()
        for i in range(count):
            image = Image.fromarray(picture(13 + i, 17, 10 * k + i))
            image.save(tmp_path / name / f"{i}.png")
    (tmp_path / "note.txt").write_text("no image")
    return tmp_path


def test_a_folder_of_classes(folder):
    images = ImageFolder(folder)
    assert len(images) == 5
    assert images.labels == ("a", "b")
    assert images.label_ids == [0, 0, 0, 1, 1]
    item = images[1]
    np.testing.assert_array_equal(item["image"], picture(14, 17, 11))
    assert item["label"] == 0
    assert ImageFolder(folder / "a").labels == ()
    assert ImageFolder(folder / "a").label_ids == [0, 0, 0]
    assert ImageFolder(folder, mode="L")[0]["image"].shape == (13, 17)
    before = images.fingerprint()
    Image.fromarray(picture(3, 5, 0)).save(folder / "a" / "0.png")
    assert ImageFolder(folder).fingerprint() != before


def test_mistakes_of_a_folder(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder with images.*/no'"):
        ImageFolder(tmp_path / "no")
    Image.fromarray(picture(3, 5, 0)).save(folder / "loose.png")
    with pytest.raises(ValueError, match=r"with both, such as loose\.png"):
        ImageFolder(folder)
    (folder / "loose.png").unlink()
    (folder / "a" / "1.png").write_bytes(b"\x89PNG not")
    source = DecodedImageSource(ImageFolder(folder), (13, 17, 3))
    with pytest.raises(ValueError, match=r"readable, complete.*a/1\.png"):
        source.get_batch([1])


def test_batches(folder):
    source = DecodedImageSource(ImageFolder(folder), (13, 17, 3))
    batch = source.get_batch([3, -1, 0])
    np.testing.assert_array_equal(batch["pixels"][0], picture(13, 17, 0))
    assert not batch["pixels"][1].any()
    assert batch["label"].tolist() == [1, 0, 0]
    assert batch["weight"].tolist() == [1, 0, 1]
    assert batch["example_id"].tolist() == [3, -1, 0]
    again = pickle.loads(pickle.dumps(source)).get_batch([3, -1, 0])
    for name in batch:
        np.testing.assert_array_equal(batch[name], again[name])
    grey = DecodedImageSource(ImageFolder(folder), (7, 11, 1))
    assert grey.get_batch([0, 1])["pixels"].shape == (2, 7, 11)
    assert grey.report() == {"images": 5, "shape": [7, 11, 1]}


def test_the_middle_is_kept():
    # By hand: of 6 x 14 pixels the middle 6 x 6 are columns 4 to 9.
    image = np.arange(84, dtype=np.uint8).reshape(6, 14)
    source = DecodedImageSource([image], (6, 6, 1))
    found = source.get_batch([0])["pixels"][0]
    np.testing.assert_array_equal(found, image[:, 4:10])
    constant = np.full((9, 4, 3), (7, 80, 250), np.uint8)
    found = DecodedImageSource([constant], (5, 3, 3)).get_batch([0])["pixels"]
    assert (found == (7, 80, 250)).all()


@settings(max_examples=40)
@given(
    st.integers(3, 40),
    st.integers(3, 40),
    st.integers(0, 2**32 - 1),
    st.integers(0, 99),
)
def test_random_parts(rows, columns, seed, epoch):
    # Each pixel says where it stands, so that the part can be read off.
    image = np.zeros((rows, columns, 3), np.uint8)
    image[..., 0] = 6 * np.arange(rows)[:, None]
    image[..., 1] = 6 * np.arange(columns)
    source = DecodedImageSource([image] * 3, (19, 19, 3), augment="crop_flip")
    one = source.get_batch([0, 1, 2], seed=seed, epoch=epoch)["pixels"]
    two = source.get_batch([2, 0], seed=seed, epoch=epoch)["pixels"]
    np.testing.assert_array_equal(two, one[[2, 0]])
    for found in one.astype(int):
        height = (found[-1, :, 0] - found[0, :, 0]).mean() / 6
        width = (found[:, -1, 1] - found[:, 0, 1]).mean() / 6
        assert height > 0
        assert 0 <= height < rows
        assert 0 < abs(width) < columns


def test_parts_differ_between_epochs_and_half_are_mirrored():
    image = np.broadcast_to(np.arange(41, dtype=np.uint8) * 6, (41, 41))
    source = DecodedImageSource([image] * 400, (7, 7, 1), augment="crop_flip")
    found = [
        source.get_batch(range(400), epoch=epoch)["pixels"].astype(int)
        for epoch in (0, 1)
    ]
    assert (found[0] != found[1]).any(axis=(1, 2)).mean() > 0.9
    mirrored = (found[0][:, 3, 0] > found[0][:, 3, -1]).mean()
    # Four standard deviations of 400 throws.
    assert abs(mirrored - 0.5) < 0.1


def test_masks():
    images = [picture(8, 12, i) for i in range(5)]
    source = MaskedSource(
        DecodedImageSource(images, (8, 12, 3)), "random", (2, 2), ratio=0.6
    )
    batch = source.get_batch([3, 1, -1], seed=7, epoch=2)
    wanted = masking.draw_masks(
        "random", (4, 6), [3, 1, 0], ratio=0.6, seed=7, epoch=2
    )
    np.testing.assert_array_equal(batch["patch_mask"], wanted)


def test_mistakes():
    images = [{"image": picture(3, 5, 0), "label": 2}, picture(3, 5, 1) / 255]
    source = DecodedImageSource(images, (3, 5, 3))
    assert source.get_batch([0])["label"].tolist() == [2]
    with pytest.raises(ValueError, match=r"uint8.*\[1\] of float64 \(3, 5, 3"):
        source.get_batch([1])
    with pytest.raises(ValueError, match=r"image, label.*field='picture'"):
        DecodedImageSource(images, (3, 5, 3), field="picture").get_batch([0])
    with pytest.raises(IndexError, match=r"\[-1, 2\)"):
        source.get_batch([2])
    with pytest.raises(ValueError, match="length=7"):
        source.get_batch([0], 7)
    with pytest.raises(ValueError, match="augment='flip'"):
        DecodedImageSource(images, (3, 5, 3), augment="flip")
    with pytest.raises(ValueError, match=r"at least one image"):
        DecodedImageSource([], (3, 5, 3))
