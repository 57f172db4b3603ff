"""One font of the stack at one size, for HarfBuzz and for Cairo.

Here: scale, hinting and antialiasing, fixed so that no system setting counts;
line metrics. Not here: files (font_stack.py), shaping (_shape.py). Lengths are
in units of 1/1024 px, as in Pango."""

from pixmodels.renderers._cairo_freetype import font_face
from pixmodels.renderers._cairo_freetype import self_check
from pixmodels.renderers._harfbuzz import ShapingFont
from pixmodels.renderers._libraries import load
from pixmodels.renderers.font_stack import hb_face

UNITS = 1024


class SizedFont:
    """A font ready to shape and to draw.

    Attributes:
        shaping: `uharfbuzz.Font`, scale = size.
        harfbuzz: ShapingFont, the same for shaping into arrays.
        drawing: `cairo.ScaledFont`; hint style slight, grey antialiasing,
            hint metrics on.
        ascent, descent: int, units.
        space: int, advance of the space, units, whole pixels.

    Args:
        path, index: the font file and its face.
        size: int, em in units.
    """

    def __init__(self, path, index, size):
        face = hb_face(path, index)
        self.shaping = load("uharfbuzz").Font(face)
        self.shaping.scale = (size, size)
        self.harfbuzz = ShapingFont(path, index, size)
        self.drawing = _scaled(font_face(path, index), size / UNITS)
        ascent, descent = self.drawing.extents()[:2]
        # Cairo returns 14.999999999999998 for 15.
        self.ascent = round(ascent * UNITS)
        self.descent = round(descent * UNITS)
        self.space = self._space(size)

    def _space(self, size):
        glyph = self.shaping.get_nominal_glyph(ord(" "))
        if glyph is None:
            return round_to_pixel(size // 4)
        return round_to_pixel(self.shaping.get_glyph_h_advance(glyph))


def round_to_pixel(length):
    """The nearest whole pixel, halves up; both in units."""
    return (length + UNITS // 2) // UNITS * UNITS


def check(path, index):
    """Raises RuntimeError where Cairo cannot draw the font (self-check)."""
    size = 16
    shaping = load("uharfbuzz").Font(hb_face(path, index))
    shaping.scale = (size, size)
    glyphs = []
    for glyph in range(min(shaping.face.glyph_count, 256)):
        extents = shaping.get_glyph_extents(glyph)
        if extents is not None and extents.width > 2:
            glyphs.append(glyph)
    self_check(_scaled(font_face(path, index), size), glyphs[:4])


def _scaled(face, size):
    cairo = load("cairo")
    options = cairo.FontOptions()
    options.set_antialias(cairo.ANTIALIAS_GRAY)
    options.set_hint_style(cairo.HINT_STYLE_SLIGHT)
    options.set_hint_metrics(cairo.HINT_METRICS_ON)
    matrix = cairo.Matrix(xx=size, yy=size)
    return cairo.ScaledFont(face, matrix, cairo.Matrix(), options)
