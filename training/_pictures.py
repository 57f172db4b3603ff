"""Pictures of a run: reconstructions of texts. Arrays in, Pillow images out.

Drawing text and galleries is the renderers' work.
"""

import numpy as np

_STAGES = ("original", "masked", "reconstructed")
# Pixels of a sheet: it shall fit a screen, and a repository.
_WIDEST, _GAP, _LABEL = 1200, 4, 14


def reconstructions(pictures, captions, renderer, *, scale=3, gap=5):
    """Original, masked and reconstructed texts below one another.

    Args:
        pictures: dict of (B, H, W, C) float in [0, 1] with the keys
            "original", "masked", "reconstructed", as
            `MaskedAutoencoder.reconstruct` gives them.
        captions: B str, what stands left of each text.
        renderer: `CairoRenderer` that draws captions and stages.
        scale: whole factor by which every pixel is enlarged.
        gap: pixels between texts, before scaling.

    Returns:
        `PIL.Image` in mode "L".

    Raises:
        ValueError: if captions and pictures differ in number.
    """
    from PIL import Image

    batch, height, width, _ = pictures["original"].shape
    if len(captions) != batch:
        raise ValueError(
            f"Expected {batch} captions, one for each text. Received: "
            f"captions={captions!r}."
        )
    names, stages = _labels(captions, renderer), _labels(_STAGES, renderer)
    left = names.shape[2] + stages.shape[2] + 3 * gap
    block = len(_STAGES) * (height + 1) + gap
    page = np.full((batch * block + gap, left + width + gap), 255, np.uint8)
    for row in range(batch):
        top = gap + row * block
        page[top : top + height, gap : gap + names.shape[2]] = names[row]
        for i, stage in enumerate(_STAGES):
            at = top + i * (height + 1)
            start = names.shape[2] + 2 * gap
            end = start + stages.shape[2]
            page[at : at + height, start:end] = stages[i]
            grey = np.mean(pictures[stage][row], axis=-1)
            page[at : at + height, left : left + width] = np.round(255 * grey)
    page = page.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(page)


def sheet(pictures):
    """Original, masked and reconstructed images of any shape on one sheet.

    Rows of patches stand below one another, other images side by side. What
    is larger than a sheet is made smaller.

    Args:
        pictures: as for `reconstructions`.

    Returns:
        `PIL.Image` in mode "L", or "RGB" if any image has a colour.
    """
    from PIL import Image
    from PIL import ImageDraw

    stages = [_bytes(pictures[name]) for name in _STAGES]
    batch, height, width, _ = stages[0].shape
    below = width > 4 * height
    down, across = (3, 1) if below else (1, 3)
    fits = min(
        (_WIDEST - 4 * _GAP) // (across * width),
        _WIDEST // (batch * down * height),
    )
    scale = min(max(fits, 1), 8)
    height, width = scale * height, scale * width
    block = down * (height + 1) + _GAP
    size = (across * (width + _GAP) + _GAP, _LABEL + batch * block + _GAP)
    page = np.full((size[1], size[0], stages[0].shape[3]), 255, np.uint8)
    for i, images in enumerate(stages):
        large = images.repeat(scale, axis=1).repeat(scale, axis=2)
        left = _GAP + (0 if below else i * (width + _GAP))
        for row in range(batch):
            top = _LABEL + _GAP + row * block + below * i * (height + 1)
            page[top : top + height, left : left + width] = large[row]
    page = Image.fromarray(page[..., 0] if page.shape[2] == 1 else page)
    words = ", ".join(_STAGES)
    ImageDraw.Draw(page).text((_GAP, 1), words, fill="gray")
    page.thumbnail((_WIDEST, page.height))
    return page


def _bytes(images):
    """(B, H, W, C) in [0, 1] -> uint8 with C = 1 if all are grey, else 3."""
    images = np.round(255 * np.asarray(images)).astype(np.uint8)
    if images.shape[3] == 3 and (images == images[..., :1]).all():
        images = images[..., :1]
    return images


def _labels(texts, renderer):
    """(n, H, W) uint8, the texts without their end patches."""
    batch = renderer(list(texts))
    pixels = batch.pixels.copy()
    side = batch.patch_size
    for row, count in zip(pixels, batch.num_patches, strict=True):
        row[:, int(count) * side :] = 255
    return pixels[:, :, : int(batch.num_patches.max()) * side]
