"""Pictures for people, and the sentences shipped for them."""

import numpy as np
import pytest
from PIL import Image

from pixmodels.renderers import gallery
from pixmodels.renderers import samples


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


def test_gallery_refuses(latin):
    with pytest.raises(ValueError, match="at least one text"):
        gallery([], latin)
    with pytest.raises(TypeError, match=r"expected .label, text"):
        gallery(["text"], latin)


def test_samples_are_drawn_in_full(renderer):
    scripts = {sample.script for sample in samples.SAMPLES}
    assert len(scripts) >= 14
    batch = renderer([sample.text for sample in samples.SAMPLES])
    assert batch.missing == [()] * len(samples.SAMPLES)
    assert batch.truncated == [None] * len(samples.SAMPLES)
    fonts = set()
    for sample in samples.SAMPLES:
        layout = renderer._layouts([sample.text], None)[0]
        fonts |= {id(run[0]) for _, line in layout.lines for run in line.runs}
    assert len(fonts) >= 14
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
