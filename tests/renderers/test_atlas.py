"""Glyph masks and the rule by which they overlap, against Cairo itself."""

import fractions

import cairo
import numpy as np
import pytest

from pixmodels.renderers import _atlas
from pixmodels.renderers._atlas import GlyphAtlas


def every_pair():
    """All (below, above) of two bytes, as two (256, 256) arrays."""
    return np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2, indexing="ij")


@pytest.mark.parametrize(
    ("operator", "rule"),
    [(cairo.OPERATOR_ADD, _atlas.add), (cairo.OPERATOR_OVER, _atlas.over)],
)
def test_overlap_is_that_of_cairo(operator, rule):
    below, above = every_pair()
    canvas, mask = below.copy(), above.copy()
    surfaces = [
        cairo.ImageSurface.create_for_data(
            data.reshape(-1), cairo.FORMAT_A8, 256, 256, 256
        )
        for data in (canvas, mask)
    ]
    context = cairo.Context(surfaces[0])
    context.set_operator(operator)
    context.mask_surface(surfaces[1], 0, 0)
    surfaces[0].flush()
    assert np.array_equal(canvas, rule(below, above))


def test_over_is_the_rounded_product():
    below, above = every_pair()
    found = _atlas.over(below, above)
    assert np.array_equal(found, _atlas.over(above, below))
    for a, b in [(0, 0), (255, 3), (189, 7), (127, 128), (254, 254)]:
        exact = a + b - round(fractions.Fraction(a * b, 255))
        assert found[a, b] == exact


def test_masks(latin):
    """Drawn together or alone, a glyph has the mask that Cairo gives it."""
    font = latin._shaper.font(0)
    glyphs = range(3, 1200, 7)
    together = GlyphAtlas({5: font})
    together.draw(5, glyphs)
    alone = GlyphAtlas({5: font})
    assert len(together) == len(glyphs)
    for glyph in glyphs:
        left, top, mask = together.mask(5, glyph)
        assert (left, top) == alone.mask(5, glyph)[:2]
        assert np.array_equal(mask, alone.mask(5, glyph)[2])
        surface = cairo.ImageSurface(cairo.FORMAT_A8, 64, 64)
        context = cairo.Context(surface)
        context.set_scaled_font(font.drawing)
        context.show_glyphs([(glyph, 31, 37)])
        surface.flush()
        canvas = np.frombuffer(surface.get_data(), np.uint8).reshape(64, 64)
        rows, columns = np.nonzero(canvas)
        assert mask.size == 0 or (left + 31, top + 37) == (
            columns.min(),
            rows.min(),
        )
        cut = canvas[top + 37 :, left + 31 :][: len(mask), : mask.shape[1]]
        assert np.array_equal(cut, mask)
        assert canvas.sum() == mask.sum()
    assert together.nbytes == sum(together.mask(5, g)[2].size for g in glyphs)
