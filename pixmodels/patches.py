"""Between pixels and patches: cut, join and normalise.

Plain functions in `keras.ops`. Layers with weights are in `layers`; drawing
text is the renderers' work.
"""

from keras import ops


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
