"""Cairo font faces from FreeType faces, which pycairo has no call for.

Here: the binding by ctypes and its self-check. Not here: sizes and drawing
(_font.py). Symbols are looked up through pycairo's own module, so they come
from the very libcairo and libfreetype that pycairo is linked with."""

import ctypes
import functools
import importlib

from pixmodels.renderers._forks import lock
from pixmodels.renderers._libraries import load

_LOCK = lock(inner=True)


@functools.cache
def _binding():
    """`(library, wrap)`: the C functions, and pointer -> cairo.FontFace."""
    cairo = load("cairo")
    try:
        library = ctypes.CDLL(importlib.import_module("cairo._cairo").__file__)
        library.FT_Init_FreeType.argtypes = [ctypes.c_void_p]
        library.FT_New_Face.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_long,
            ctypes.c_void_p,
        ]
        create = library.cairo_ft_font_face_create_for_ft_face
        create.argtypes = [ctypes.c_void_p, ctypes.c_int]
        create.restype = ctypes.c_void_p
        version = library.cairo_version()
    except (AttributeError, OSError) as error:
        raise _broken(f"a symbol or library is missing: {error}") from error
    if version != cairo.cairo_version():
        raise _broken(f"two libcairo in one process, {version} is linked")
    return library, _wrapper(cairo)


def _wrapper(cairo):
    """pycairo's own function that wraps a cairo_font_face_t pointer.

    The C table `cairo.CAPI` begins with: Context type, its constructor,
    FontFace type, ToyFontFace type, FontFace constructor.
    """
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = (ctypes.c_void_p * 5).from_address(get(cairo.CAPI, b"cairo.CAPI"))
    types = (cairo.Context, cairo.FontFace, cairo.ToyFontFace)
    if (table[0], table[2], table[3]) != tuple(map(id, types)):
        raise _broken("pycairo's C table has another layout")
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(table[4])


@functools.cache
def _freetype():
    library = _binding()[0]
    handle = ctypes.c_void_p()
    error = library.FT_Init_FreeType(ctypes.byref(handle))
    if error:
        raise _broken(f"FT_Init_FreeType gives error {error}")
    return handle


@functools.cache
def _open(path, index):
    library, wrap = _binding()
    face = ctypes.c_void_p()
    error = library.FT_New_Face(
        _freetype(), path.encode(), index, ctypes.byref(face)
    )
    if error:
        raise ValueError(
            "expected a font that FreeType can open. "
            f"Received: {path}, face {index} (FreeType error {error})"
        )
    # The FreeType face lives as long as the process: Cairo may use it as long
    # as any scaled font made from it does.
    return wrap(library.cairo_ft_font_face_create_for_ft_face(face, 0))


def font_face(path, index):
    """A `cairo.FontFace` for one face of a font file, once per process.

    Raises:
        ValueError: FreeType cannot open the file.
        RuntimeError: pycairo's libraries do not fit together.
    """
    with _LOCK:
        return _open(path, index)


def self_check(scaled_font, glyphs, name="", hinted=True):
    """Draws glyphs that have ink; RuntimeError unless Cairo draws them.

    Args:
        scaled_font: `cairo.ScaledFont` over a face of `font_face`.
        glyphs: list of int, glyph ids that have an outline or a picture.
        name: of the font, for messages: it may be damaged itself.
        hinted: whether metrics must be whole pixels; pictures are scaled.
    """
    cairo = load("cairo")
    surface = cairo.ImageSurface(cairo.FORMAT_A8, 64, 64)
    context = cairo.Context(surface)
    context.set_scaled_font(scaled_font)
    context.show_glyphs([(glyph, 16, 48) for glyph in glyphs])
    surface.flush()
    if glyphs and not any(bytes(surface.get_data())):
        raise _broken(f"glyphs with an outline leave no ink ({name})")
    ascent, descent = scaled_font.extents()[:2]
    if hinted and any(abs(v - round(v)) > 1e-3 for v in (ascent, descent)):
        raise _broken(
            f"font metrics are not hinted: {ascent}, {descent} ({name})"
        )


def _broken(reason):
    cairo = load("cairo")
    return RuntimeError(
        "expected pycairo built against a shared libcairo with FreeType "
        "support (apt-get install libcairo2-dev pkg-config && pip install "
        f"--no-binary pycairo pycairo). Received: pycairo {cairo.version}, "
        f"cairo {cairo.cairo_version_string()}: {reason}"
    )
