"""Text out of what a masked autoencoder predicts."""

import keras
import numpy as np
import pytest

import pixmodels
from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import PixelReader


@pytest.fixture(scope="module")
def renderer():
    try:
        return CairoRenderer()
    except (ImportError, FileNotFoundError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def reader(renderer):
    return PixelReader(renderer, "abcdefghijklmnopqrstuvwxyz .")


@pytest.fixture(scope="module")
def model():
    encoder = pixmodels.PIXELBackbone(
        (16, 16 * 13, 1), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=11
    )
    return pixmodels.MaskedAutoencoder(
        encoder, mask_ratio=2 / 13, **pixmodels.MaskedAutoencoder.small_options
    )


def test_read_what_is_not_hidden(model, reader, renderer):
    texts = ["a row of letters here", "and some more"]
    batch = renderer(texts, num_patches=13)
    hidden = np.zeros((2, 13), np.uint8)
    hidden[:, 11:] = 1  # Behind both texts.
    inputs = {
        "pixels": batch.pixels,
        "num_patches": batch.num_patches,
        # As an array it would be refused: nothing can be learnt from it.
        "patch_mask": keras.ops.array(hidden),
    }
    assert batch.num_patches.max() <= 11
    assert [r.text for r in model.read(inputs, reader)] == texts


def test_hidden_patches_are_less_sure(model, reader, renderer):
    keras.utils.set_random_seed(0)
    batch = renderer(["a row of letters here"], num_patches=13)
    hidden = np.zeros((1, 13), np.uint8)
    hidden[:, 5:7] = 1
    inputs = {
        "pixels": batch.pixels,
        "num_patches": batch.num_patches,
        "patch_mask": hidden,
    }
    (read,) = model.read(inputs, reader)
    assert read.text.startswith("a row of l")
    assert not read.is_exact
    sure = [c.confidence for c in read.characters if c.last_patch < 4]
    lost = [c.confidence for c in read.characters if c.first_patch in (5, 6)]
    assert min(sure) > 0.95 > np.mean(lost)
    pictures = model.reconstruct(inputs)["reconstructed"]
    assert reader.read(pictures, batch.num_patches) == [read]
    again = {**inputs, "num_patches": keras.ops.array(batch.num_patches)}
    assert model.read(again, reader) == [read]
