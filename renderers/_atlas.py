"""Masks of glyphs at whole pixels, and the rule by which they overlap.

Here: `GlyphAtlas`, drawn once by Cairo, kept as bytes; `add` and `over`. Not
here: which glyphs a text has (_shape.py, _atlas_shaping.py), where they go.
The rule: inside a run (one level, script and font) coverage adds up and stops
at 255; a run is laid over the runs before it, as ink over ink."""

import numpy as np

from pixmodels.renderers._libraries import load

_BATCH = 256  # Glyphs drawn on one surface.
_MARGIN = 4  # Pixels round an outline: hinting and blur move its edge.


def add(below, above):
    """Coverage of two glyphs of one run: their sum, at most 255.

    Args:
        below, above: uint8 arrays of one shape, 0 none, 255 full.
    """
    return below + np.minimum(above, 255 - below)


def over(below, above):
    """Coverage of two runs: `below + above - round(below * above / 255)`.

    The rounding is that of Cairo's image surfaces (pixman's 8 bit product).
    It is the same with the two exchanged.
    """
    product = below.astype(np.uint16) * above + 128
    product = (product + (product >> 8)) >> 8
    return (below.astype(np.uint16) + above - product).astype(np.uint8)


class GlyphAtlas:
    """Masks of the glyphs of some fonts at one size.

    A mask is what Cairo draws with the glyph's origin on a whole pixel. The
    pens of the renderers are whole, so no other position is needed.

    Args:
        fonts: dict font index -> SizedFont.

    Example:
        >>> from pixmodels.renderers import FontStack
        >>> from pixmodels.renderers._font import SizedFont
        >>> path = FontStack(["NotoSans-Regular.ttf"]).entry(0)
        >>> atlas = GlyphAtlas({0: SizedFont(*path, 13653)})
        >>> left, top, mask = atlas.mask(0, 57)
        >>> left, top, mask.shape
        (0, -9, (9, 8))
    """

    def __init__(self, fonts):
        self._fonts = fonts
        self._masks = {}

    def __len__(self):
        return len(self._masks)

    @property
    def nbytes(self):
        """Bytes of all masks drawn so far."""
        return sum(mask.size for _, _, mask in self._masks.values())

    def mask(self, font, glyph):
        """`(left, top, mask)`: of its upper left pixel against the origin.

        `left` counts pixels to the right, `top` downwards; `mask` is uint8
        (height, width), cut to its ink, (0, 0) where there is none.
        """
        found = self._masks.get((font, glyph))
        if found is None:
            self.draw(font, [glyph])
            found = self._masks[font, glyph]
        return found

    def draw(self, font, glyphs):
        """Draws the masks of many glyphs of one font, those not yet known."""
        todo = [
            g for g in dict.fromkeys(glyphs) if (font, g) not in self._masks
        ]
        for start in range(0, len(todo), _BATCH):
            self._draw(font, todo[start : start + _BATCH])

    def _draw(self, font, glyphs):
        sized = self._fonts[font]
        left, top, width, height = _cell(sized, glyphs)
        columns = max(1, min(len(glyphs), 4096 // width))
        rows = -(-len(glyphs) // columns)
        canvas = _show(
            sized.drawing,
            columns * width,
            rows * height,
            [
                (g, n % columns * width + left, n // columns * height + top)
                for n, g in enumerate(glyphs)
            ],
        )
        cells = canvas.reshape(rows, height, columns, width)
        cells = cells.transpose(0, 2, 1, 3).reshape(-1, height, width)
        for glyph, cell in zip(glyphs, cells):
            self._masks[font, glyph] = _cut(cell, left, top)


def _cell(sized, glyphs):
    """Origin and size of a cell that holds each glyph; whole pixels."""
    x0 = y0 = x1 = y1 = 0
    for glyph in glyphs:
        box = sized.shaping.get_glyph_extents(glyph)
        if box is not None:  # y upwards, height negative
            x0 = min(x0, box.x_bearing)
            x1 = max(x1, box.x_bearing + box.width)
            y1 = max(y1, box.y_bearing)
            y0 = min(y0, box.y_bearing + box.height)
    left = -(x0 // 1024) + _MARGIN
    top = -(-y1 // 1024) + _MARGIN
    return (
        left,
        top,
        left - (-x1 // 1024) + _MARGIN,
        (top - (y0 // 1024) + _MARGIN),
    )


def _show(font, width, height, glyphs):
    cairo = load("cairo")
    stride = cairo.ImageSurface.format_stride_for_width(cairo.FORMAT_A8, width)
    canvas = np.zeros((height, stride), np.uint8)
    surface = cairo.ImageSurface.create_for_data(
        canvas.reshape(-1), cairo.FORMAT_A8, width, height, stride
    )
    context = cairo.Context(surface)
    context.set_scaled_font(font)
    context.show_glyphs(glyphs)
    surface.finish()
    return canvas[:, :width]


def _cut(cell, left, top):
    """The ink of a cell whose origin is at (left, top)."""
    columns = np.flatnonzero(cell.any(0))
    if not len(columns):
        return 0, 0, cell[:0, :0]
    rows = np.flatnonzero(cell.any(1))
    ink = cell[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(columns[0]) - left, int(rows[0]) - top, ink.copy()
