"""Between pixels and patches: cut, join and normalise.

Plain functions in `keras.ops`. Layers with weights are in `layers`; drawing
text is the renderers' work.
"""

import numpy as np
from keras import ops

# Static lengths that cost at most half more than what is needed.
BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def grid_shape(image_shape, patch_size):
    """Rows and columns of patches in an image.

    Args:
        image_shape: (H, W, C) ints.
        patch_size: (height, width) ints in pixels.

    Returns:
        (R, C): ints.

    Raises:
        ValueError: if the patches do not tile the image.
    """
    height, width = image_shape[:2]
    if height % patch_size[0] or width % patch_size[1]:
        raise ValueError(
            "Expected an image height and width divisible by the patch size. "
            f"Received: image_shape={tuple(image_shape)}, "
            f"patch_size={tuple(patch_size)}."
        )
    return height // patch_size[0], width // patch_size[1]


def images_of(inputs, num_channels):
    """Pixels as stored to images as models take them.

    Args:
        inputs: pixels, (B, H, W) or (B, H, W, C), uint8 in [0, 255] or
            floating point in [0, 1]; or a dict that holds them under "pixels".
        num_channels: int; one channel is repeated to this many.

    Returns:
        (B, H, W, num_channels) floating point in [0, 1].

    Raises:
        ValueError: for a dict without pixels, another rank, or a channel
            count that does not fit.
    """
    if isinstance(inputs, dict) and "pixels" not in inputs:
        raise ValueError(
            "Expected inputs with the key 'pixels'. Received: a dict with the "
            f"keys {sorted(inputs)}."
        )
    pixels = inputs["pixels"] if isinstance(inputs, dict) else inputs
    pixels = ops.convert_to_tensor(pixels)
    rank = len(pixels.shape)
    if rank not in (3, 4):
        raise ValueError(
            "Expected pixels of shape (B, H, W) or (B, H, W, C). Received: "
            f"pixels.shape={tuple(pixels.shape)}."
        )
    if "float" not in str(pixels.dtype):
        pixels = ops.cast(pixels, "float32") / 255.0
    if rank == 3:
        pixels = pixels[..., None]
    if pixels.shape[-1] == num_channels:
        return pixels
    if pixels.shape[-1] != 1:
        raise ValueError(
            f"Expected pixels with 1 or {num_channels} channels. Received: "
            f"pixels.shape={tuple(pixels.shape)}."
        )
    return ops.repeat(pixels, num_channels, axis=-1)


def attended(inputs, length):
    """Which patches of drawn texts are text or end patch.

    Args:
        inputs: dict; `num_patches` (B,) int, if it is there, counts the
            patches of each text without the end patch.
        length: N, int or scalar tensor.

    Returns:
        (B, N) bool, True for the first `num_patches + 1`; None, which means
        all, without `num_patches`.
    """
    if inputs.get("num_patches") is None:
        return None
    end = ops.cast(inputs["num_patches"], "int32")[:, None]
    return ops.arange(length, dtype="int32")[None] <= end


def bucket_of(length, buckets=BUCKETS):
    """The smallest of a few lengths that holds `length` patches.

    Args:
        length: int.
        buckets: rising ints.

    Returns:
        int; `length` itself where all buckets are shorter.
    """
    return next((b for b in buckets if b >= length), length)


def trim(inputs, patch_size, *, buckets=BUCKETS, per_patch=("label",)):
    """Drops the columns of patches that no text of a batch needs.

    Where a mechanism does not depend on the number of patches
    (`length_invariant`), no logit changes, and what padding costs is saved.

    Args:
        inputs: dict of arrays with `pixels` (B, H, W) or (B, H, W, C), one row
            of patches high, and `num_patches` (B,) int, patches without the
            end patch.
        patch_size: (height, width) ints in pixels.
        buckets: rising ints, the lengths to cut to, so that few different
            shapes are compiled. Nothing is ever added.
        per_patch: names of other arrays (B, N, ...) that are cut alike.

    Returns:
        A dict with the same keys; the same arrays where nothing is dropped.

    Raises:
        ValueError: for images of several rows of patches, or a width that is
            not a whole number of patches.

    Example:
        >>> import numpy as np
        >>> batch = {"pixels": np.zeros((2, 16, 16 * 529), "uint8"),
        ...          "num_patches": np.array([5, 30])}
        >>> pixmodels.patches.trim(batch, (16, 16))["pixels"].shape
        (2, 16, 512)
    """
    pixels, (height, width) = inputs["pixels"], patch_size
    if pixels.shape[1] != height or pixels.shape[2] % width:
        raise ValueError(
            "Expected pixels of one row of patches of "
            f"{tuple(patch_size)}. Received: pixels.shape="
            f"{tuple(pixels.shape)}."
        )
    most = pixels.shape[2] // width
    counts = ops.convert_to_numpy(inputs["num_patches"])
    length = bucket_of(int(np.max(counts, initial=0)) + 1, buckets)
    if length >= most:
        return dict(inputs)
    kept = {
        name: inputs[name][:, :length]
        for name in per_patch
        if name in inputs and tuple(inputs[name].shape[1:2]) == (most,)
    }
    return {**inputs, **kept, "pixels": pixels[:, :, : length * width]}


def patchify(images, patch_size):
    """Cuts images into patches, row by row.

    Args:
        images: (B, H, W, C).
        patch_size: (height, width) ints in pixels.

    Returns:
        (B, N, P): P values in (row, column, channel) order, as in MAE
        (He et al. 2021, `patchify`), for any grid, not only square ones.
    """
    height, width = patch_size
    channels = images.shape[-1]
    rows, columns = (
        size // patch if isinstance(size, int) else dynamic // patch
        for size, dynamic, patch in zip(
            images.shape[1:3], ops.shape(images)[1:3], patch_size
        )
    )
    # (B, H, W, C) -> (B, R, height, C, width, channels)
    x = ops.reshape(images, (-1, rows, height, columns, width, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * columns, height * width * channels))


def unpatchify(patches, grid, patch_size):
    """Joins patches into images: the inverse of `patchify`.

    Args:
        patches: (B, N, P).
        grid: (R, C) ints with R * C = N.
        patch_size: (height, width) ints in pixels.

    Returns:
        (B, R * height, C * width, channels).
    """
    (rows, columns), (height, width) = grid, patch_size
    channels = patches.shape[-1] // (height * width)
    x = ops.reshape(patches, (-1, rows, columns, height, width, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * height, columns * width, channels))


def patch_statistics(patches, epsilon=1e-6):
    """Mean and deviation of each patch for `norm_pix_loss`.

    Args:
        patches: (B, N, P).
        epsilon: added to the variance.

    Returns:
        (mean, deviation), each (B, N, 1): the variance is the unbiased one
        (divisor P - 1), as `torch.var` in MAE and PIXEL.
    """
    size = patches.shape[-1]
    mean = ops.mean(patches, axis=-1, keepdims=True)
    squares = ops.sum(ops.square(patches - mean), axis=-1, keepdims=True)
    return mean, ops.sqrt(squares / (size - 1) + epsilon)
