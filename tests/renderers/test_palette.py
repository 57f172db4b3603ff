"""Ink, paper, grey and RGB against a blend computed in fractions."""

import json
import pickle
from fractions import Fraction

import cairo
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers._layout import Typesetter
from pixmodels.renderers._palette import Palette
from pixmodels.renderers._palette import luma
from pixmodels.renderers._palette import read_color

FONT = "NotoSans-Regular.ttf"
TEXTS = [
    "Sphinx of black quartz",
    ("judge", "my vow"),
    ["fi", "ffl", "Ål"],
    "اقرأ",
]

levels = st.integers(0, 255)
colors = st.tuples(levels, levels, levels)


def nearest(ink, paper, cover):
    """The blend of one channel, rounded to the nearest whole number."""
    exact = Fraction(ink * cover + paper * (255 - cover), 255)
    return int(exact + Fraction(1, 2))


@given(colors, colors)
def test_blend_is_the_nearest_level(ink, paper):
    cover = np.arange(256, dtype=np.uint8)[None]
    found = Palette("rgb", ink, paper).pixels(cover)
    assert found.shape == (1, 256, 3)
    expected = [
        [nearest(i, p, a) for i, p in zip(ink, paper)] for a in range(256)
    ]
    assert found[0].tolist() == expected


@given(levels, levels)
def test_grey_levels(ink, paper):
    cover = np.arange(256, dtype=np.uint8)
    found = Palette("grey", ink, paper).pixels(cover)
    assert found.tolist() == [nearest(ink, paper, a) for a in range(256)]
    assert (found[255], found[0]) == (ink, paper)


def test_luma_is_that_of_pillow():
    rng = np.random.Generator(np.random.Philox(key=7))
    rgb = rng.integers(0, 256, (31, 37, 3), np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("L"))
    assert np.array_equal(luma(rgb), expected)


@pytest.fixture(scope="module")
def black(latin):
    return latin(TEXTS, num_patches=29)


@settings(max_examples=20)
@given(colors, colors)
def test_renderer_blends_the_same_coverage(black, ink, paper):
    renderer = CairoRenderer([FONT], color_mode="rgb", ink=ink, paper=paper)
    batch = renderer(TEXTS, num_patches=29)
    # Black patches are ink in full, what follows the end is paper.
    cover = 255 - black.pixels.astype(np.int64)[..., None]
    blend = np.array(ink) * cover + np.array(paper) * (255 - cover)
    assert np.array_equal(batch.pixels, (2 * blend + 255) // 510)
    assert batch.sep_patches == black.sep_patches
    assert batch.num_patches.tolist() == black.num_patches.tolist()


def test_rgb_is_grey_three_times(black, renderer, make_renderer):
    batch = CairoRenderer([FONT], color_mode="rgb")(TEXTS, num_patches=29)
    assert batch.pixels.shape == (4, 16, 16 * 29, 3)
    assert batch.pixels.flags.c_contiguous
    assert np.array_equal(batch.pixels, black.pixels[..., None].repeat(3, -1))
    assert batch.patch_size == 16
    assert np.array_equal(batch.attention_mask, black.attention_mask)


def test_rgb_is_what_cairo_paints_on_rgb24(latin, black):
    """PIXEL's rgb mode: black glyphs on a white FORMAT_RGB24 surface."""
    for index, text in enumerate(TEXTS):
        layout = Typesetter(latin._shaper, 16, 529).lay_out(text)
        width = 16 * layout.num_patches
        surface = cairo.ImageSurface(cairo.FORMAT_RGB24, width, 16)
        context = cairo.Context(surface)
        context.set_source_rgb(1, 1, 1)
        context.paint()
        context.set_source_rgb(0, 0, 0)
        for x, line in layout.lines:
            for font, start, glyphs, *_ in line.runs:
                context.set_scaled_font(font.drawing)
                context.show_glyphs(
                    [
                        (
                            int(glyph),
                            x + (start + int(dx)) / 1024,
                            (latin._baseline - int(dy)) / 1024,
                        )
                        for glyph, dx, dy in glyphs
                    ]
                )
        surface.flush()
        painted = np.ndarray((16, width, 4), np.uint8, surface.get_data())
        expected = black.pixels[index, :, :width].copy()
        for patch in layout.sep_patches:
            painted[:, 16 * patch : 16 * (patch + 1)] = 0
        for channel in range(3):
            assert np.array_equal(painted[..., channel], expected), text


def test_white_on_black_is_the_negative(black):
    batch = CairoRenderer([FONT], ink="white", paper="black")(
        TEXTS, num_patches=29
    )
    assert np.array_equal(batch.pixels, 255 - black.pixels)


def test_names_and_levels(latin):
    assert read_color("ink", "navy") == (0, 0, 128)
    assert read_color("ink", "#102030") == (16, 32, 48)
    assert read_color("ink", "hsl(120, 100%, 50%)") == (0, 255, 0)
    assert read_color("ink", 7) == (7, 7, 7)
    assert read_color("ink", np.uint8(7)) == (7, 7, 7)
    assert read_color("ink", [1, 2, 3]) == (1, 2, 3)
    assert read_color("ink", "#010203ff") == (1, 2, 3)
    # A colour in grey mode is its luma.
    assert Palette("grey", "red").ink.tolist() == [76]


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("ink", "blck", ValueError),
        ("paper", "#01020380", ValueError),
        ("ink", 256, ValueError),
        ("ink", (0, -1, 0), ValueError),
        ("paper", (0, 0), TypeError),
        ("paper", 0.5, TypeError),
        ("ink", True, TypeError),
        ("ink", None, TypeError),
        ("color_mode", "gray", ValueError),
        ("color_mode", None, ValueError),
        ("baseline", "pango", ValueError),
    ],
)
def test_bad_colors(latin, argument, value, error):
    with pytest.raises(error, match=f"Received: {argument}="):
        CairoRenderer([FONT], **{argument: value})


def test_config_round_trip(latin):
    renderer = CairoRenderer(
        [FONT],
        patch_size=(17, 11),
        color_mode="rgb",
        ink=(np.uint8(1), 2, 3),
        paper="ivory",
        baseline="pygame",
    )
    config = json.loads(json.dumps(renderer.get_config()))
    assert config["ink"] == [1, 2, 3]
    assert config["patch_size"] == [17, 11]
    expected = renderer(TEXTS).pixels
    for copy in (
        CairoRenderer.from_config(config),
        pickle.loads(pickle.dumps(renderer)),
    ):
        assert copy.get_config() == renderer.get_config() == config
        assert np.array_equal(copy(TEXTS).pixels, expected)
        assert "paper='ivory'" in repr(copy)


def test_png_in_colour(latin, tmp_path):
    batch = CairoRenderer([FONT], color_mode="rgb", ink="red")("ab")
    batch.save_png(tmp_path / "text.png", scale=2)
    with Image.open(tmp_path / "text.png") as image:
        assert image.mode == "RGB"
        assert np.array_equal(
            np.asarray(image)[::2, ::2], batch.pixels[0, :, :48]
        )
