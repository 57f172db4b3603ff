"""Pixels and runs against PIXEL's own renderer (shared/fixtures/renders)."""

import ctypes
import json

import cairo
import numpy as np
import pytest
import uharfbuzz

from pixmodels.renderers import _bidi
from pixmodels.renderers import _cairo_freetype
from pixmodels.renderers._itemise import itemise

# Two characters that the font lacks: Pango draws hex boxes, we .notdef.
MISSING_ON_PURPOSE = {"latin_64"}
# HarfBuzz 6 and 15 differ in three x offsets of marks here (no pixel does).
OTHER_OFFSETS = {"myanmar_00"}
FREETYPE = (2, 12, 1)


def freetype_version():
    library = _cairo_freetype._binding()[0]
    parts = [ctypes.c_int() for _ in range(3)]
    library.FT_Library_Version(
        _cairo_freetype._freetype(), *map(ctypes.byref, parts)
    )
    return tuple(part.value for part in parts)


def same_build():
    return freetype_version() == FREETYPE and (
        cairo.cairo_version_string() == "1.16.0"
    )


@pytest.fixture(scope="module")
def renders(shared):
    folder = shared("fixtures/renders")
    cases = {}
    for name in ("latin", "scripts"):
        listed = json.loads((folder / f"{name}.json").read_text("utf-8"))
        pixels = np.load(folder / f"{name}.npz")
        for case in listed["cases"]:
            cases.setdefault(case["group"], []).append(
                (case, pixels[case["id"]])
            )
    fonts = json.loads((folder / "environment.json").read_text())["fonts"]
    return cases, fonts


GROUPS = """
    latin words pair arabic hebrew devanagari bengali tamil telugu kannada
    malayalam gujarati gurmukhi sinhala thai lao khmer myanmar georgian
    armenian ethiopic tibetan cyrillic greek canadian thaana syriac tifinagh
    cherokee mongolian adlam kana hangul han_sc han_tc
""".split()


def test_no_group_is_forgotten(renders):
    assert sorted(renders[0]) == sorted(GROUPS)
    assert sum(map(len, renders[0].values())) == 200


@pytest.mark.parametrize("group", GROUPS)
def test_pixels_are_identical(renders, usable, group):
    cases, fonts = renders
    for case, expected in cases[group]:
        renderer = usable(fonts, case["font"])
        text = case["input"]
        if case["kind"] == "pair":
            text = tuple(text)
        batch = renderer([text], num_patches=529)
        if case["id"] in MISSING_ON_PURPOSE:
            assert batch.missing == [("中", "ب")]
            continue
        assert batch.num_patches.tolist() == [case["num_text_patches"]]
        assert [16 * patch for patch in batch.sep_patches[0]] == (
            case["sep_patches"]
        )
        if case["kind"] == "words":
            assert list(batch.word_starts[0]) == case["word_starts"]
        assert batch.missing == [()]
        width = case["width"]
        assert np.all(batch.pixels[0, :, width:] == 255)
        differ = batch.pixels[0, :, :width] != expected
        # Another FreeType or Cairo may shade a few pixels otherwise.
        bound = 0 if same_build() else 0.02
        assert differ.mean() <= bound, case["id"]


def test_truncation_is_reported_where_pixel_cuts_silently(renders, usable):
    cases, fonts = renders
    cut = {}
    for group in ("latin", "words", "pair"):
        for case, _ in cases[group]:
            renderer = usable(fonts, case["font"])
            text = case["input"]
            batch = renderer([tuple(text) if group == "pair" else text])
            if batch.truncated[0]:
                cut[case["id"]] = batch.truncated[0]
    assert sorted(cut) == ["latin_60", "pair_08"]
    assert [entry.part for entry in cut["pair_08"]] == [1]
    for case, _ in cases["latin"]:
        if case["id"] == "latin_60":
            (entry,) = cut["latin_60"]
            assert entry.text == case["input"][entry.start :]


@pytest.mark.parametrize("name", ["latin", "scripts"])
def test_runs_and_glyphs_are_those_of_pango(shared, renders, usable, name):
    """Run boundaries, levels, glyph ids, advances and offsets, from Pango."""
    if uharfbuzz.version_string() != "15.0.0":
        pytest.skip("compared with HarfBuzz 15.0.0 only")
    path = shared(f"fixtures/renders/metrics_{name}.json")
    layouts = json.loads(path.read_text("utf-8"))["layouts"]
    fonts = {
        case["id"]: case["font"]
        for group in renders[0].values()
        for case, _ in group
    }
    compared = 0
    for key, lines in layouts.items():
        if key in MISSING_ON_PURPOSE:
            continue
        renderer = usable(renders[1], fonts[key])
        for expected in lines:
            text = expected["text"].replace("\n", " ")
            levels, _ = _bidi.levels(text)
            runs = itemise(text, levels, renderer.font_stack)
            order = _bidi.visual_order([run.level for run in runs])
            found = [(runs[i].start, runs[i].end, runs[i].level) for i in order]
            wanted = [
                (run["char_start"], run["char_end"], run["level"])
                for run in expected["runs"]
            ]
            assert found == wanted, key
            line = renderer._shaper.line(text, levels)
            assert line.width == expected["pixel_size"][0], key
            for drawn, run in zip(line.runs, expected["runs"]):
                glyphs = drawn.glyphs.tolist()
                if not glyphs:  # A tab.
                    continue
                compare_glyphs(glyphs, run, key)
                compared += len(glyphs)
    assert compared > 4000


def compare_glyphs(glyphs, run, key):
    empty = 0x0FFFFFFF  # Pango's mark for what draws nothing.
    assert len(glyphs) == len(run["glyphs"]), key
    pen = 0
    for (glyph, x, y), wanted, width, x_offset, y_offset in zip(
        glyphs, run["glyphs"], run["widths"], run["x_offsets"], run["y_offsets"]
    ):
        if wanted != empty:
            assert glyph == wanted, key
            assert y == -y_offset, key
            if key not in OTHER_OFFSETS:
                assert x == pen + x_offset, key
        pen += width
