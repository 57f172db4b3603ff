"""`baseline="pygame"`: PIXEL's PyGame renderer, by fact and by pygame itself.

The tests marked `parity` draw with pygame 2 as xplip/pixel 1b0da29,
pygame_renderer.py does, and compare every pixel.
"""

import math
import os

import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer

FONT = "NotoSans-Regular.ttf"


@pytest.fixture(scope="module")
def pygame_renderer(latin):
    return CairoRenderer([FONT], baseline="pygame")


def rows_with_ink(batch, index=0):
    """First and last row with ink, end patch and all after it left out."""
    end = 16 * int(batch.num_patches[index])
    rows = np.flatnonzero((batch.pixels[index, :, :end] < 255).any(1))
    return int(rows[0]), int(rows[-1])


def test_rows_of_ink(latin, pygame_renderer):
    """The rows that were measured in PIXEL's two renderers."""
    found = [rows_with_ink(pygame_renderer(text)) for text in ("aaa", "agj")]
    assert found == [(4, 11), (1, 15)]
    found = [rows_with_ink(latin(text)) for text in ("aaa", "agj")]
    assert found == [(5, 11), (2, 14)]


def test_text_is_centred_by_its_ink(pygame_renderer):
    for text in ("a", "Al", "gyp", "|", "x,y"):
        batch = pygame_renderer(text)
        top, bottom = rows_with_ink(batch)
        assert abs((top + bottom + 1) / 2 - 8) <= 0.5
        left = np.flatnonzero((batch.pixels[0] < 255).any(0))[0]
        assert left == 2


def test_words_stand_on_one_line(pygame_renderer):
    """The baseline of every word is row 11, as 3 + 16 / 2."""
    for word in ("a", "Al", "xxx"):
        batch = pygame_renderer([[word, "gyp"]])
        end = 16 * batch.word_starts[0][1]
        rows = np.flatnonzero((batch.pixels[0, :, :end] < 255).any(1))
        assert rows[-1] == 10


def test_no_kerning_and_no_ligature(latin, pygame_renderer):
    def advances(text):
        line = pygame_renderer._shaper.line(text)
        return line.character_advances(len(text)).tolist()

    assert advances("AV") == advances("A") + advances("V")
    assert len(pygame_renderer._shaper.line("ffi").runs[0][2]) == 3
    assert len(latin._shaper.line("ffi").runs[0][2]) == 1


def test_spaces_count_at_the_end_only(pygame_renderer):
    line = pygame_renderer._shaper.line
    space = pygame_renderer._shaper.font(0).space // 1024
    assert line("a ").width > line("a").width
    assert line("   ").width == 3 * space
    assert line("").width == 0
    assert line("").runs == []


def test_other_scripts_are_shaped(renderer):
    """Joined and reordered, where PyGame draws letter after letter."""
    drawn = CairoRenderer(baseline="pygame")
    for text in ("العربية", "हिन्दी", "e\u0301", "שלום 12"):
        line = drawn._shaper.line(text)
        expected = renderer._shaper.line(text)
        assert line.missing == []
        assert [int(g[0]) for run in line.runs for g in run[2]] == [
            int(g[0]) for run in expected.runs for g in run[2]
        ]
    assert drawn("a日\U000e1000").missing == [("\U000e1000",)]


def test_truncation_is_reported(pygame_renderer):
    text = "A line that does not fit"
    batch = pygame_renderer([text, text.split(), "العربية " * 5], num_patches=5)
    assert batch.pixels.shape == (3, 16, 80)
    for index in (0, 1):
        assert batch.truncated[index]
    assert batch.num_patches.tolist() == [4, 4, 4]


def test_overlap_of_glyphs(latin):
    """Where two bitmaps meet: s + d - s * d // 255."""
    italic = CairoRenderer([FONT], baseline="pygame", font_size=20)
    shaper = italic._shaper
    font = shaper.font(0)
    first, second = (font.shaping.get_nominal_glyph(ord(c)) for c in "fj")
    covers = []
    for placed in ([(first, 9, 30)], [(second, 12, 30)]):
        cover = np.zeros((41, 37), np.uint8)
        font.masks.draw(cover, placed)
        covers.append(cover.astype(int))
    both = np.zeros((41, 37), np.uint8)
    font.masks.draw(both, [(first, 9, 30), (second, 12, 30)])
    one, two = covers
    assert ((one > 0) & (two > 0)).any()
    assert np.array_equal(both, one + two - one * two // 255)


# What pygame draws.


class Reference:
    """PIXEL's PyGame renderer: the same calls of pygame, in the same order."""

    def __init__(self, path, size, side, length):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        self._pygame = pytest.importorskip("pygame")
        freetype = pytest.importorskip("pygame.freetype")
        freetype.init()
        freetype.set_default_resolution(120)
        self._font = freetype.Font(path, size)
        self._font.fgcolor = self._pygame.Color("black")
        self._side = side
        self._length = length

    def __call__(self, item):
        """(pixels, black patches, word starts or None)."""
        size = self._length * self._side, self._side
        self._surface = self._pygame.Surface(size)
        self._surface.fill("white")
        starts = None
        if isinstance(item, str):
            patches = [self._patch(2 + self._sentence(item, 2) + 2)]
        elif isinstance(item, tuple):
            patches = [self._patch(2 + self._sentence(item[0], 2) + 2)]
            left = (patches[0] + 1) * self._side + 2
            end = left + self._sentence(item[1], left) + 2
            patches.append(self._patch(end))
        else:
            starts = self._words(item)
            patches = starts[-1:]
        for patch in patches:
            square = (patch * self._side, 0, self._side, self._side)
            self._pygame.draw.rect(self._surface, "black", square)
        pixels = self._pygame.surfarray.array3d(self._surface)
        return pixels.swapaxes(0, 1)[..., 0], tuple(patches), starts

    def _patch(self, x):
        return min(math.ceil(x / self._side), self._length - 1)

    def _sentence(self, text, left):
        surface, rect = self._font.render(text, self._font.fgcolor)
        rect.midleft = left, self._side / 2
        self._surface.blit(surface, rect)
        return rect.width

    def _words(self, words):
        starts = [0]
        left = 2
        for index, word in enumerate(words):
            last = index == len(words) - 1
            text = word if last else word + " "
            surface, rect = self._font.render(text, self._font.fgcolor)
            rect.left = left
            rect.top = 3 + (self._side / 2 - rect.top)
            self._surface.blit(surface, rect)
            starts.append(self._patch(left + rect.width + 2 * last))
            left = starts[-1] * self._side
            if starts[-1] == self._length - 1:
                break
        return tuple(starts)


TEXTS = [
    "Sphinx of black quartz, judge my vow.",
    "fluffy officers 'Tjfj' WAVE 0123456789 (a+b)*c/d_e ~@#$%^&|",
    "Ünïcode straße, Ærøskøbing, Łódź, İstanbul, ĳ",
    "Съешь ещё этих мягких французских булок.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "aaa",
    "agj",
    "x",
    " a  b ",
    "   ",
    "",
    "A very long line, longer than what fits. " * 9,
]


@pytest.mark.parity
@pytest.mark.parametrize("size", [8, 6, 11, 16])
@pytest.mark.parametrize("side", [16, 17, 13, 29])
@pytest.mark.parametrize("font", [FONT, "NotoSerif-Italic.ttf"])
def test_pixels_are_those_of_pygame(make_renderer, font, side, size):
    path = make_renderer(font).font_stack.entry(0)[0]
    reference = Reference(path, size, side, 101)
    drawn = CairoRenderer(
        [font],
        baseline="pygame",
        font_size=size,
        patch_size=side,
        max_patches=101,
    )
    items = [*TEXTS, *zip(TEXTS[1:], TEXTS)]
    items += [text.split(" ") for text in TEXTS]
    batch = drawn(items, num_patches=101)
    for index, item in enumerate(items):
        pixels, patches, starts = reference(item)
        assert batch.sep_patches[index] == patches, item
        assert batch.word_starts[index] == starts, item
        assert np.array_equal(batch.pixels[index], pixels), item
