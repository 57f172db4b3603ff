"""Pictures of a run: reconstructions of texts. Arrays in, Pillow images out.

Drawing text and galleries is the renderers' work.
"""

import numpy as np

_STAGES = ("original", "masked", "reconstructed")


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


def _labels(texts, renderer):
    """(n, H, W) uint8, the texts without their end patches."""
    batch = renderer(list(texts))
    pixels = batch.pixels.copy()
    side = batch.patch_size
    for row, count in zip(pixels, batch.num_patches, strict=True):
        row[:, int(count) * side :] = 255
    return pixels[:, :, : int(batch.num_patches.max()) * side]
