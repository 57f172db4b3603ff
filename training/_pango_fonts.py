"""Pango and fontconfig for one font file, whatever the machine's settings.

Here: imports with a clear error, a font map of its own per font file, the
language. Not here: drawing (_pango.py)."""

import ctypes
import functools
import locale
import os

_INSTALL = (
    "apt-get install gir1.2-pango-1.0 libgirepository1.0-dev libcairo2-dev "
    "gcc pkg-config && pip install 'PyGObject>=3.50,<3.51'"
)
# One font, slight hinting, nothing of the system's settings.
_SETTINGS = b"""<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><match target="pattern">
<edit name="antialias" mode="assign"><bool>true</bool></edit>
<edit name="hinting" mode="assign"><bool>true</bool></edit>
<edit name="hintstyle" mode="assign"><const>hintslight</const></edit>
<edit name="autohint" mode="assign"><bool>false</bool></edit>
<edit name="rgba" mode="assign"><const>none</const></edit>
<edit name="lcdfilter" mode="assign"><const>lcdnone</const></edit>
</match></fontconfig>"""


@functools.cache
def libraries():
    """`(cairo, Pango, PangoCairo)`, with Pango's language set to "c"."""
    try:
        import cairo
        import gi

        gi.require_foreign("cairo")
        gi.require_version("Pango", "1.0")
        gi.require_version("PangoCairo", "1.0")
        from gi.repository import Pango
        from gi.repository import PangoCairo
    except (ImportError, ValueError) as error:
        raise ImportError(
            "expected PyGObject and Pango, which this comparison needs: "
            f"{_INSTALL}. Received: {error}"
        ) from error
    # Pango reads the locale once. It selects letter forms of Han and Serbian.
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        language = Pango.Language.get_default().to_string()
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    if language != "c":
        raise RuntimeError(
            "expected a process in which Pango was not yet used, or the "
            f'locale "C". Received: Pango language {language!r}'
        )
    return cairo, Pango, PangoCairo


def font_map(pango_cairo, path):
    """A PangoCairo font map that knows one font file and no other.

    Raises:
        ValueError: fontconfig finds no font in the file.
    """
    pointer = ctypes.c_void_p
    fontconfig = ctypes.CDLL("libfontconfig.so.1")
    fontconfig.FcConfigCreate.restype = pointer
    fontconfig.FcConfigParseAndLoadFromMemory.argtypes = [
        pointer,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    fontconfig.FcConfigAppFontAddFile.argtypes = [pointer, ctypes.c_char_p]
    fontconfig.FcConfigDestroy.argtypes = [pointer]
    config = fontconfig.FcConfigCreate()
    loaded = fontconfig.FcConfigParseAndLoadFromMemory(config, _SETTINGS, 1)
    if not loaded or not fontconfig.FcConfigAppFontAddFile(
        config, os.fsencode(path)
    ):
        fontconfig.FcConfigDestroy(config)
        raise ValueError(f"expected a font file. Received: {path}")
    made = pango_cairo.FontMap.new()
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = pointer
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    pango = ctypes.CDLL("libpangoft2-1.0.so.0")
    pango.pango_fc_font_map_set_config.argtypes = [pointer, pointer]
    pango.pango_fc_font_map_set_config(get(made.__gpointer__, None), config)
    fontconfig.FcConfigDestroy(config)  # The map holds a reference.
    return made


def family_name(path, index):
    """The family of a face as its name table says (name 1)."""
    from fontTools import ttLib

    with ttLib.TTFont(path, fontNumber=index, lazy=True) as font:
        return font["name"].getDebugName(1)
