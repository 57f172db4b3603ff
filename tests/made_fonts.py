"""Small fonts made for the tests: layers, axes, missing tables."""

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

EMOJI = "\U0001f600"


def box(left, bottom, right, top):
    pen = TTGlyphPen(None)
    pen.moveTo((left, bottom))
    for point in ((left, top), (right, top), (right, bottom)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


def builder(family="Made", style="Regular"):
    """1000 units an em: A and the left half of EMOJI are a box 500 x 800."""
    font = FontBuilder(1000, isTTF=True)
    glyphs = {
        ".notdef": box(100, 0, 500, 700),
        "space": TTGlyphPen(None).glyph(),
        "base": box(0, 0, 1000, 800),
        "left": box(0, 0, 500, 800),
        "right": box(500, 0, 1000, 800),
    }
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({32: "space", 65: "left", ord(EMOJI): "base"})
    font.setupGlyf(glyphs)
    # FreeType moves an outline to where its left side bearing says.
    bearings = {".notdef": 100, "right": 500}
    font.setupHorizontalMetrics(
        {name: (1000, bearings.get(name, 0)) for name in glyphs}
    )
    font.setupHorizontalHeader(ascent=900, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": style})
    font.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=200)
    font.setupPost()
    return font


def layered(path, version=0, foreground=False):
    """EMOJI is red at the left and half-transparent blue (or ink) right."""
    font = builder()
    right = 0xFFFF if foreground else 1
    if version == 0:
        font.setupCOLR({"base": [("left", 0), ("right", right)]})
    else:
        paint = {
            "Format": 10,
            "Glyph": "left",
            "Paint": {"Format": 2, "PaletteIndex": 0, "Alpha": 1.0},
        }
        font.setupCOLR({"base": {"Format": 1, "Layers": [paint, paint]}})
    font.setupCPAL([[(1, 0, 0, 1), (0, 0, 1, 128 / 255)]])
    font.save(path)
    return str(path)


def variable(path):
    """A's right edge goes from 500 to 900 as `wght` goes from 400 to 900."""
    font = builder()
    font.setupFvar([("wght", 100, 400, 900, "Weight")], [])
    corners = [(0, 0), (0, 0), (400, 0), (400, 0)]
    phantoms = [(0, 0), (300, 0), (0, 0), (0, 0)]
    from fontTools.ttLib.tables.TupleVariation import TupleVariation

    font.setupGvar(
        {"left": [TupleVariation({"wght": (0, 1, 1)}, corners + phantoms)]}
    )
    font.save(path)
    return str(path)
