"""One font of the stack at one size, for HarfBuzz and for Cairo.

Here: scale, hinting and antialiasing, fixed so that no system setting counts;
axes; line metrics. Not here: files (_installed.py), shaping (_shape.py).
Lengths are in units of 1/1024 px, as in Pango."""

import contextlib

from pixmodels.renderers._cairo_freetype import font_face
from pixmodels.renderers._cairo_freetype import self_check
from pixmodels.renderers._faces import colour_format
from pixmodels.renderers._faces import hb_face
from pixmodels.renderers._harfbuzz import ShapingFont
from pixmodels.renderers._installed import parse_face
from pixmodels.renderers._libraries import load

UNITS = 1024


class SizedFont:
    """A font ready to shape and to draw.

    Attributes:
        path: the font file.
        shaping: `uharfbuzz.Font`, scale = size.
        harfbuzz: ShapingFont, the same for shaping into arrays.
        drawing: `cairo.ScaledFont`; grey antialiasing, hint metrics on.
        colour: None, or the format of its colour glyphs (_faces.py).
        masks: None, or what draws its glyphs instead of Cairo (_pygame.py).
        ascent, descent: int, units.
        space: int, advance of the space, units, whole pixels.

    Args:
        path: the font file.
        face: its index, or a str `"index@axis=value,..."` for a variable
            font; axes not named keep their default.
        size: int, em in units.
        hinting: "slight" as PIXEL's PangoCairo renderer, "full" as PyGame.
    """

    def __init__(self, path, face, size, *, hinting="slight"):
        index, axes = parse_face(face)
        self.path = path
        self.shaping = load("uharfbuzz").Font(hb_face(path, face))
        self.shaping.scale = (size, size)
        self.harfbuzz = ShapingFont(path, index, size, axes)
        if axes:
            self.shaping.set_variations(axes)
        self.colour = colour_format(path, face)
        self.masks = None
        with cairo_errors(path):
            self.drawing = _scaled(
                font_face(path, index), size / UNITS, axes, hinting
            )
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


def check(path, face):
    """Raises RuntimeError where Cairo cannot draw the font (self-check)."""
    size = 16
    font = SizedFont(path, face, size * UNITS)
    glyphs = []
    for glyph in range(min(font.shaping.face.glyph_count, 256)):
        extents = font.shaping.get_glyph_extents(glyph)
        if extents is not None and extents.width > 2 * UNITS:
            glyphs.append(glyph)
    with cairo_errors(path):
        self_check(font.drawing, glyphs[:4], path, hinted=font.colour is None)


@contextlib.contextmanager
def cairo_errors(path):
    """Turns Cairo's errors, which name no file, into ValueError."""
    try:
        yield
    except load("cairo").Error as error:
        raise ValueError(
            "expected a font whose glyphs FreeType can load. Received: "
            f"{path} ({error})"
        ) from error


def _scaled(face, size, axes, hinting):
    cairo = load("cairo")
    options = cairo.FontOptions()
    options.set_antialias(cairo.ANTIALIAS_GRAY)
    options.set_hint_style(
        {"slight": cairo.HINT_STYLE_SLIGHT, "full": cairo.HINT_STYLE_FULL}[
            hinting
        ]
    )
    options.set_hint_metrics(cairo.HINT_METRICS_ON)
    if axes:
        # Cairo sets the axes of the FreeType face before each glyph.
        options.set_variations(
            ",".join(f"{tag}={value!r}" for tag, value in axes.items())
        )
    matrix = cairo.Matrix(xx=size, yy=size)
    return cairo.ScaledFont(face, matrix, cairo.Matrix(), options)
