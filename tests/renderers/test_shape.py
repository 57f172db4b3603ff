"""Shaping details that parity hangs on."""

import numpy as np
import pytest
import uharfbuzz

from pixmodels.renderers import _harfbuzz
from pixmodels.renderers import _shape
from pixmodels.renderers._font import round_to_pixel


@pytest.mark.parametrize(
    ("length", "rounded"),
    [(0, 0), (511, 0), (512, 1024), (1535, 1024), (1536, 2048), (-512, 0)],
)
def test_rounding_is_half_up(length, rounded):
    assert round_to_pixel(length) == rounded


def test_advances_are_whole_pixels(latin):
    line = latin._shaper.line("AVATAR office, fjord")
    advances = line.character_advances(20)
    assert np.all(advances % 1024 == 0)
    assert advances.sum() == line.width * 1024


def test_arrays_are_what_uharfbuzz_returns(latin):
    """The ctypes binding beside uharfbuzz's own objects."""
    text = "AVATAR office, fjord e\u0323\u0301"
    font = latin._shaper.font(0)
    buffer = uharfbuzz.Buffer()
    buffer.cluster_level = uharfbuzz.BufferClusterLevel.MONOTONE_CHARACTERS
    buffer.add_str(text, 7, 17)
    buffer.direction, buffer.script, buffer.language = "ltr", "Latn", "c"
    uharfbuzz.shape(font.shaping, buffer)
    infos, positions = _harfbuzz.Buffer("c").shape(
        font.harfbuzz,
        text.encode("utf-32-le"),
        7,
        24,
        0,
        _harfbuzz.tag("Latn"),
    )
    assert infos[:, [0, 2]].tolist() == [
        [info.codepoint, info.cluster] for info in buffer.glyph_infos
    ]
    assert positions[:, [2, 3, 0, 1]].tolist() == [
        list(position.position) for position in buffer.glyph_positions
    ]


def test_tab_stops_are_eight_spaces(latin):
    space = latin._shaper.font(0).space // 1024
    width = latin._shaper.line("ab").width
    assert 0 < width < 8 * space
    assert latin._shaper.line("ab\t").width == 8 * space
    assert latin._shaper.line("ab\t\t").width == 16 * space
    assert latin._shaper.line("\tab\t").width == 16 * space


def test_hangul_workaround_is_still_needed(make_renderer, monkeypatch):
    """HarfBuzz >= 15 widens spaces in Hangul runs by calt (its 6030)."""
    if int(uharfbuzz.version_string().split(".")[0]) < 15:
        pytest.skip("older HarfBuzz does not do this")
    shaper = make_renderer("NotoSansCJK-Regular.ttc#1")._shaper
    text = "이 글자 그림"
    narrow = shaper.line(text).width
    monkeypatch.setattr(_shape, "_FEATURES", {})
    assert shaper.line(text).width > narrow


def test_missing_are_found_through_clusters(latin):
    line = latin._shaper.line("a日e\u0301中\u200d ب")
    assert sorted(line.missing) == [(1, "日"), (4, "中"), (7, "ب")]


def test_decomposed_is_not_missing(latin):
    assert latin._shaper.line("e\u0301 o\u0323\u0302").missing == []
