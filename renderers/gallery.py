"""`gallery`: labelled texts as one picture for people to look at.

Here: rows of texts drawn by a renderer, enlarged. Not here: the sentences
(samples.py) and figures with patch grids (show.py)."""

import numpy as np

from pixmodels.renderers._libraries import load


def gallery(texts, renderer, *, scale=2, gap=4):
    """Draws labelled texts below one another.

    Args:
        texts: iterable of (label, text); text as for a renderer: a str, a
            (str, str) tuple or a list of words. Labels are drawn by the same
            renderer, without an end patch.
        renderer: CairoRenderer.
        scale: whole factor by which every pixel is enlarged.
        gap: pixels between rows and around the picture, before scaling; they
            have the paper's colour.

    Returns:
        `PIL.Image` in mode "L", or "RGB" where the renderer draws in colour.

    Raises:
        TypeError: an item of `texts` is not (label, text).
        ValueError: `texts` is empty.
        ImportError: Pillow is missing.
    """
    rows = list(texts)
    for row in rows:
        if not isinstance(row, tuple | list) or len(row) != 2:
            raise TypeError(f"expected (label, text). Received: {row!r}")
    if not rows:
        raise ValueError("expected at least one text. Received: texts=[]")
    labels = renderer([label for label, _ in rows])
    batch = renderer([text for _, text in rows])
    height = batch.patch_height
    side = batch.patch_width
    left = int(labels.num_patches.max()) * side
    right = batch.pixels.shape[2]
    page = _paper(
        renderer,
        gap + len(rows) * (height + gap),
        left + right + 3 * gap,
    )
    for index in range(len(rows)):
        top = gap + index * (height + gap)
        end = int(labels.num_patches[index]) * side
        page[top : top + height, gap : gap + end] = labels.pixels[
            index, :, :end
        ]
        start = left + 2 * gap
        page[top : top + height, start : start + right] = batch.pixels[index]
    page = page.repeat(scale, axis=0).repeat(scale, axis=1)
    return load("PIL.Image").fromarray(page)


def _paper(renderer, height, width):
    """An empty page: the colour of what a renderer leaves blank."""
    blank = renderer("", num_patches=2).pixels[0, 0, 0]
    page = np.empty((height, width, *blank.shape), np.uint8)
    page[...] = blank
    return page
