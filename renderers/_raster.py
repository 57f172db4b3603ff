"""Draws shaped lines onto canvases, by Cairo.

Here: the baseline, glyph positions, black patches, paper to the right of the
end. Not here: where lines start (_layout.py), colours (_palette.py). Runs are
laid one over the other, glyphs of one run are added, as Cairo does."""

import numpy as np

from pixmodels.renderers._cairo_glyphs import GLYPH
from pixmodels.renderers._cairo_glyphs import place
from pixmodels.renderers._cairo_glyphs import show_glyphs
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import cairo_errors
from pixmodels.renderers._libraries import load
from pixmodels.renderers._memory import filled
from pixmodels.renderers._palette import Palette

_RAISE = 2 * UNITS  # PIXEL draws 2 px above the centre.
_FOREGROUND = 0xFFFF  # The palette index that means the ink.
_GREY = Palette()


def draw(layouts, baseline, patch_size, num_patches, palette=_GREY):
    """Pixels of a batch, one row of patches a text.

    Args:
        layouts: list of Layout, none longer than `num_patches` with its end.
        baseline: int, 1/1024 px from the top (`baseline`), or a function of
            (layout, line) that returns it.
        patch_size: side in pixels, or (height, width).
        num_patches: N, width of the output in patches.
        palette: Palette.

    Returns:
        uint8 (B, height, N * width[, 3]); black patches have the ink's colour.
    """
    height, side = sides(patch_size)
    pixels = filled((len(layouts), height, num_patches * side), palette.paper)
    # Of no more width than there is ink.
    drawn = (x.num_patches for x in layouts if not x.strips and x.lines)
    longest = max(drawn, default=0)
    canvas = _empty(height, longest * side)
    column = (-1, height, *pixels.shape[3:])
    for row, layout in zip(pixels, layouts):
        if layout.strips:
            for x, columns in layout.strips:
                strip = np.frombuffer(columns, np.uint8).reshape(column)
                row[:, x : x + len(strip)] = strip.swapaxes(0, 1)
        elif layout.lines:
            _draw_row(row, canvas, layout, baseline, side, palette)
    _blacken(pixels, layouts, side, palette)
    return pixels


def _blacken(pixels, layouts, side, palette):
    """Fills the separators and ends of a batch with the ink's colour."""
    places = [
        (row, patch)
        for row, layout in enumerate(layouts)
        for patch in layout.sep_patches
    ]
    if places:
        row, patch = np.array(places).T
        batch, height, width = pixels.shape[:3]
        patches = (batch, height, width // side, side, *pixels.shape[3:])
        pixels.reshape(patches)[row, :, patch] = palette.ink


def _draw_row(row, canvas, layout, baseline, side, palette):
    """Draws the lines of a layout up to its end patch."""
    width = layout.num_patches * side
    lines = [
        (x, baseline(layout, line) if callable(baseline) else baseline, line)
        for x, line in layout.lines
    ]
    picture = _cover(canvas, lines, width, palette)
    cover = canvas[:, :width]
    palette.pixels(cover, row[:, :width])
    cover.fill(0)
    if picture is not None:
        palette.lay_over(row[:, :width], picture)


def draw_lines(lines, height, width, palette=_GREY):
    """One canvas with lines anywhere on it; what lies outside is clipped.

    Args:
        lines: list of (x, y, Line): x the left edge of the line in pixels, y
            its baseline in 1/1024 px from the top.
        height, width: pixels.
        palette: Palette.

    Returns:
        uint8 (height, width[, 3]).
    """
    cover = _empty(height, width)
    picture = _cover(cover, lines, width, palette)
    pixels = filled((height, width), palette.paper)
    palette.pixels(cover[:, :width], pixels)
    if picture is not None:
        palette.lay_over(pixels, picture)
    return pixels


def baseline(font, patch_height):
    """P/2 - height/2 - 2 + ascent in 1/1024 px, height in whole pixels."""
    height = -(-(font.ascent + font.descent) // UNITS)
    return (patch_height - height) * UNITS // 2 - _RAISE + font.ascent


def sides(patch_size):
    """(height, width) of a patch in pixels, from an int or a pair."""
    if isinstance(patch_size, int):
        return patch_size, patch_size
    return tuple(patch_size)


def _empty(height, width):
    """Coverage 0, uint8 (height, stride); Cairo pads its rows."""
    cairo = load("cairo")
    stride = cairo.ImageSurface.format_stride_for_width(cairo.FORMAT_A8, width)
    return np.zeros((height, stride), np.uint8)


def _cover(cover, lines, width, palette):
    """Adds the ink of lines to `cover` (H, stride), in place.

    Returns:
        uint32 (H, width), premultiplied ARGB, of the colour glyphs, which
        stand above all others; None where there are none.
    """
    cairo = load("cairo")
    height, stride = cover.shape
    surface = cairo.ImageSurface.create_for_data(
        cover.reshape(-1), cairo.FORMAT_A8, width, height, stride
    )
    context = cairo.Context(surface)
    coloured = []
    for x, y, line in lines:
        for run in line.runs:
            if len(run.glyphs) == 0:
                continue
            font = run.font
            placed = place(run.glyphs, x * UNITS + run.x, y)
            if font.colour:
                coloured.append((font, placed))
            elif font.masks is not None:
                surface.flush()
                font.masks.draw(cover[:, :width], placed.tolist())
                surface.mark_dirty()
            else:
                context.set_scaled_font(font.drawing)
                _show(context, font, placed)
    surface.finish()
    if coloured:
        return _picture(coloured, height, width, palette)
    return None


def _show(context, font, placed):
    show_glyphs(context, placed)
    with cairo_errors(font.path):
        context.new_path()  # Raises what went wrong before.


def _picture(coloured, height, width, palette):
    cairo = load("cairo")
    picture = np.zeros((height, width), np.uint32)
    surface = cairo.ImageSurface.create_for_data(
        picture.view(np.uint8).reshape(-1),
        cairo.FORMAT_ARGB32,
        width,
        height,
        width * 4,
    )
    context = cairo.Context(surface)
    ink = tuple(level / 255 for level in palette.ink_rgb)
    for font, placed in coloured:
        context.set_scaled_font(font.drawing)
        context.set_source_rgb(*ink)
        if font.colour == "CBDT":
            _show(context, font, placed)
        else:
            for glyph in placed.tolist():
                _draw_layers(context, font, glyph, ink)
    surface.finish()
    return picture


def _draw_layers(context, font, glyph, ink):
    """One glyph of a COLR font, layer by layer from the bottom.

    Cairo 1.16 draws the layers that are to have the ink's colour in black.
    """
    face = font.shaping.face
    layers = face.get_glyph_color_layers(glyph[0])
    if not layers:
        context.set_source_rgb(*ink)
        _show(context, font, np.array([glyph], GLYPH))
    colors = face.color_palettes[0].colors if layers else ()
    for layer in layers:
        if layer.color_index == _FOREGROUND:
            context.set_source_rgb(*ink)
        else:
            red, green, blue, alpha = colors[layer.color_index]
            context.set_source_rgba(
                red / 255, green / 255, blue / 255, alpha / 255
            )
        _show(context, font, np.array([(layer.glyph, *glyph[1:])], GLYPH))
