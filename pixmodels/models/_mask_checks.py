"""Refuses masks that do not fit, or that nothing can be learnt from.

Shapes are looked at always, values only of numpy arrays: inside a graph a
mask without effect gives a loss of 0 over a count of 0.
"""

import numpy as np

from pixmodels.masking import num_masked


def check_length(name, value, grid):
    """Raises a ValueError unless `value` is None or of shape (B, R * C)."""
    if value is None:
        return
    shape, length = tuple(value.shape), grid[0] * grid[1]
    if len(shape) != 2 or shape[1] not in (length, None):
        raise ValueError(
            f"Expected {name} of shape (B, {length}), one value for each "
            f"of the {grid[0]} x {grid[1]} patches. Received: "
            f"{name}.shape={shape}."
        )


def check_values(inputs, mask_ratio, patch_size):
    """Raises a ValueError for arrays from which nothing can be learnt.

    Args:
        inputs: dict of the masked autoencoder's call; only numpy arrays in it
            are looked at.
        mask_ratio: share of patches that is hidden.
        patch_size: (height, width) in pixels.
    """
    counts = _array(inputs, "num_patches")
    weight = _array(inputs, "weight")
    if counts is not None and counts.ndim == 1:
        used = np.ones(counts.shape, bool) if weight is None else weight > 0
        if used.shape == counts.shape and (counts[used] < 0).any():
            raise ValueError(
                "Expected num_patches >= 0: a text attends at least to its "
                f"end patch. Received: num_patches={counts.tolist()}, which "
                "leaves zero attended patches."
            )
    mask = _array(inputs, "patch_mask")
    if mask is None or mask.ndim != 2:
        return
    pixels = getattr(inputs.get("pixels"), "shape", ())
    if len(pixels) >= 3 and None not in pixels[1:3]:
        rows, columns = (n // p for n, p in zip(pixels[1:3], patch_size))
        if mask.shape[1] != rows * columns:
            return  # the call says whether mask or image is wrong
    _check_counts(mask, weight, mask_ratio)
    if counts is not None and counts.shape == mask.shape[:1]:
        _check_effect(mask, weight, counts)


def _array(inputs, name):
    value = inputs.get(name)
    return value if isinstance(value, np.ndarray) else None


def _check_counts(mask, weight, mask_ratio):
    length = mask.shape[1]
    expected = num_masked(length, mask_ratio)
    hidden = (mask != 0).sum(axis=1)
    wrong = hidden != expected
    if weight is not None and weight.shape == hidden.shape:
        wrong &= weight > 0
    if not wrong.any():
        return
    row = int(wrong.argmax())
    what = {0: "nothing", length: "everything"}.get(
        int(hidden[row]), f"{hidden[row]} patches"
    )
    raise ValueError(
        f"Expected patch_mask to hide {expected} of {length} patches "
        f"(mask_ratio={mask_ratio}) in each row. Received: a patch_mask that "
        f"hides {what} in row {row}."
    )


def _check_effect(mask, weight, counts):
    place = np.arange(mask.shape[1])[None]
    counted = (mask != 0) & (place <= counts[:, None])
    if weight is not None and weight.shape == counts.shape:
        if not (weight > 0).any():
            return
        counted &= weight[:, None] > 0
    if not counted.any():
        raise ValueError(
            "Expected a patch_mask that hides an attended patch of at least "
            "one example. Received: a patch_mask that hides padding only, "
            f"with num_patches={counts.tolist()}."
        )
