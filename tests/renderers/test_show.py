"""Figures of batches: what is marked, and where."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import show

FONT = "NotoSans-Regular.ttf"
BAR = {"first": "#0072b2", "second": "#e69f00", "black": "#d55e00"}


@pytest.fixture(scope="module")
def batch(latin):
    return latin(["a cat", ("Why?", "Because."), ["an", "old", "fox"]])


def bars(ax, side=16):
    """(first patch, end, colour) of every bar."""
    found = []
    for bar in ax.collections:
        if hasattr(bar, "get_segments"):  # The grid.
            continue
        x = bar.get_paths()[0].vertices[:, 0]
        color = to_hex(bar.get_facecolor()[0])
        found.append((round(x.min() / side), round(x.max() / side), color))
    return found


def test_segments(batch):
    figure = show(batch, 1)
    assert isinstance(figure, Figure)
    ((first, end),) = batch.sep_patches[1:2]
    assert bars(figure.axes[0]) == [
        (0, first, BAR["first"]),
        (first, first + 1, BAR["black"]),
        (first + 1, end, BAR["second"]),
        (end, end + 1, BAR["black"]),
    ]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["first text", "second text", "separator, end"]


def test_pixels_are_those_of_the_batch(batch):
    for index, ax in enumerate(show(batch).axes):
        width = 16 * (int(batch.num_patches[index]) + 1)
        (image,) = ax.get_images()
        found = np.asarray(image.get_array())
        for channel in range(3):
            assert np.array_equal(
                found[..., channel], batch.pixels[index, :, :width]
            )
        assert image.get_extent() == [0, width, 16, 0]


def test_words_and_grid(batch):
    ax = show(batch, [2]).axes[0]
    (marks,) = ax.lines
    starts = batch.word_starts[2][:-1]
    expected = [16 * patch + 8 for patch in starts]
    assert list(marks.get_xdata()) == expected
    vertical, _ = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert len(vertical.get_segments()) == int(batch.num_patches[2]) + 2
    bare = show(batch, 2, grid=False, words=False, segments=False)
    assert not bare.axes[0].collections
    assert not bare.axes[0].lines
    assert not bare.legends


def test_captions_tell_what_is_lost(latin):
    batch = latin(["日 much too long for five", "ok"], num_patches=5)
    titles = [ax.get_title("left") for ax in show(batch).axes]
    (cut,) = batch.truncated[0]
    assert titles[0] == (
        f"text 0: 5 patches · cut: {cut.end - cut.start} characters of part 0 "
        f"from {cut.start}, {cut.text!r} · no glyph: U+65E5"
    )
    assert titles[1] == "text 1: 3 patches"


def test_long_texts_are_wrapped(latin):
    batch = latin("one of these rows holds no more than seven patches")
    figure = show(batch, wrap=7)
    count = int(batch.num_patches[0]) + 1
    assert len(figure.axes) == -(-count // 7)
    rows = [ax.get_images()[0].get_array() for ax in figure.axes]
    joined = np.concatenate(rows, axis=1)
    assert np.array_equal(joined[..., 0], batch.pixels[0])
    assert bars(figure.axes[-1])[-1][2] == BAR["black"]
    assert [bool(ax.get_title("left")) for ax in figure.axes] == (
        [True] + [False] * (len(figure.axes) - 1)
    )


@pytest.mark.parametrize("mode", ["grey", "rgb"])
def test_saved_picture_holds_every_pixel(latin, mode):
    """On a whole scale the saved figure shows each pixel as a square."""
    drawn = CairoRenderer([FONT], color_mode=mode, ink="navy")
    batch = drawn("gyp")
    buffer = io.BytesIO()
    show(batch, grid=False, segments=False).savefig(buffer)
    with Image.open(buffer) as image:
        found = np.asarray(image.convert("RGB"))
    text = batch.pixels[0]
    if mode == "grey":
        text = text[..., None].repeat(3, -1)
    scale = 5  # 80 dots a patch, 8 dots of margin.
    end = np.flatnonzero((found != 255).any((1, 2)))[-1] + 1
    part = found[end - scale * 16 : end, 8 : 8 + scale * text.shape[1]]
    assert np.array_equal(part[2::scale, 2::scale], text)


def test_patches_of_another_shape(latin):
    batch = CairoRenderer([FONT], patch_size=(23, 7))([("a", "b"), "c"])
    first = show(batch).axes[0]
    assert bars(first, 7)[0][:2] == (0, batch.sep_patches[0][0])


def test_show_refuses(batch, latin):
    for index in ("0", 1.0, True, [None]):
        with pytest.raises(TypeError, match="Received: index="):
            show(batch, index)
    for index in (3, [0, 7], -4):
        with pytest.raises(IndexError, match="Received: index="):
            show(batch, index)
    assert show(batch, -1).axes[0].get_title("left").startswith("text 2")
    with pytest.raises(ValueError, match="at least one text"):
        show(latin([]))
    for wrap in (0, 2.5, True):
        with pytest.raises(ValueError, match="Received: wrap="):
            show(batch, wrap=wrap)
