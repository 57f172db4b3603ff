"""Pictures for people, and the sentences shipped for them."""

import numpy as np
import pytest
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import gallery
from pixmodels.renderers import samples
from pixmodels.renderers.__main__ import main


def test_gallery_shows_labels_and_texts(latin):
    image = gallery([("one", "first text"), ("two", ("a", "b"))], latin)
    assert image.mode == "L"
    pixels = np.asarray(image)
    batch = latin(["first text", ("a", "b")])
    labels = latin(["one", "two"])
    # Scale 2, gap 4: rows begin at 8 and 48, texts after the widest label.
    left = 2 * (8 + 16 * int(labels.num_patches.max()))
    found = pixels[48:80:2, left::2][:, : batch.pixels.shape[2]]
    assert np.array_equal(found, batch.pixels[1])
    assert image.height == 2 * (4 + 2 * 20)


def test_gallery_in_colour_and_of_tall_patches(latin):
    drawn = CairoRenderer(
        ["NotoSans-Regular.ttf"],
        patch_size=(23, 11),
        color_mode="rgb",
        ink="navy",
        paper="ivory",
    )
    image = gallery([("one", "first"), ("two", "b")], drawn, scale=1, gap=3)
    assert image.mode == "RGB"
    assert image.height == 3 + 2 * 26
    pixels = np.asarray(image)
    assert np.all(pixels[:3] == [255, 255, 240])
    batch = drawn(["first", "b"])
    left = 2 * 3 + 11 * int(drawn(["one", "two"]).num_patches.max())
    found = pixels[3:26, left : left + batch.pixels.shape[2]]
    assert np.array_equal(found, batch.pixels[0])


def test_picture_of_the_readme(renderer, root, tmp_path, capsys):
    """The committed picture is what its command draws, size and rows."""
    output = tmp_path / "gallery.png"
    assert main(["gallery", str(output)]) == 0
    count = len(samples.SAMPLES) + 1
    assert f"{count} rows" in capsys.readouterr().out
    with (
        Image.open(output) as drawn,
        Image.open(root / "docs" / "images" / "gallery.png") as committed,
    ):
        assert drawn.size == committed.size
        found, expected = (
            np.asarray(image.convert("RGB")).astype(int)
            for image in (drawn, committed)
        )
    # Another FreeType shades otherwise; another text would differ by far.
    assert np.abs(found - expected).mean() < 2
    assert np.ptp(found, axis=-1).max() > 100  # The emoji have colour.


def test_gallery_refuses(latin):
    with pytest.raises(ValueError, match="at least one text"):
        gallery([], latin)
    with pytest.raises(TypeError, match=r"expected .label, text"):
        gallery(["text"], latin)


def test_samples_are_drawn_in_full(renderer):
    scripts = {sample.script for sample in samples.SAMPLES}
    assert len(scripts) >= 25
    batch = renderer([sample.text for sample in samples.SAMPLES])
    assert batch.missing == [()] * len(samples.SAMPLES)
    assert batch.truncated == [None] * len(samples.SAMPLES)
    fonts = set()
    for sample in samples.SAMPLES:
        layout = renderer._layouts([sample.text], None)[0]
        fonts |= {id(run[0]) for _, line in layout.lines for run in line.runs}
    assert len(fonts) >= 22
    assert gallery(samples.labelled(), renderer).height > 20 * len(batch)


def test_png(latin, tmp_path):
    batch = latin(["a", "longer text"])
    path = tmp_path / "text.png"
    batch.save_png(path, 0, scale=3)
    with Image.open(path) as image:
        assert image.size == (96, 48)
        assert np.array_equal(
            np.asarray(image)[::3, ::3], batch.pixels[0, :, :32]
        )
    with pytest.raises(ValueError, match="Received: scale=0"):
        batch.to_image(0, scale=0)
    with pytest.raises(IndexError):
        batch.to_image(2)
