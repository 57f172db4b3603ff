"""Faces opened by HarfBuzz, and what a renderer cannot draw refused.

Here: one open face per file and index, the kinds of colour font. Not here:
where files are (_installed.py), sizes and hinting (_font.py)."""

import functools
import os

from pixmodels.renderers._installed import parse_face
from pixmodels.renderers._libraries import load

_SFNT = (b"\0\1\0\0", b"OTTO", b"true")
_OUTLINES = {"glyf", "CFF ", "CFF2"}
_WEB = {b"wOFF": "WOFF", b"wOF2": "WOFF2"}
_CAIRO_WITH_PAINT = 11800


def hb_face(path, face):
    """Opens one face with HarfBuzz, once per process.

    Args:
        path: the file.
        face: its index, an int, or a str with axes as of `_installed.split`.

    Raises:
        ValueError: the file is not a font that can be drawn, has no such
            face, or the face no such axis.
    """
    index, axes = parse_face(face)
    found = _open(path, index)
    if axes:
        _check_axes(path, found, axes)
    return found


@functools.cache
def colour_format(path, face):
    """Colour by "CBDT" pictures or "COLR" layers; None for one colour."""
    found = hb_face(path, face)
    if found.has_color_png:  # Not sbix, which is refused.
        return "CBDT"
    if found.has_color_layers or found.has_color_paint:
        return "COLR"
    return None


@functools.cache
def _open(path, index):
    harfbuzz = load("uharfbuzz")
    face = harfbuzz.Face(harfbuzz.Blob.from_file_path(path), index)
    tags = _tables(path, index)
    if face.glyph_count == 0 or "cmap" not in tags or not face.unicodes:
        raise _refused(
            "a TrueType or OpenType font with a character map"
            + _web_font(path),
            path,
            index,
        )
    if not tags & _OUTLINES and "CBDT" not in tags:
        raise _refused(
            "a font with outlines (glyf, CFF) or colour pictures (CBDT)",
            path,
            f"{index} with the tables {', '.join(sorted(tags))}",
        )
    if "sbix" in tags:
        raise _refused(
            "colour glyphs in the format CBDT or COLR version 0",
            path,
            f"{index} with the table sbix",
        )
    if face.has_color_paint and load("cairo").cairo_version() < (
        _CAIRO_WITH_PAINT
    ):
        raise _refused(
            "colour glyphs in the format CBDT or COLR version 0 (version 1 "
            "needs cairo 1.18)",
            path,
            f"{index} with COLR version 1, "
            f"cairo {load('cairo').cairo_version_string()}",
        )
    return face


def _tables(path, index):
    """The tags of a face's tables, as a set; empty where it is no font.

    HarfBuzz and FreeType take a table that passes the end of the file as
    absent or empty; a file cut short would be drawn without a word.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = 0
        head = file.read(12)
        if head[:4] == b"ttcf":
            if index >= int.from_bytes(head[8:12], "big"):
                return set()
            file.seek(12 + 4 * index)
            start = int.from_bytes(file.read(4), "big")
            file.seek(start)
            head = file.read(12)
        elif index:
            return set()
        count = int.from_bytes(head[4:6], "big") if head[:4] in _SFNT else 0
        records = file.read(16 * count)
    tags = set()
    for record in range(0, 16 * count, 16):
        tag = records[record : record + 4].decode("latin-1")
        offset = int.from_bytes(records[record + 8 : record + 12], "big")
        length = int.from_bytes(records[record + 12 : record + 16], "big")
        if len(records) < record + 16 or offset + length > size:
            raise _refused(
                f"a whole font file (table {tag!r} ends at byte "
                f"{offset + length})",
                path,
                f"{index}, a file of {size} bytes",
            )
        tags.add(tag)
    return tags


def _check_axes(path, face, axes):
    known = {axis.tag: axis for axis in face.axis_infos}
    for tag, value in axes.items():
        axis = known.get(tag)
        if axis is None or not axis.min_value <= value <= axis.max_value:
            has = [
                f"{a.tag} from {a.min_value:g} to {a.max_value:g}"
                for a in known.values()
            ]
            raise ValueError(
                "expected axes of the variable font, which has: "
                f"{', '.join(has) or 'none'}. Received: {tag}={value:g} for "
                f"{path}"
            )


def _web_font(path):
    with open(path, "rb") as file:
        name = _WEB.get(file.read(4))
    if name is None:
        return ""
    return (
        f" ({name} is not read; unpack it with fontTools.ttLib: "
        "font.flavor = None; font.save(...))"
    )


def _refused(wanted, path, face):
    return ValueError(f"expected {wanted}. Received: {path}, face {face}")
