"""The comparison path of the renderer benchmark, itself compared.

With reference renders and with our renderer, where PyGObject is installed."""

import cairo
import numpy as np
import pytest
from fontTools import ttLib

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack
from pixmodels.renderers.samples import SAMPLES
from pixmodels.training import _pango_fonts
from pixmodels.training._pango import PangoCairoRenderer
from pixmodels.training._pango_check import check

PATCH = 16


@pytest.fixture(scope="module", autouse=True)
def versions():
    try:
        _, pango, _ = _pango_fonts.libraries()
    except ImportError as error:
        pytest.skip(str(error))
    found = (pango.version_string(), cairo.cairo_version_string())
    if found != ("1.50.12", "1.16.0"):
        pytest.skip(f"reference renders are of other versions than {found}")


@pytest.fixture(scope="module")
def latin():
    try:
        return PangoCairoRenderer(FontStack(["NotoSans-Regular.ttf"]).paths[0])
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


def test_reference_renders_are_reproduced(shared):
    """Pixels, separators, word starts, counts and offset mappings."""
    try:
        count, differences = check(shared("."))
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])
    assert count == 200
    assert differences == []


def test_same_pixels_as_ours(latin):
    ours = CairoRenderer(["NotoSans-Regular.ttf"])
    texts = [s.text for s in SAMPLES if s.script in ("Latn", "Cyrl", "Grek")]
    assert len(texts) == 4
    for text in texts:
        for item in (text, text.split(), (text, texts[0])):
            if isinstance(item, str):
                theirs = latin.text(item)
            elif isinstance(item, list):
                theirs = latin.words(item)
            else:
                theirs = latin.pair(*item)
            batch = ours([item], num_patches=529)
            assert np.array_equal(batch.pixels[0], theirs["pixels"])
            assert batch.num_patches[0] == theirs["num_patches"]


def test_fonts_do_not_mix(latin):
    """Two renderers in one process each keep their own font."""
    before = latin.text("abc")["pixels"]
    hebrew = FontStack(["NotoSansHebrew-Regular.ttf"]).paths[0]
    other = PangoCairoRenderer(hebrew).text("abc")["pixels"]
    assert not np.array_equal(before, other)
    assert np.array_equal(latin.text("abc")["pixels"], before)


def test_bigrams_stand_on_patches_of_their_own(latin):
    result = latin.bigrams("abc d")
    pixels = result["pixels"]
    assert result["word_starts"] == [0, 2, 3]
    assert result["num_patches"] == 3
    # Each code point as if alone: the text path has it 2 px further right.
    for patch, characters in enumerate(["ab", "c", "d"]):
        pen = patch * PATCH
        for character in characters:
            alone = latin.text(character)["pixels"][:, 2:PATCH]
            ink = alone.min(axis=0) < 255
            wanted = alone[:, : ink.nonzero()[0].max() + 1]
            found = pixels[:, pen : pen + wanted.shape[1]]
            assert np.array_equal(found, wanted)
            pen += advance(character)


def advance(character):
    """Whole pixels, from the font's own table."""
    with ttLib.TTFont(FontStack(["NotoSans-Regular.ttf"]).entry(0)[0]) as font:
        glyph = font.getBestCmap()[ord(character)]
        units = font["hmtx"][glyph][0] / font["head"].unitsPerEm
    return round(units * 40 / 3)


def test_bigrams_from_right_to_left(latin):
    hebrew = FontStack(["NotoSansHebrew-Regular.ttf"]).paths[0]
    renderer = PangoCairoRenderer(hebrew)
    alef, bet, gimel = "\u05d0", "\u05d1", "\u05d2"
    one = renderer.bigrams(f"{alef}{bet} {gimel}")
    # The last word comes first; within a bigram the second letter.
    two = renderer.bigrams(f"{gimel}")
    assert one["word_starts"] == [0, 1, 2]
    patch = one["pixels"][:, :PATCH]
    assert np.array_equal(patch, two["pixels"][:, :PATCH])


def test_floats_are_what_the_model_is_fed(latin):
    found = latin.floats("A kind of text")
    pixels = latin.text("A kind of text")["pixels"]
    assert found.shape == (3, PATCH, 529 * PATCH)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack([pixels / np.float32(255)] * 3))


def test_what_does_not_fit(latin):
    small = PangoCairoRenderer(
        FontStack(["NotoSans-Regular.ttf"]).paths[0], max_patches=7
    )
    for result in (
        small.text("m" * 99),
        small.words(["mmmm"] * 99),
        small.pair_with_offsets("mm", "m" * 99),
        small.bigrams("mm mm " * 99),
    ):
        assert result["num_patches"] == 6
        assert result["pixels"].shape == (PATCH, 7 * PATCH)
    assert len(small.pair_with_offsets("mm", "m" * 99)["offset_mapping"]) == 7


def test_a_file_without_a_font_is_refused(tmp_path):
    path = tmp_path / "no.ttf"
    path.write_bytes(b"no font")
    with pytest.raises(ValueError, match="expected a font file"):
        PangoCairoRenderer(path)
