"""Shaping details that parity hangs on."""

import pytest
import uharfbuzz

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
    assert all(advance % 1024 == 0 for _, advance in line.advances)
    assert sum(advance for _, advance in line.advances) == line.width * 1024


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
