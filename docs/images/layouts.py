"""Draws layouts.png: one sentence in four scripts, in every layout.

python docs/images/layouts.py [OUTPUT]
"""

import pathlib
import sys

import numpy as np
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers.samples import SAMPLES

LAYOUTS = ("continuous", "words", "bigrams", "mono", "adaptive")
LANGUAGES = ("en", "hi", "ar", "zh")
PATCHES = 39
GAP = 6
SCALE = 2


def block(layout, texts, stack):
    """One row for the name, then one for each text; RGB with a patch grid."""
    renderer = CairoRenderer(stack, layout=layout)
    rows = renderer(texts, num_patches=PATCHES)
    assert rows.truncated == [None] * len(texts)
    name = CairoRenderer(stack)(layout, num_patches=PATCHES)
    label = name.pixels[0].copy()
    label[:, 16 * int(name.num_patches[0]) :] = 255  # No end patch.
    grid = np.stack([rows.pixels] * 3, -1)
    # Pale blue at the left edge of each patch, under the text.
    grid[:, :, ::16] = np.minimum(grid[:, :, ::16], [190, 215, 255])
    grid = grid.reshape(-1, *grid.shape[2:])
    label = np.stack([label] * 3, -1)
    white = np.full((GAP, label.shape[1], 3), 255, np.uint8)
    return np.concatenate([label, grid, white])


def main(output=None):
    """Writes the picture, by default beside this file."""
    stack = CairoRenderer().font_stack
    samples = {sample.code: sample.text for sample in SAMPLES}
    texts = [samples[code] for code in LANGUAGES]
    page = np.concatenate([block(name, texts, stack) for name in LAYOUTS])
    page = page.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    output = output or pathlib.Path(__file__).with_suffix(".png")
    Image.fromarray(page).quantize(64).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
