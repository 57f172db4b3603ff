"""HarfBuzz shaping into numpy arrays.

Here: the functions of uharfbuzz's own library called by ctypes, since its
Python objects cost several times the shaping. Not here: runs and rounding
(_shape.py), the files (font_stack.py)."""

import ctypes
import functools

import numpy as np

from pixmodels.renderers._libraries import load

UNSAFE_TO_BREAK = 1  # HB_GLYPH_FLAG_UNSAFE_TO_BREAK, in masks.
_FLAGS = 3  # HB_BUFFER_FLAG_BOT | HB_BUFFER_FLAG_EOT
_MONOTONE_CHARACTERS = 1
_DIRECTIONS = (4, 5)  # HB_DIRECTION_LTR, HB_DIRECTION_RTL
# hb_glyph_info_t is (codepoint, mask, cluster, private, private),
# hb_glyph_position_t (x_advance, y_advance, x_offset, y_offset, private).
_FIELDS = 5

_PTR = ctypes.c_void_p
_INT = ctypes.c_int
_UINT = ctypes.c_uint
_TAG = ctypes.c_uint32
_SIGNATURES = {
    "hb_blob_create_from_file_or_fail": (_PTR, [ctypes.c_char_p]),
    "hb_blob_destroy": (None, [_PTR]),
    "hb_face_create": (_PTR, [_PTR, _UINT]),
    "hb_font_create": (_PTR, [_PTR]),
    "hb_font_set_scale": (None, [_PTR, _INT, _INT]),
    "hb_font_set_variations": (None, [_PTR, _PTR, _UINT]),
    "hb_font_get_face": (_PTR, [_PTR]),
    "hb_aat_layout_has_substitution": (_INT, [_PTR]),
    "hb_aat_layout_has_positioning": (_INT, [_PTR]),
    "hb_ot_layout_table_get_lookup_count": (_UINT, [_PTR, _TAG]),
    "hb_ot_layout_lookup_collect_glyphs": (
        None,
        [_PTR, _TAG, _UINT, _PTR, _PTR, _PTR, _PTR],
    ),
    "hb_set_create": (_PTR, []),
    "hb_set_has": (_INT, [_PTR, ctypes.c_uint32]),
    "hb_set_destroy": (None, [_PTR]),
    "hb_buffer_create": (_PTR, []),
    "hb_buffer_set_flags": (None, [_PTR, _UINT]),
    "hb_buffer_set_cluster_level": (None, [_PTR, _UINT]),
    "hb_buffer_clear_contents": (None, [_PTR]),
    "hb_buffer_add_utf32": (None, [_PTR, _PTR, _INT, _UINT, _INT]),
    "hb_buffer_set_direction": (None, [_PTR, _UINT]),
    "hb_buffer_set_script": (None, [_PTR, _TAG]),
    "hb_buffer_set_language": (None, [_PTR, _PTR]),
    "hb_language_from_string": (_PTR, [ctypes.c_char_p, _INT]),
    "hb_shape": (None, [_PTR, _PTR, _PTR, _UINT]),
    "hb_buffer_get_glyph_infos": (_PTR, [_PTR, ctypes.POINTER(_UINT)]),
    "hb_buffer_get_glyph_positions": (_PTR, [_PTR, ctypes.POINTER(_UINT)]),
}


class _Variation(ctypes.Structure):
    """hb_variation_t."""

    _fields_ = (("tag", ctypes.c_uint32), ("value", ctypes.c_float))


class Feature(ctypes.Structure):
    """hb_feature_t over the whole buffer."""

    _fields_ = (
        ("tag", ctypes.c_uint32),
        ("value", ctypes.c_uint32),
        ("start", _UINT),
        ("end", _UINT),
    )

    @classmethod
    def off(cls, name):
        """The feature `name`, switched off."""
        return cls(tag(name), 0, 0, 0xFFFFFFFF)


def tag(name):
    """A four-letter name as the integer that OpenType uses."""
    return int.from_bytes(name.encode("ascii"), "big")


@functools.cache
def library():
    """uharfbuzz's extension as a C library; its functions have types.

    Raises:
        ImportError: uharfbuzz is missing.
        RuntimeError: this build of it hides HarfBuzz's functions.
    """
    module = load("uharfbuzz")._harfbuzz
    try:
        found = ctypes.CDLL(module.__file__)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype = result
            function.argtypes = arguments
    except (AttributeError, OSError) as error:
        raise RuntimeError(
            "expected a uharfbuzz whose library exports HarfBuzz's functions "
            "(pip install --force-reinstall uharfbuzz). "
            f"Received: {module.__file__}: {error}"
        ) from error
    return found


class ShapingFont:
    """One face at one scale, for HarfBuzz. Lives as long as the process.

    Args:
        path, index: the font file and its face, known to be good.
        size: int, em and scale in 1/1024 px.
        axes: dict from the tag of a variable font's axis to its value.
    """

    def __init__(self, path, index, size, axes=None):
        hb = library()
        blob = hb.hb_blob_create_from_file_or_fail(path.encode())
        if not blob:
            raise ValueError(f"expected a readable font. Received: {path}")
        face = hb.hb_face_create(blob, index)
        hb.hb_blob_destroy(blob)
        self.pointer = hb.hb_font_create(face)
        hb.hb_font_set_scale(self.pointer, size, size)
        if axes:
            settings = (_Variation * len(axes))()
            for setting, (name, value) in zip(settings, axes.items()):
                setting.tag, setting.value = tag(name), value
            hb.hb_font_set_variations(self.pointer, settings, len(axes))

    def has_rules_for(self, glyph):
        """Whether a layout rule names a glyph, or rules cannot be asked.

        Args:
            glyph: int, glyph id.

        Returns:
            bool; always True with Apple's tables, which have no such sets.
        """
        hb = library()
        face = hb.hb_font_get_face(self.pointer)
        if hb.hb_aat_layout_has_substitution(face):
            return True
        if hb.hb_aat_layout_has_positioning(face):
            return True
        named = hb.hb_set_create()
        for table in (tag("GSUB"), tag("GPOS")):
            count = hb.hb_ot_layout_table_get_lookup_count(face, table)
            for lookup in range(count):
                hb.hb_ot_layout_lookup_collect_glyphs(
                    face, table, lookup, named, named, named, None
                )
        found = bool(hb.hb_set_has(named, glyph))
        hb.hb_set_destroy(named)
        return found


class Buffer:
    """A HarfBuzz buffer that is used again for every run. Not thread safe.

    Args:
        language: BCP 47 tag, "c" for none.
    """

    def __init__(self, language):
        hb = self._hb = library()
        self._buffer = hb.hb_buffer_create()
        hb.hb_buffer_set_flags(self._buffer, _FLAGS)
        hb.hb_buffer_set_cluster_level(self._buffer, _MONOTONE_CHARACTERS)
        name = language.encode()
        self._language = hb.hb_language_from_string(name, len(name))
        self._count = _UINT()

    def shape(self, font, text, start, end, level, script, features=None):
        """Shapes characters `start:end` with the rest as context.

        Args:
            font: ShapingFont.
            text: bytes, UTF-32 in the machine's order.
            start, end: int, characters.
            level: int, odd for right to left.
            script: int, tag of the ISO 15924 script.
            features: ctypes array of Feature, or None.

        Returns:
            `(infos, positions)`: int32 (n, 5) each, valid until the next
            call; columns as in hb_glyph_info_t and hb_glyph_position_t.
        """
        hb, buffer = self._hb, self._buffer
        hb.hb_buffer_clear_contents(buffer)
        count = len(text) >> 2
        hb.hb_buffer_add_utf32(buffer, text, count, start, end - start)
        hb.hb_buffer_set_direction(buffer, _DIRECTIONS[level & 1])
        hb.hb_buffer_set_script(buffer, script)
        hb.hb_buffer_set_language(buffer, self._language)
        number = 0 if features is None else len(features)
        hb.hb_shape(font.pointer, buffer, features, number)
        size = self._count
        infos = hb.hb_buffer_get_glyph_infos(buffer, size)
        positions = hb.hb_buffer_get_glyph_positions(buffer, size)
        return _rows(infos, size.value), _rows(positions, size.value)


def _rows(address, count):
    if not count:
        return np.empty((0, _FIELDS), np.int32)
    memory = (ctypes.c_int32 * (count * _FIELDS)).from_address(address)
    return np.frombuffer(memory, np.int32).reshape(count, _FIELDS)
