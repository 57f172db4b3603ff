import numpy as np
import pytest

from pixmodels import masking
from pixmodels import tasks


def images(count=5):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, 14, 22), dtype=np.uint8)


def test_masks_are_those_of_the_example():
    plain = tasks.ImageSource(images(), np.arange(5))
    source = tasks.MaskedSource(
        plain, "block", (2, 2), ratio=0.4, options={"min_patches": 6}
    )
    assert len(source) == 5
    assert source.lengths is None
    assert source.report()["images"] == 5
    batch = source.get_batch([3, -1, 1], seed=7, epoch=2)
    expected = masking.draw_masks(
        "block", (7, 11), [3, 0, 1], ratio=0.4, seed=7, epoch=2, min_patches=6
    )
    np.testing.assert_array_equal(batch["patch_mask"], expected)
    assert (
        batch["patch_mask"].sum(1).tolist() == [masking.num_masked(77, 0.4)] * 3
    )
    for name, array in plain.get_batch([3, -1, 1]).items():
        np.testing.assert_array_equal(batch[name], array)
    other = source.get_batch([3, -1, 1], seed=7, epoch=3)
    assert np.any(other["patch_mask"] != batch["patch_mask"])


def test_images_that_patches_do_not_tile():
    plain = tasks.ImageSource(images())
    source = tasks.MaskedSource(plain, "random", (3, 2), ratio=0.5)
    with pytest.raises(ValueError, match=r"pixels\.shape=\(1, 14, 22\)"):
        source.get_batch([0])
