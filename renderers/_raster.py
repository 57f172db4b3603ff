"""Draws shaped lines into grey patches, by Cairo.

Here: the baseline, glyph positions, black patches, white to the right of the
end. Not here: where lines start (_layout.py). Runs are laid one over the
other, glyphs of one run are added, as Cairo does."""

import numpy as np

from pixmodels.renderers._font import UNITS
from pixmodels.renderers._libraries import load

_RAISE = 2 * UNITS  # PIXEL draws 2 px above the centre.


def draw(layouts, baseline, patch_size, num_patches):
    """Pixels of a batch.

    Args:
        layouts: list of Layout, none longer than `num_patches` with its end.
        baseline: int, 1/1024 px from the top (`baseline`).
        patch_size: P, pixels.
        num_patches: N, width of the output in patches.

    Returns:
        uint8 (B, P, N * P); 0 black, 255 white.
    """
    cairo = load("cairo")
    width = num_patches * patch_size
    stride = cairo.ImageSurface.format_stride_for_width(cairo.FORMAT_A8, width)
    pixels = np.zeros((len(layouts), patch_size, stride), np.uint8)
    for row, layout in zip(pixels, layouts):
        surface = cairo.ImageSurface.create_for_data(
            row.reshape(-1), cairo.FORMAT_A8, width, patch_size, stride
        )
        context = cairo.Context(surface)
        for x, line in layout.lines:
            _draw_line(context, line, x * UNITS, baseline)
        surface.finish()
    pixels = np.invert(pixels, out=pixels)[:, :, :width]
    for row, layout in zip(pixels, layouts):
        for patch in layout.sep_patches:
            row[:, patch * patch_size : (patch + 1) * patch_size] = 0
        row[:, (layout.num_patches + 1) * patch_size :] = 255
    return np.ascontiguousarray(pixels)


def baseline(font, patch_size):
    """P/2 - height/2 - 2 + ascent in 1/1024 px, height in whole pixels."""
    height = -(-(font.ascent + font.descent) // UNITS)
    return (patch_size - height) * UNITS // 2 - _RAISE + font.ascent


def _draw_line(context, line, x, y):
    """Draws a line from (x, y), 1/1024 px; positions round halves up."""
    x += UNITS // 2
    y += UNITS // 2
    for run in line.runs:
        if len(run.glyphs):
            left = x + run.x
            context.set_scaled_font(run.font.drawing)
            context.show_glyphs(
                [
                    (glyph, (left + dx) >> 10, (y - dy) >> 10)
                    for glyph, dx, dy in run.glyphs.tolist()
                ]
            )
