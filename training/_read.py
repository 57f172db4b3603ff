"""`pixmodels read`: the rows of a PNG as lines of text."""

import numpy as np


def run(
    path,
    *,
    fonts=(),
    font_size=8.0,
    dpi=120,
    layout="continuous",
    scripts=(),
    characters=None,
):
    """Prints the text of every row of patches of a picture.

    Args:
        path: picture such as `pixmodels render` writes.
        fonts, font_size, dpi, layout: what it was drawn with, as for
            `pixmodels render`.
        scripts: ISO 15924 codes of its letters; empty: Latn.
        characters: str, the characters to look for instead.

    Raises:
        ValueError: the picture has no whole rows of patches.
        OSError: it cannot be read.
    """
    from PIL import Image

    from pixmodels.renderers import CairoRenderer
    from pixmodels.renderers import PixelReader

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    renderer = CairoRenderer(
        list(fonts) or None,
        font_size=font_size,
        dpi=dpi,
        layout=layout,
        max_patches=max(529, pixels.shape[1] // 16),
    )
    side = renderer.patch_size
    if not pixels.size or pixels.shape[0] % side or pixels.shape[1] % side:
        raise ValueError(
            f"Expected a picture in whole patches of {side} x {side} pixels. "
            f"Received: {path} of {pixels.shape[1]} x {pixels.shape[0]}"
        )
    reader = PixelReader(renderer, characters, scripts=scripts or ("Latn",))
    rows = pixels.reshape(-1, side, pixels.shape[1])
    for read in reader.read(rows):
        print("\t".join(read.parts))
