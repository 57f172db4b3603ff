"""Colour glyphs: which clusters get them, their width, their pixels."""

import io

import numpy as np
import pytest
from made_fonts import EMOJI
from made_fonts import layered
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack
from pixmodels.renderers._emoji import wants_emoji
from pixmodels.renderers._palette import luma
from pixmodels.renderers._raster import draw_lines

FONT = "NotoColorEmoji.ttf"
SEQUENCES = {
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "flag": "\U0001f1e9\U0001f1ea",
    "flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e"
    "\U000e0067\U000e007f",
    "skin tone": "\U0001f44d\U0001f3fd",
    "keycap": "1\ufe0f\u20e3",
    "picture by VS16": "\u2764\ufe0f",
    "joined, with tone": "\U0001f9d1\U0001f3ff\u200d\U0001f680",
    "joined, VS16": "\u2764\ufe0f\u200d\U0001f525",
    "alone": "\U0001f600",
}


@pytest.fixture(scope="module")
def rgb(renderer):
    return CairoRenderer(color_mode="rgb")


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_is_one_picture(rgb, name):
    cluster = SEQUENCES[name]
    line = rgb._shaper.line(cluster)
    assert line.missing == []
    ((font, _, glyphs, *_),) = line.runs
    assert font.colour == "CBDT"
    assert len(glyphs) == 1
    # The advance is the least whole number of pixels that holds the picture.
    extents = font.drawing.glyph_extents([(int(glyphs[0][0]), 0, 0)])
    assert line.width == np.ceil(extents.width) == np.ceil(extents.x_advance)
    canvas = draw_lines([(3, 12 * 1024, line)], 16, 31, rgb._palette)
    columns = np.flatnonzero((canvas != 255).any((0, 2)))
    assert columns.size
    assert columns[0] >= 3
    assert columns[-1] < 3 + line.width
    # Two of them do not touch each other.
    pair = rgb._shaper.line(cluster * 2)
    assert pair.width == 2 * line.width
    assert len(pair.runs[0][2]) == 2


def test_width_of_text_with_emoji_at_many_sizes(rgb):
    for size in (5, 7.5, 11, 23, 41):
        drawn = CairoRenderer(
            [FONT], color_mode="rgb", font_size=size, patch_size=97
        )
        line = drawn._shaper.line(EMOJI)
        canvas = draw_lines([(5, 70 * 1024, line)], 97, 101, drawn._palette)
        columns = np.flatnonzero((canvas != 255).any((0, 2)))
        # The face has a margin of 6 of 136 pixels at each side.
        assert 0.9 * line.width < columns[-1] + 1 - 5 <= line.width


def test_the_picture_is_that_of_the_font(rgb):
    """Against the PNG in the font, scaled by Pillow."""
    drawn = CairoRenderer([FONT], color_mode="rgb", font_size=24)
    line = drawn._shaper.line(EMOJI)
    font, _, glyphs = line.runs[0][:3]
    blob = font.shaping.get_glyph_color_png(int(glyphs[0][0]))
    with Image.open(io.BytesIO(blob.data)) as image:
        picture = image.convert("RGBA")
    assert picture.size == (136, 128)
    canvas = draw_lines(
        [(0, font.ascent, line)], 47, line.width, drawn._palette
    )
    side = 136 * 40 / 109, 128 * 40 / 109
    small = picture.resize([round(value) for value in side], Image.BOX)
    white = Image.new("RGBA", small.size, "white")
    expected = np.asarray(Image.alpha_composite(white, small).convert("RGB"))
    found = canvas[: expected.shape[0], : expected.shape[1]]
    expected = expected[: found.shape[0], : found.shape[1]]
    difference = np.abs(found.astype(int) - expected)
    assert difference.mean() < 3


@pytest.mark.parametrize("text", ["\u2764", "\u2764\ufe0e", "\u2603", "#", "1"])
def test_text_presentation_is_drawn_in_ink(rgb, text):
    assert not wants_emoji(text)
    ((font, *_),) = rgb._shaper.line(text).runs
    assert font.colour is None


@pytest.mark.parametrize(
    ("cluster", "wanted"),
    [
        *((sequence, True) for sequence in SEQUENCES.values()),
        ("\u26f9\u200d\u2642", True),  # Minimally qualified.
        ("\u261d\U0001f3fb", True),
        ("\U0001f600\ufe0e", False),
        ("a", False),
        ("\u00a9", False),
        ("\u00a9\ufe0f", True),
        ("\u0915\u094d\u200d\u0937", False),
        ("\u2764", False),
    ],
)
def test_wants_emoji(cluster, wanted):
    assert wants_emoji(cluster) is wanted


def test_neighbours_keep_their_own_font(rgb):
    """Digits, which the emoji font holds, stay in the text's font."""
    alone = rgb("12 #3").pixels[0, :, 2:48]
    line = rgb._shaper.line(EMOJI + "12 #3")
    assert [font.colour for font, *_ in line.runs] == ["CBDT", None]
    beside = rgb(EMOJI + "12 #3").pixels[0, :, 2 + 17 : 48 + 17]
    assert np.array_equal(alone[:, :40], beside[:, :40])
    right_to_left = rgb("\u05e9\u05dc\u05d5\u05dd " + SEQUENCES["skin tone"])
    assert right_to_left.missing == [()]


def test_order_of_the_stack_does_not_matter_for_emoji(rgb):
    for fonts in ([FONT, "NotoSans-Regular.ttf"], ["DejaVuSans.ttf", FONT]):
        try:
            stack = FontStack(fonts)
        except FileNotFoundError as error:
            pytest.skip(str(error)[:200])
        assert stack.names[stack.font_for(EMOJI)] == FONT + "#0"
        text = next(name for name in stack.names if FONT not in name)
        assert stack.names[stack.font_for("1")] == text
        line = CairoRenderer(stack)._shaper.line(EMOJI)
        assert line.runs[0][0].colour == "CBDT"


def test_grey_is_the_luma_of_the_picture(renderer, rgb):
    texts = [" a ".join(SEQUENCES.values()), (EMOJI, "b"), [EMOJI, "c"]]
    grey = renderer(texts)
    color = rgb(texts)
    assert grey.num_patches.tolist() == color.num_patches.tolist()
    expected = luma(color.pixels)
    assert len(np.unique(color.pixels.reshape(-1, 3), axis=0)) > 256
    # Luma is taken before the picture is laid over: one rounding differs.
    assert np.abs(grey.pixels - expected).max() <= 1


def test_pygame_lines_have_the_same_pictures(rgb):
    drawn = CairoRenderer(color_mode="rgb", baseline="pygame")
    for cluster in SEQUENCES.values():
        ((font, _, glyphs, *_),) = drawn._shaper.line(cluster).runs
        assert font.colour == "CBDT"
        assert len(glyphs) == 1


def test_emoji_font_alone(rgb):
    batch = CairoRenderer([FONT], color_mode="rgb")([EMOJI, "a" + EMOJI])
    assert batch.missing == [(), ("a",)]
    assert (batch.pixels[0, :, :16] != 255).any()


def red_blue(renderer, x):
    """The colours of EMOJI's halves: a pixel of each, drawn from `x`."""
    row = renderer(EMOJI).pixels[0][renderer._baseline // 1024 - 3]
    return row[x + 3].tolist(), row[x + 10].tolist()


def test_layers_have_the_colours_of_the_palette(tmp_path, rgb):
    path = layered(tmp_path / "layers.ttf")
    options = {"color_mode": "rgb", "font_size": 7.8}  # 13 px an em.
    drawn = CairoRenderer([path], **options)
    assert drawn.font_stack.coverage()[0].colour == "COLR"
    assert red_blue(drawn, 2) == ([255, 0, 0], [127, 127, 255])
    on_black = CairoRenderer([path], paper="black", ink="white", **options)
    assert red_blue(on_black, 2) == ([255, 0, 0], [0, 0, 128])
    # A glyph without layers is drawn in ink.
    inked = CairoRenderer([path], ink="teal", **options)("A").pixels[0]
    assert inked[8, 4].tolist() == [0, 128, 128]
    grey = CairoRenderer([path], font_size=7.8)
    assert red_blue(grey, 2) == (76, luma(np.array([127, 127, 255])))


def test_layers_in_the_ink(tmp_path, rgb):
    path = layered(tmp_path / "ink.ttf", foreground=True)
    drawn = CairoRenderer(
        [path], color_mode="rgb", font_size=7.8, ink=(1, 2, 3)
    )
    assert red_blue(drawn, 2) == ([255, 0, 0], [1, 2, 3])


def test_paint_graphs_are_refused_under_old_cairo(tmp_path, rgb):
    path = layered(tmp_path / "paint.ttf", version=1)
    import cairo

    if cairo.cairo_version() >= 11800:
        CairoRenderer([path])
    else:
        with pytest.raises(ValueError, match=r"cairo 1\.18.*paint\.ttf"):
            CairoRenderer([path])
