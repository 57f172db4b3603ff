"""Patches of any shape and canvases of several lines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from made_fonts import EMOJI

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers._layout import Typesetter
from pixmodels.renderers._palette import Palette
from pixmodels.renderers._raster import draw_lines

FONT = "NotoSans-Regular.ttf"
TEXT = "Sphinx of black quartz"
ITEMS = [TEXT, ("judge", "my vow"), ["an", "old", "fox"], ""]


@pytest.mark.parametrize(
    "shape", [(13, 7), (29, 17), (16, 3), (17, 16), (1, 1), (23, 31)]
)
@pytest.mark.parametrize("mode", ["grey", "rgb"])
def test_patches_of_any_shape(latin, shape, mode):
    height, width = shape
    drawn = CairoRenderer([FONT], patch_size=shape, color_mode=mode)
    batch = drawn(ITEMS)
    count = int(batch.num_patches.max()) + 1
    tail = (3,) if mode == "rgb" else ()
    assert batch.pixels.shape == (4, height, count * width, *tail)
    assert batch.attention_mask.shape == (4, count)
    assert batch.attention_mask.sum(1).tolist() == (
        (batch.num_patches + 1).tolist()
    )
    assert (batch.patch_height, batch.patch_width) == shape
    line = drawn._shaper.line(TEXT)
    assert batch.num_patches[0] == -(-(2 + line.width + 2) // width)
    for index, patches in enumerate(batch.sep_patches):
        for patch in patches:
            black = batch.pixels[index, :, patch * width : (patch + 1) * width]
            assert np.all(black == 0)
        end = (batch.num_patches[index] + 1) * width
        assert np.all(batch.pixels[index, :, end:] == 255)
    image = batch.to_image(0)
    assert image.size == ((batch.num_patches[0] + 1) * width, height)


def test_height_moves_the_ink_and_nothing_else(latin):
    """Two rows more of patch put the text one row lower."""
    drawn = CairoRenderer([FONT], patch_size=(18, 16))
    tall = drawn(TEXT).pixels[0]
    short = latin(TEXT).pixels[0]
    end = 16 * int(latin(TEXT).num_patches[0])
    assert np.array_equal(tall[1:17, :end], short[:, :end])


def test_width_changes_the_boundaries_only(latin):
    drawn = CairoRenderer([FONT], patch_size=(16, 5))(TEXT)
    end = 5 * int(drawn.num_patches[0])
    text = latin(TEXT).pixels[0][:, :end]
    stop = min(end, 16 * int(latin(TEXT).num_patches[0]))
    assert np.array_equal(drawn.pixels[0][:, :stop], text[:, :stop])


def test_square_pair_is_a_side(latin):
    drawn = CairoRenderer([FONT], patch_size=(16, 16))
    assert drawn.patch_size == 16
    assert drawn.get_config() == latin.get_config()


@pytest.mark.parametrize(
    "size", [0, -16, 1.5, "16", None, (16,), (16, 16, 3), (16, 0), (True, 4)]
)
def test_bad_patch_size(size):
    with pytest.raises(ValueError, match="Received: patch_size="):
        CairoRenderer([FONT], patch_size=size)


@settings(max_examples=25)
@given(
    places=st.lists(
        st.tuples(st.integers(-90, 150), st.integers(-20, 70)), max_size=4
    ),
    mode=st.sampled_from(["grey", "rgb"]),
)
def test_lines_anywhere_on_a_canvas(renderer, places, mode):
    """Lines apart from each other: the paste of each on its own canvas."""
    palette = Palette(mode, "navy", "ivory")
    lines = [renderer._shaper.line(text) for text in ("gyp", "א 日", EMOJI)]
    placed = [(x, y * 1024 + 512, line) for (x, y), line in zip(places, lines)]
    canvas = draw_lines(placed, 53, 101, palette)
    assert canvas.shape == (53, 101) + ((3,) if mode == "rgb" else ())
    alone = [draw_lines([place], 53, 101, palette) for place in placed]
    touched = [np.any(image != palette.paper, axis=-1) for image in alone]
    if mode == "grey":
        touched = [image != palette.paper[0] for image in alone]
    hit = sum(mask.astype(int) for mask in touched) if touched else 0
    assert np.all(canvas[hit == 0] == palette.paper)
    for image, mask in zip(alone, touched):
        assert np.array_equal(
            canvas[mask & (hit == 1)], image[mask & (hit == 1)]
        )


def test_a_row_is_a_canvas(renderer):
    """`draw` and `draw_lines` put the same ink on a row of patches."""
    for text in (TEXT, "אבג 日本 " + EMOJI):
        batch = renderer(text)
        layout = Typesetter(renderer._shaper, 16, 529).lay_out(text)
        end = 16 * layout.num_patches
        lines = [(x, renderer._baseline, line) for x, line in layout.lines]
        canvas = draw_lines(lines, 16, end)
        assert np.array_equal(canvas, batch.pixels[0][:, :end])


def test_an_empty_canvas(latin):
    assert np.all(draw_lines([], 7, 11) == 255)
    assert draw_lines([], 7, 11, Palette("rgb")).shape == (7, 11, 3)
