"""Draws shaped lines into grey patches, by Cairo.

Here: the baseline, glyph positions, black patches, white to the right of the
end. Not here: where lines start (_layout.py). Runs are laid one over the
other, glyphs of one run are added, as Cairo does."""

import numpy as np

from pixmodels.renderers._cairo_glyphs import place
from pixmodels.renderers._cairo_glyphs import show_glyphs
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._libraries import load
from pixmodels.renderers._memory import white

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
    shape = (len(layouts), patch_size, num_patches * patch_size)
    pixels = white(shape)
    # Drawing needs rows of whole words, and no more width than there is ink.
    stride = cairo.ImageSurface.format_stride_for_width(
        cairo.FORMAT_A8, shape[2]
    )
    canvas = np.zeros((patch_size, stride), np.uint8)
    for row, layout in zip(pixels, layouts):
        end = layout.num_patches * patch_size
        for x, columns in layout.strips:
            strip = np.frombuffer(columns, np.uint8).reshape(-1, patch_size)
            row[:, x : x + len(strip)] = strip.T
        if layout.lines:
            surface = cairo.ImageSurface.create_for_data(
                canvas.reshape(-1), cairo.FORMAT_A8, end, patch_size, stride
            )
            context = cairo.Context(surface)
            for x, line in layout.lines:
                _draw_line(context, line, x * UNITS, baseline)
            surface.finish()
            ink = canvas[:, :end]
            np.invert(ink, out=row[:, :end])
            ink.fill(0)
        for patch in layout.sep_patches:
            row[:, patch * patch_size : (patch + 1) * patch_size] = 0
    return pixels


def baseline(font, patch_size):
    """P/2 - height/2 - 2 + ascent in 1/1024 px, height in whole pixels."""
    height = -(-(font.ascent + font.descent) // UNITS)
    return (patch_size - height) * UNITS // 2 - _RAISE + font.ascent


def _draw_line(context, line, x, y):
    """Draws a line from (x, y), 1/1024 px."""
    for run in line.runs:
        if len(run.glyphs):
            context.set_scaled_font(run.font.drawing)
            show_glyphs(context, place(run.glyphs, x + run.x, y))
