"""Text out of clean pixels: what was drawn, or what draws the same pixels."""

import lzma
import string
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import PixelReader

ASCII = string.printable[:95]
CORPUS = "data/ntrex128/ntrex_shared.tar.xz"
# Kerning, ligatures, overhanging ink, ink that adds up beyond black.
HARD = [
    "AVATAR To. Wave TV! LT’s Ty, r. f) fj",
    "office fluff ffi affluent fi fl ff",
    "jJ jj fjord [j] (J) ''\"\" ,,.. -- ––",
    "WAWAYT 1711 rnmrn IlI|l1i!",
    "“Quoted” – it’s 5 % of €3,000 or №7…",
    "naïve façade Žižek Łódź Ångström ğış",
]


@pytest.fixture(scope="module")
def reader(renderer):
    return PixelReader(renderer)


@pytest.fixture(scope="module")
def plain(renderer):
    return PixelReader(renderer, ASCII)


def levenshtein(one, two):
    row = list(range(len(two) + 1))
    for index, a in enumerate(one, 1):
        last, row[0] = row[0], index
        for place, b in enumerate(two, 1):
            last, row[place] = (
                row[place],
                min(last + (a != b), row[place] + 1, row[place - 1] + 1),
            )
    return row[-1]


def corpus(shared, name):
    with lzma.open(shared(CORPUS)) as packed:
        with tarfile.open(fileobj=packed) as archive:
            (member,) = (m for m in archive if name in m.name)
            data = archive.extractfile(member).read().decode("utf-8")
    return [line.strip() for line in data.splitlines()]


def test_hard_lines_come_back(renderer, reader):
    for text, read in zip(HARD, reader.read(renderer(HARD))):
        assert read.text == text
        assert read.is_exact
        assert read.error == 0.0


@settings(max_examples=40)
@given(st.lists(st.text(ASCII, max_size=23), min_size=1, max_size=3))
def test_what_is_read_draws_the_same_pixels(renderer, plain, texts):
    batch = renderer(texts)
    for index, read in enumerate(plain.read(batch)):
        again = renderer(read.text, batch.grid[1])
        np.testing.assert_array_equal(again.pixels[0], batch.pixels[index])
        assert read.is_exact
        # All of ASCII looks different; spaces at the end may not show.
        assert read.text.rstrip() == texts[index].rstrip()


@settings(max_examples=30)
@given(st.text("ABCEHIKMOPTXАВСЕНІКМОРТХΑΒΕΗΙΚΜΟΡΤΧacdeo асдео", max_size=17))
def test_look_alikes_draw_the_same_pixels(renderer, mixed, text):
    (read,) = mixed.read(renderer(text))
    assert read.is_exact
    assert len(read.text.rstrip()) == len(text.rstrip())


@pytest.fixture(scope="module")
def mixed(renderer):
    characters = "ABCEHIKMOPTXАВСЕНІКМОРТХΑΒΕΗΙΚΜΟΡΤΧacdeo асдео"
    return PixelReader(renderer, characters)


def test_english_sentences(shared, renderer, reader):
    texts = corpus(shared, "src.eng")[:53]
    assert [r.text for r in reader.read(renderer(texts))] == texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scripts", "most"),
    [
        ("src.eng", ["Latn"], 0.0),
        ("ref.deu.", ["Latn"], 0.005),
        # Latin names of one word may be Greek as well, pixel for pixel.
        ("ref.ell", ["Grek", "Latn"], 0.005),
        ("ref.rus", ["Cyrl", "Latn"], 0.005),
        # Points are not among the letters; marks of direction do not show.
        ("ref.heb", ["Hebr", "Latn"], 0.02),
    ],
)
def test_character_error_rate(shared, renderer, name, scripts, most):
    texts = corpus(shared, name)[:1000]
    read = PixelReader(renderer, scripts=scripts).read(renderer(texts))
    errors = length = 0
    for text, found in zip(texts, read):
        text = text.replace("\u00a0", " ")
        length += len(text)
        if text != found.text:
            errors += levenshtein(text, found.text)
    assert errors / length <= most


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("Grek", "Αυτή η βιβλιοθήκη διαβάζει εικόνες κειμένου."),
        ("Armn", "Այս գրադարանը կարդում է տեքստի պատկերներ"),
        ("Geor", "ეს ბიბლიოთეკა კითხულობს ტექსტის სურათებს."),
        ("Hebr", "הספרייה הזאת קוראת (3) תמונות של טקסט."),
        ("Kana", "メディアです、ベスト。「リバン」・12"),
        ("Hani", "这个程序库，阅读文字 (AB) 的图像。"),
        ("Ethi", "ይህ ቤተ መጻሕፍት የጽሑፍ ምስሎችን ያነባል"),
        ("Cher", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ"),
    ],
)
def test_other_scripts(renderer, code, text):
    (read,) = PixelReader(renderer, text).read(renderer(text))
    assert read.text == text
    assert read.is_exact


@pytest.mark.slow
def test_thousands_of_characters(renderer):
    reader = PixelReader(renderer, scripts=["Hang"])
    assert len(reader.characters) > 2350
    text = "이 라이브러리는 글자의 그림을 읽습니다. 12"
    (read,) = reader.read(renderer(text))
    assert read.text == text
    assert read.is_exact


def test_spaces(renderer, plain):
    texts = ["  two   spaces", "a", "", "trailing" + 9 * " "]
    first, second, third, fourth = plain.read(renderer(texts))
    assert first.text == texts[0]
    assert second.text == "a"
    assert third.text == ""
    assert third.characters == ()
    assert third.confidence == 1.0
    # As many as it takes for the end patch to stand where it does.
    assert fourth.text.rstrip() == "trailing"
    assert fourth.is_exact
    assert 4 <= len(fourth.text) - len("trailing") <= 9


def test_pairs_words_and_packs(renderer, plain):
    (pair,) = plain.read(renderer([("Who was it?", "The owl.")]))
    assert pair.parts == ("Who was it?", "The owl.")
    assert pair.text == "Who was it?\nThe owl."
    assert pair.words == ("Who", "was", "it?", "The", "owl.")
    assert pair.is_exact
    pack = renderer.pack(["one", "two three", "four"], 23)
    (read,) = plain.read(pack)
    assert read.parts == ("one", "two three", "four")
    assert read.is_exact
    words = ["Many", "wonderful", "words", "a", "list"]
    reader = PixelReader(renderer, ASCII, layout="words")
    (read,) = reader.read(renderer([words]))
    assert read.words == tuple(words)
    assert read.is_exact


def test_words_layout(layouts):
    words = layouts["words"]
    reader = PixelReader(words, ASCII)
    texts = ["Some extraordinarily long words, too", ("a pair", "of texts"), ""]
    read = reader.read(words(texts))
    assert read[0].text == texts[0]
    assert read[1].parts == texts[1]
    assert read[2].text == ""
    assert all(r.is_exact for r in read)


def test_pages(renderer, plain):
    text = "A page has lines of words, and they break where they may.\nYes."
    (read,) = plain.read(renderer.page(text, rows=5, columns=11))
    assert read.is_exact
    assert " ".join(read.parts) == text.replace("\n", " ")
    last = read.characters[-1]
    assert last.line == len(read.parts) - 1
    assert last.first_patch // 11 == last.line


def test_right_to_left_pages(renderer):
    reader = PixelReader(renderer, scripts=["Hebr"])
    text = "שלום לכל העולם הזה ועוד קצת מילים"
    (read,) = reader.read(renderer.page(text, rows=4, columns=6))
    assert read.is_exact
    assert " ".join(read.parts) == text


@settings(max_examples=25)
@given(st.text("אבגדהוי שםןפץ 12.,-()AbC%", max_size=17))
def test_right_to_left_lines_draw_the_same_pixels(renderer, hebrew, text):
    (read,) = hebrew.read(renderer(text))
    assert read.is_exact


@pytest.fixture(scope="module")
def hebrew(renderer):
    return PixelReader(renderer, "אבגדהוי שםןפץ 12.,-()AbC%")


def test_clipped_lines(renderer, plain):
    text = "This sentence is too long"
    for patches in (4, 5, 6, 7, 8):
        batch = renderer(text, patches)
        assert batch.truncated[0]
        (read,) = plain.read(batch)
        kept = len(read.text) - 1
        assert read.text[:kept] == text[:kept]


def test_lines_without_an_end(renderer, plain):
    pixels = renderer("A line that goes on").pixels[:, :, : 16 * 5]
    (read,) = plain.read(pixels)
    assert "A line that goes on".startswith(read.text[:-1])
    assert len(read.text) > 7


def test_spans_and_patches(renderer, plain):
    batch = renderer("A wide word", return_offsets=True)
    (read,) = plain.read(batch)
    assert read.characters[0].start == 2
    for index, found in enumerate(read.characters):
        # Offsets name the patch where a character begins.
        assert batch.patches_of(0, 0, index, index + 1)[0][0] == (
            found.first_patch
        )
        assert found.last_patch == (found.end - 1) // 16
        assert found.confidence > 0.999
    ends = [c.end for c in read.characters]
    assert ends[:-1] == [c.start for c in read.characters[1:]]


def test_alternatives_of_equal_pictures(renderer):
    reader = PixelReader(renderer, "AΑАBСDΔЖΩ яω")
    (read,) = reader.read(renderer("ΑΩ"))
    assert read.text == "ΑΩ"  # By its neighbour.
    (read,) = reader.read(renderer("АЖ"))
    assert read.text == "АЖ"
    (read,) = reader.read(renderer("A"))
    found = read.characters[0]
    assert found.text == "A"
    assert {text for text, _ in found.alternatives} == {"Α", "А"}
    assert 0 < found.confidence < 1
    shares = found.confidence + sum(share for _, share in found.alternatives)
    assert abs(shares - 1) < 1e-6


def test_what_is_not_known(renderer):
    reader = PixelReader(renderer, string.ascii_lowercase + " ")
    (read,) = reader.read(renderer("known W then known"))
    assert not read.is_exact
    assert read.error > 0
    assert read.text.startswith("known")
    assert read.text.endswith(" known")
    sure = [c.confidence for c in read.characters]
    assert min(sure[:5]) > 0.99


@pytest.mark.parametrize(
    "options",
    [
        {"color_mode": "rgb", "ink": "navy", "paper": "#f0e0d0"},
        {"ink": "white", "paper": "black"},
        {"ink": 90, "paper": 140},  # Several coverages share a level.
        {"patch_size": (23, 11), "font_size": 11},
        {"patch_size": 29, "font_size": 17.0},
        {"patch_size": 13, "font_size": 6.0},
    ],
)
def test_colours_and_geometries(renderer, options):
    other = CairoRenderer(renderer.font_stack, **options)
    text = "Fjords, affine 123"
    batch = other([text, "Wave"])
    reader = PixelReader(other, ASCII)
    first, second = reader.read(batch)
    assert (first.text, second.text) == (text, "Wave")
    assert first.is_exact
    floats = batch.pixels.astype("float32") / 255
    assert reader.read(floats, batch.num_patches)[0].text == text
    if other.color_mode == "grey":
        triple = np.repeat(floats[..., None], 3, axis=3)
        assert reader.read(triple)[0].text == text


def test_patches(renderer, plain):
    batch = renderer(["Some patches", "and more of them"])
    count = len(batch.pixels)
    patches = batch.pixels.reshape(count, 16, -1, 16).swapaxes(1, 2)
    read = plain.read_patches(patches.reshape(count, -1, 256))
    assert [r.text for r in read] == ["Some patches", "and more of them"]
    page = renderer.page("Of a page, too", rows=2, columns=5)
    cells = page.pixels.reshape(1, 2, 16, 5, 16).swapaxes(2, 3)
    (read,) = plain.read_patches(cells.reshape(1, 10, 256), columns=5)
    assert " ".join(read.parts) == "Of a page, too"


def test_bad_input(renderer, latin, plain, layouts):
    with pytest.raises(TypeError, match="CairoRenderer. Received"):
        PixelReader("a font")
    for name in ("bigrams", "mono", "adaptive"):
        with pytest.raises(ValueError, match="Received: layout="):
            PixelReader(layouts[name])
    pygame = CairoRenderer(renderer.font_stack, baseline="pygame")
    with pytest.raises(ValueError, match="baseline='pygame'"):
        PixelReader(pygame)
    with pytest.raises(ValueError, match="Arab"):
        PixelReader(renderer, scripts=["Latn", "Arab"])
    with pytest.raises(ValueError, match="join or change places"):
        PixelReader(renderer, "abس")
    with pytest.raises(ValueError, match="can draw"):
        PixelReader(latin, "a日")
    with pytest.raises(ValueError, match="none"):
        PixelReader(renderer, "")
    with pytest.raises(ValueError, match="clusters"):
        PixelReader(renderer, ["ab"])
    with pytest.raises(TypeError, match="expected a str"):
        PixelReader(renderer, [7])
    with pytest.raises(ValueError, match="ink. Received: .*colour font"):
        PixelReader(renderer, "a😀")
    with pytest.raises(ValueError, match="beam"):
        PixelReader(renderer, "a", beam=0)
    same = CairoRenderer(renderer.font_stack, ink=50, paper=50)
    with pytest.raises(ValueError, match="ink and paper that differ"):
        PixelReader(same, "a")
    pixels = renderer("ab").pixels
    for wrong in (
        pixels[:, :15],
        pixels[:, :, :-1],
        pixels[0, 0],
        pixels[:, :0],
    ):
        with pytest.raises(ValueError, match="whole patches"):
            plain.read(wrong)
    with pytest.raises(TypeError, match="int64"):
        plain.read(pixels.astype("int64"))
    with pytest.raises(ValueError, match="from 0 to 1"):
        plain.read(pixels.astype("float32"))
    with pytest.raises(ValueError, match="NaN"):
        plain.read(np.full((1, 16, 32), np.nan, "float32"))
    for ends in ([1, 2], [-1], [99], [1.5]):
        with pytest.raises(ValueError, match="num_patches"):
            plain.read(pixels, ends)
    with pytest.raises(ValueError, match="patches"):
        plain.read_patches(np.zeros((1, 3, 255), "uint8"))
    with pytest.raises(ValueError, match="divide"):
        plain.read_patches(np.zeros((1, 7, 256), "uint8"), columns=3)


def test_nothing_to_read(plain):
    assert plain.read(np.zeros((0, 16, 32), "uint8")) == []
    (read,) = plain.read(np.full((16, 48), 255, "uint8"))
    assert read.text == ""


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_direction_of_the_renderer(renderer, direction):
    other = CairoRenderer(renderer.font_stack, direction=direction)
    reader = PixelReader(other, "אבגabc 12.()")
    texts = ["abc (אבג) 12.", "אבג (abc) 12.", "ab 12."]
    for text, read in zip(texts, reader.read(other(texts))):
        assert read.is_exact
        assert sorted(read.text) == sorted(text)
