"""Glyphs from numpy arrays onto a pycairo context.

Here: cairo_show_glyphs by ctypes, as a list of tuples costs pycairo as much
as the drawing. Not here: fonts (_cairo_freetype.py), positions (_raster.py)."""

import ctypes
import functools
import importlib

import numpy as np

from pixmodels.renderers._libraries import load

# cairo_glyph_t: unsigned long index, double x, double y.
GLYPH = np.dtype(
    [("index", np.dtype(ctypes.c_ulong)), ("x", "f8"), ("y", "f8")]
)
# A pycairo Context is the head of a Python object, then its cairo_t pointer.
_POINTER = object.__basicsize__
_WIDTH = 7.25


@functools.cache
def _show_glyphs():
    cairo = load("cairo")
    library = ctypes.CDLL(importlib.import_module("cairo._cairo").__file__)
    library.cairo_get_line_width.argtypes = [ctypes.c_void_p]
    library.cairo_get_line_width.restype = ctypes.c_double
    context = cairo.Context(cairo.ImageSurface(cairo.FORMAT_A8, 1, 1))
    context.set_line_width(_WIDTH)
    if library.cairo_get_line_width(_pointer(context)) != _WIDTH:
        raise RuntimeError(
            "expected a pycairo whose Context holds its cairo_t first. "
            f"Received: pycairo {cairo.version}"
        )
    library.cairo_show_glyphs.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int,
    ]
    library.cairo_show_glyphs.restype = None
    return library.cairo_show_glyphs


def _pointer(context):
    return ctypes.c_void_p.from_address(id(context) + _POINTER).value


def show_glyphs(context, glyphs):
    """Draws glyphs in one call with the context's font.

    Args:
        context: `cairo.Context`.
        glyphs: array (n,) of dtype `GLYPH`, contiguous; x and y in pixels.
    """
    _show_glyphs()(_pointer(context), glyphs.ctypes.data, len(glyphs))


def place(glyphs, x, y):
    """Glyphs at whole pixels, halves rounded up (Cairo 1.16's rule).

    Args:
        glyphs: int32 (n, 3): glyph id, x and, upwards, y; 1/1024 px.
        x, y: where their origin stands, 1/1024 px; int or int (n,).

    Returns:
        (n,) `GLYPH`.
    """
    placed = np.empty(len(glyphs), GLYPH)
    placed["index"] = glyphs[:, 0]
    placed["x"] = (glyphs[:, 1] + (x + 512)) >> 10
    placed["y"] = ((y + 512) - glyphs[:, 2]) >> 10
    return placed
