"""Words drawn once and kept as bytes.

Here: which words may be kept, drawing many in one call, the bound on memory.
Not here: joining lines from them (_cells.py)."""

import unicodedata
from typing import NamedTuple

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers import _harfbuzz
from pixmodels.renderers._cairo_glyphs import place
from pixmodels.renderers._cairo_glyphs import show_glyphs
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import load
from pixmodels.renderers._shape import to_pixels

NEUTRAL = "Zyyy"
_CHUNK = 2048  # Characters shaped and drawn in one call.
_LONGEST = 48  # Characters of a word that is kept.
_GAP = 4  # Blank pixels that are checked on both sides of a drawn word.
_WIDEST = 1 << 13  # Pixels of text drawn in one call, about.
_LIMIT = 32767  # Pixels of a surface of Cairo.


class CacheInfo(NamedTuple):
    """Use of a renderer's store of drawn words.

    Attributes:
        hits, misses: words of joined texts that were found, or drawn anew.
        maxsize, currsize: words that fit, words held.
    """

    hits: int
    misses: int
    maxsize: int
    currsize: int


class CellStore:
    """Draws words of the stack's first font and keeps their pixels.

    A cell is the bytes of a word's columns from left to right, each from top
    to bottom, from half a space before the word to half a space after it: a
    line is its cells one after the other.

    That a word looks the same in every line rests on two answers of
    HarfBuzz: no layout rule of the font names the space, so that none reaches
    across it (else nothing is kept), and the word's glyphs do not hang on the
    spaces around it (unsafe to break; such a word has no cell). Nor has a
    word whose ink passes the middle of a space. What HarfBuzz does not tell:
    rules that name the space as "every other glyph" of a class table and
    then look at the letter behind it.

    Args:
        shaper: Shaper.
        stack: FontStack.
        language: as for Shaper.
        baseline: int, 1/1024 px from the top.
        height: int, pixels.
        maxsize: words that are kept; when there are more, all go.

    Attributes:
        usable: bool, whether the first font has a space of some width.
        space, left: pixels of a space, and of the half of it before a word.
        scripts: dict from word to its script, `NEUTRAL`, or None where the
            word is no single run of the first font.
        cells: dict from script to a dict from word to bytes or None.
    """

    def __init__(
        self, shaper, stack, language, baseline, height, maxsize=1 << 16
    ):
        self._shaper = shaper
        self._stack = stack
        self._baseline = baseline
        self._height = height
        self._maxsize = maxsize
        self._buffer = _harfbuzz.Buffer(language)
        font = shaper.font(0)
        self.space = font.space // UNITS
        self.left = (self.space + 1) // 2
        glyph = font.shaping.get_nominal_glyph(ord(" "))
        self.usable = (
            self.space > 0
            and glyph is not None
            and not font.harfbuzz.has_rules_for(glyph)
        )
        self.scripts = {}
        self.cells = {}
        self._reaches = {}
        self._hits = self._misses = self._size = 0

    def info(self):
        """`CacheInfo`."""
        return CacheInfo(self._hits, self._misses, self._maxsize, self._size)

    def trim(self):
        """Forgets all words once there are too many; True where it did."""
        if max(len(self.scripts), self._size) <= self._maxsize:
            return False
        self.scripts.clear()
        self.cells.clear()
        self._size = 0
        return True

    def classify(self, words):
        """Fills `scripts` for words that are not in it."""
        for word in words:
            if word not in self.scripts:
                self.scripts[word] = self._script(word)

    def _script(self, word):
        if not word:
            return NEUTRAL
        joinable = (
            len(word) <= _LONGEST
            and " " not in word
            and word.isprintable()
            and self._stack.first_covers(word)
            and not unicodedata.category(word[0]).startswith("M")
            and _bidi.levels(word)[0] is None
        )
        if not joinable:
            return None
        runs = itemise(word, None, self._stack)
        return runs[0].script if len(runs) == 1 and not runs[0].font else None

    def draw(self, wanted):
        """Draws what is not held.

        Args:
            wanted: dict from script to a list of words.
        """
        for script, words in wanted.items():
            table = self.cells.setdefault(script, {"": self._blank()})
            new = [word for word in dict.fromkeys(words) if word not in table]
            self._hits += len(words) - len(new)
            self._misses += len(new)
            self._size += len(new)
            for chunk in self._chunks(new):
                self._draw_chunk(script, chunk, table)

    def _blank(self):
        return b"\xff" * (self.space * self._height)

    def _chunks(self, words):
        most = max(1, min(_CHUNK, _WIDEST * UNITS // self._shaper.size))
        chunk, count = [], 0
        for word in words:
            if count + len(word) > most and chunk:
                yield chunk
                chunk, count = [], 0
            chunk.append(word)
            count += len(word) + 1
        if chunk:
            yield chunk

    def _draw_chunk(self, script, words, table):
        """Shapes words between spaces, draws the good ones, fills `table`."""
        text = f" {' '.join(words)} "
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        ends = np.cumsum(lengths + 1)
        starts = ends - lengths
        infos, positions = self._buffer.shape(
            self._shaper.font(0).harfbuzz,
            text.encode("utf-32-le"),
            0,
            len(text),
            0,
            _harfbuzz.tag(script),
            self._shaper.features(script),
        )
        glyphs, advances = to_pixels(infos, positions)
        first = np.searchsorted(infos[:, 2], starts)
        after = np.searchsorted(infos[:, 2], ends)
        unsafe = (infos[:, 1] & _harfbuzz.UNSAFE_TO_BREAK) != 0
        good = (infos[first, 2] == starts) & (infos[after, 2] == ends)
        good &= ~unsafe[first] & ~unsafe[after]
        good &= advances[after] == self.space * UNITS
        pens = np.cumsum(advances) - advances
        counts = np.where(good, after - first, 0)
        owner = np.repeat(np.arange(len(words)), counts)
        chosen = glyphs[
            np.arange(len(owner))
            - np.repeat(np.cumsum(counts) - counts - first, counts)
        ]
        chosen[:, 1] -= pens[first][owner]
        widths = (pens[after] - pens[first]) // UNITS
        good &= self._inside(chosen, owner, widths)
        kept = good[owner]
        self._paint(table, words, good, chosen[kept], owner[kept], widths)

    def _inside(self, glyphs, owner, widths):
        """Whether no glyph of a word can reach another word's cell."""
        reach = np.array([self._reach(glyph) for glyph in glyphs[:, 0]])
        good = np.ones(len(widths), bool)
        if len(glyphs):
            x = glyphs[:, 1] // UNITS
            out = x + reach[:, 0] < -self.left - _GAP
            out |= (
                x + reach[:, 1]
                > (widths + self.space - self.left + _GAP)[owner]
            )
            good[owner[out]] = False
        return good

    def _reach(self, glyph):
        """Pixels (left, right) of a glyph's ink at the most, from its pen."""
        found = self._reaches.get(glyph)
        if found is None:
            shaping = self._shaper.font(0).shaping
            extents = shaping.get_glyph_extents(int(glyph))
            if extents is None:
                found = (-_WIDEST, _WIDEST)
            else:
                left = extents.x_bearing // UNITS - 1
                right = -((extents.x_bearing + extents.width) // -UNITS) + 2
                found = (left, right)
            self._reaches[glyph] = found
        return found

    def _paint(self, table, words, good, glyphs, owner, widths):
        """Draws words side by side and cuts the strip into cells."""
        sizes = widths + self.space
        places = np.cumsum(sizes + 2 * _GAP) - sizes - _GAP
        total = int(places[-1] + sizes[-1]) + _GAP
        table.update(dict.fromkeys(words))
        if total > _LIMIT:
            return
        cairo = load("cairo")
        stride = cairo.ImageSurface.format_stride_for_width(
            cairo.FORMAT_A8, total
        )
        canvas = np.zeros((self._height, stride), np.uint8)
        surface = cairo.ImageSurface.create_for_data(
            canvas.reshape(-1), cairo.FORMAT_A8, total, self._height, stride
        )
        context = cairo.Context(surface)
        context.set_scaled_font(self._shaper.font(0).drawing)
        origins = (places + self.left)[owner] * UNITS
        show_glyphs(context, place(glyphs, origins, self._baseline))
        surface.finish()
        ink = np.append(0, np.cumsum(canvas.any(axis=0)))
        ends = places + sizes
        good = good & (ink[places] == ink[places - _GAP])
        good &= ink[ends] == ink[ends + _GAP]
        data = np.invert(canvas.T).tobytes()
        height = self._height
        for word, start, end, keep in zip(
            words, places.tolist(), ends.tolist(), good.tolist()
        ):
            if keep:
                table[word] = data[start * height : end * height]
