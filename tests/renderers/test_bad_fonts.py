"""Fonts that cannot be drawn as they stand: each has a defined answer."""

import pathlib

import numpy as np
import pytest
from fontTools.ttLib import TTCollection
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from made_fonts import EMOJI
from made_fonts import builder
from made_fonts import variable

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack

SMALL = "NotoSansOgham-Regular.ttf"
TEXT = "\u1681\u1682 \u1683"


@pytest.fixture(scope="module")
def small(make_renderer):
    with open(make_renderer(SMALL).font_stack.entry(0)[0], "rb") as file:
        return file.read()


@pytest.fixture
def save(tmp_path):
    def write(font, name="font.ttf"):
        path = tmp_path / name
        if isinstance(font, bytes):
            path.write_bytes(font)
        else:
            font.save(path)
        return str(path)

    return write


@pytest.mark.parametrize("share", [0.03, 0.3, 0.9, 0.999])
def test_truncated_file(small, save, share):
    path = save(small[: int(share * len(small))])
    with pytest.raises(ValueError, match=r"expected a .*font\.ttf, face 0"):
        CairoRenderer([path])


def test_truncated_file_names_the_table(small, save):
    path = save(small[:-1])
    message = rf"table '\w+ *' ends at byte {len(small)}\).*{len(small) - 1} b"
    with pytest.raises(ValueError, match=message):
        CairoRenderer([path])


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_file(small, tmp_path_factory, data):
    """Drawn, or refused by name; never another error."""
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 40))):
        place = data.draw(st.integers(0, len(small) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "font.ttf"
    path.write_bytes(damaged)
    try:
        batch = CairoRenderer([path])(TEXT, num_patches=7)
    except (ValueError, RuntimeError) as error:
        assert "font.ttf" in str(error)
    else:
        assert batch.pixels.shape == (1, 16, 112)


@pytest.mark.slow
def test_damaged_files_by_the_thousand(small, make_renderer, tmp_path):
    rng = np.random.Generator(np.random.Philox(key=20))
    big = make_renderer("NotoSansDevanagari-Regular.ttf").font_stack.entry(0)
    big = pathlib.Path(big[0]).read_bytes()
    for count in range(3000):
        damaged = np.frombuffer(big if count % 2 else small, np.uint8).copy()
        places = rng.integers(0, len(damaged), rng.integers(1, 500))
        damaged[places] = rng.integers(0, 256, len(places))
        path = tmp_path / f"font{count}.ttf"
        path.write_bytes(damaged.tobytes())
        for baseline in ("pangocairo", "pygame"):
            try:
                CairoRenderer([path], baseline=baseline)("हिन्दी " + TEXT)
            except (ValueError, RuntimeError) as error:
                assert path.name in str(error)
        path.unlink()


def test_folder(tmp_path):
    with pytest.raises(ValueError, match="Received: the folder"):
        FontStack([tmp_path])


@pytest.mark.parametrize("flavor", ["woff", "woff2"])
def test_web_fonts_are_named(save, flavor):
    font = builder().font
    if flavor == "woff":
        font.flavor = "woff"
        path = save(font)
    else:  # Written by hand: packing needs brotli.
        path = save(b"wOF2" + bytes(44))
    message = rf"{flavor.upper()} is not read; unpack it with fontTools"
    with pytest.raises(ValueError, match=message):
        CairoRenderer([path])


def test_font_without_character_map(save):
    font = builder().font
    del font["cmap"]
    with pytest.raises(ValueError, match="with a character map"):
        CairoRenderer([save(font)])


def test_font_with_an_empty_character_map(save):
    made = builder()
    made.setupCharacterMap({})
    with pytest.raises(ValueError, match="with a character map"):
        CairoRenderer([save(made.font)])


def test_font_without_outlines(save):
    font = builder().font
    del font["glyf"], font["loca"]
    with pytest.raises(ValueError, match=r"with outlines .*tables OS/2"):
        CairoRenderer([save(font)])


def test_bitmap_font(tmp_path):
    path = tmp_path / "font.bdf"
    path.write_text("STARTFONT 2.1\nFONT x\nSIZE 16 75 75\nENDFONT\n")
    with pytest.raises(ValueError, match="expected a TrueType or OpenType"):
        CairoRenderer([path])


def test_apple_colour_font(save):
    from fontTools.ttLib import newTable

    font = builder().font
    font["sbix"] = newTable("sbix")
    with pytest.raises(ValueError, match="table sbix"):
        CairoRenderer([save(font)])


def test_font_without_space(save):
    """A quarter of an em stands for the space, as far as tabs go."""
    made = builder()
    made.setupCharacterMap({65: "left"})
    batch = CairoRenderer([save(made.font)])("A\tA A")
    assert batch.missing == [(" ",)]


def test_collection(save):
    collection = TTCollection()
    for style in ("Regular", "Bold"):
        collection.fonts.append(builder(style=style).font)
    del collection.fonts[1]["cmap"].tables[0].cmap[65]
    path = save(collection, "font.ttc")
    first, second = (CairoRenderer([f"{path}#{i}"]) for i in (0, 1))
    assert first("A").missing == [()]
    assert second("A").missing == [("A",)]
    assert CairoRenderer([path]).font_stack == first.font_stack
    for face in (2, 77):
        with pytest.raises(ValueError, match=rf"font\.ttc, face {face}"):
            CairoRenderer([f"{path}#{face}"])


class TestVariableFont:
    @pytest.fixture
    def path(self, tmp_path, latin):
        return variable(tmp_path / "var.ttf")

    def test_defaults_are_the_default_instance(self, path, save):
        font = TTFont(path)
        static = save(instancer.instantiateVariableFont(font, {"wght": 400}))
        assert np.array_equal(
            CairoRenderer([path])("A A").pixels,
            CairoRenderer([static])("A A").pixels,
        )

    @pytest.mark.parametrize("weight", [100, 400, 525, 650, 775, 900])
    @pytest.mark.parametrize("baseline", ["pangocairo", "pygame"])
    def test_axes_are_those_of_a_static_instance(
        self, path, save, weight, baseline
    ):
        """Outlines by FreeType, advances by HarfBuzz, both at the axes.

        (At these weights every coordinate is a whole number of units.)
        """
        font = TTFont(path)
        static = save(instancer.instantiateVariableFont(font, {"wght": weight}))
        for size in (8, 19):
            options = {"font_size": size, "baseline": baseline}
            varied = CairoRenderer([f"{path}#0@wght={weight}"], **options)
            expected = CairoRenderer([static], **options)
            found = varied("AAA A").pixels
            assert np.array_equal(found, expected("AAA A").pixels)

    def test_two_weights_in_one_process(self, path):
        drawn = [
            CairoRenderer([f"{path}#0@wght={weight}"]) for weight in (400, 900)
        ]
        first = [renderer("AA").pixels.tobytes() for renderer in drawn]
        again = [renderer("AA").pixels.tobytes() for renderer in drawn]
        assert first == again
        assert first[0] != first[1]

    def test_config(self, path):
        stack = FontStack([f"{path}#0@wght=700"])
        assert stack.names == ("var.ttf#0@wght=700",)
        assert FontStack.from_config(stack.config()) == stack
        assert stack != FontStack([path])

    @pytest.mark.parametrize(
        ("axes", "message"),
        [
            ("wdth=80", "wght from 100 to 900. Received: wdth=80"),
            ("wght=901", "wght from 100 to 900. Received: wght=901"),
        ],
    )
    def test_unknown_axes(self, path, axes, message):
        with pytest.raises(ValueError, match=message):
            CairoRenderer([f"{path}#0@{axes}"])

    def test_axes_of_a_font_without(self, latin):
        with pytest.raises(ValueError, match="which has: none"):
            CairoRenderer(["NotoSans-Regular.ttf#0@wght=700"])

    @pytest.mark.parametrize("axes", ["@", "0@wght", "0@wght=x", "0@w=1", "-1"])
    def test_bad_syntax(self, path, axes):
        with pytest.raises(ValueError, match="wght=700"):
            FontStack([f"{path}#{axes}"])


def test_emoji_of_a_damaged_fallback_is_named(tmp_path, latin):
    path = tmp_path / "broken.ttf"
    path.write_bytes(b"not a font")
    drawn = CairoRenderer(["NotoSans-Regular.ttf", path])
    with pytest.raises(ValueError, match=r"broken\.ttf"):
        drawn(EMOJI)
