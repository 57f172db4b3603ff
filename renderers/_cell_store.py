"""Words drawn once and kept as bytes.

Here: which words may be kept, drawing many in one call, the bound on memory.
Not here: joining lines from them (_cells.py)."""

import string
import unicodedata
from typing import NamedTuple

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers import _harfbuzz
from pixmodels.renderers._cairo_glyphs import place
from pixmodels.renderers._cairo_glyphs import show_glyphs
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import round_to_pixel
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import load
from pixmodels.renderers._shape import Shaper
from pixmodels.renderers._shape import to_pixels

NEUTRAL = "Zyyy"
_CHUNK = 1024  # Characters shaped and drawn in one call.
_LONGEST = 48  # Characters of a word that is kept.
_ROOM = 5  # Pixels beside each cell that must stay blank.
_UNKNOWN = 1  # Where the reach of a glyph to the left was not asked yet.
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
        palette: Palette.
        maxsize: words that are kept; when there are more, all go.

    Attributes:
        usable: bool, whether the first font has a space of some width.
        space, left: pixels of a space, and of the half of it before a word.
        column: bytes of a column of pixels.
        scripts: dict from word to its script, `NEUTRAL`, or None where the
            word is no single run of the first font.
        cells: dict from script to a dict from word to bytes or None.
        metrics: dict from script to a dict from word to (array, start): int32
            (2, n) of clusters, counted from `-start`, and advances, as in
            `LineRun`, of the word and a space after it.
    """

    def __init__(
        self,
        shaper,
        stack,
        language,
        baseline,
        height,
        palette,
        maxsize=1 << 16,
    ):
        self._shaper = shaper
        self._stack = stack
        self._baseline = baseline
        self._height = height
        self._palette = palette
        self._maxsize = maxsize
        self._buffer = _harfbuzz.Buffer(language)
        font = shaper.font(0)
        self.space = font.space // UNITS
        self.left = (self.space + 1) // 2
        self.column = height * palette.channels
        self._glyph = font.shaping.get_nominal_glyph(ord(" "))
        self.usable = (
            self.space > 0
            and isinstance(shaper, Shaper)
            and font.colour is None
            and self._glyph is not None
            and not font.harfbuzz.has_rules_for(self._glyph)
        )
        # Between words that are drawn on one line, each with its cell.
        self._spaces = 1 + -(-2 * _ROOM // max(self.space, 1))
        self._ascii = stack.first_covers(string.printable[:-5])
        self.scripts = {}
        self.cells = {}
        self.metrics = {}
        count = font.shaping.face.glyph_count
        self._reaches = np.full((count, 2), _UNKNOWN, np.int32)
        self._hits = self._misses = self._size = 0

    def info(self):
        """`CacheInfo`."""
        return CacheInfo(self._hits, self._misses, self._maxsize, self._size)

    def count(self, hits, misses):
        """Counts words that are kept elsewhere."""
        self._hits += hits
        self._misses += misses

    def trim(self, others=0):
        """Forgets all words once there are too many; True where it did.

        Args:
            others: number of words that are kept elsewhere.
        """
        if max(len(self.scripts), self._size, others) <= self._maxsize:
            return False
        self.scripts.clear()
        self.cells.clear()
        self.metrics.clear()
        self._size = 0
        return True

    def classify(self, words):
        """Fills `scripts` for words that are not in it."""
        for word in words:
            if word not in self.scripts:
                self.scripts[word] = self._script(word)

    def _script(self, word):
        if self._ascii and word.isascii() and len(word) <= _LONGEST:
            if word.upper() != word.lower():
                return (
                    "Latn" if word.isprintable() and " " not in word else None
                )
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
            table = self.cells.setdefault(script, {"": self.blank(self.space)})
            self.metrics.setdefault(script, {"": self._lone_space()})
            new = sorted(set(words).difference(table))
            self._hits += len(words) - len(new)
            self._misses += len(new)
            self._size += len(new)
            for chunk in self._chunks(new):
                self._draw_chunk(script, chunk, table)

    def blank(self, columns):
        """The bytes of columns without ink."""
        return self._palette.paper.tobytes() * (columns * self._height)

    def _chunks(self, words):
        most = max(1, min(_CHUNK, _WIDEST * UNITS // self._shaper.size))
        chunk, count = [], 0
        for word in words:
            if count + len(word) > most and chunk:
                yield chunk
                chunk, count = [], 0
            chunk.append(word)
            count += len(word) + self._spaces
        if chunk:
            yield chunk

    def _draw_chunk(self, script, words, table):
        """Shapes and draws words on one line, cuts it into cells."""
        gap = " " * self._spaces
        text = f"{gap}{gap.join(words)}{gap}"
        # Characters: the first of each word, and the one after its last.
        bounds = np.empty((2, len(words)), np.int64)
        bounds[1] = np.fromiter(map(len, words), np.int64, len(words))
        np.cumsum(bounds[1] + self._spaces, out=bounds[0])
        bounds[0] -= bounds[1]
        bounds[1] += bounds[0]
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
        clusters = infos[:, 2]
        places = np.searchsorted(clusters, bounds)
        good = clusters[places] == bounds
        good &= (infos[places, 1] & _harfbuzz.UNSAFE_TO_BREAK) == 0
        pens = (np.cumsum(advances) - advances)[places] // UNITS
        cells = pens + [[-self.left], [self.space - self.left]]
        good[0] &= good[1]
        good[0] &= self._apart(glyphs, positions[:, 2], clusters, bounds, cells)
        columns, blank = self._paint(glyphs, cells, pens[1, -1])
        good[0] &= blank
        metrics = self.metrics[script]
        rows = np.array([clusters, advances])
        for word, start, end, keep, first, after, at in zip(
            words,
            *(cells * self.column).tolist(),
            good[0].tolist(),
            *places.tolist(),
            bounds[0].tolist(),
        ):
            table[word] = columns[start:end] if keep else None
            metrics[word] = rows[:, first : after + 1], at

    def _lone_space(self):
        return np.array([[0], [self.space * UNITS]], np.int32), 0

    def _apart(self, glyphs, offsets, clusters, bounds, cells):
        """Whether ink stays nearer to its word than to the words beside it."""
        ids = glyphs[:, 0]
        reaches = self._reaches[ids]
        unknown = reaches[:, 0] == _UNKNOWN
        if unknown.any():
            for glyph in np.unique(ids[unknown]):
                self._reaches[glyph] = self._reach(int(glyph))
            reaches = self._reaches[ids]
        if reaches.min() >= -_ROOM and reaches.max() <= _ROOM:
            if not offsets.any():
                return True
        # Ink against the cell of the glyph's own word; spaces have none.
        owner = np.searchsorted(bounds[0], clusters, side="right") - 1
        x = glyphs[:, 1] // UNITS
        wide = np.array([self._advance(int(glyph)) for glyph in ids])
        out = x + reaches[:, 0] < cells[0, owner] - _ROOM
        out |= x + wide + reaches[:, 1] > cells[1, owner] + _ROOM
        apart = np.ones(len(cells[0]), bool)
        apart[owner[out & (reaches != 0).any(axis=1) & (owner >= 0)]] = False
        return apart

    def _advance(self, glyph):
        font = self._shaper.font(0).shaping
        return round_to_pixel(font.get_glyph_h_advance(glyph)) // UNITS

    def _reach(self, glyph):
        """Pixels of ink at the most, left of the pen and right of the
        advance; (0, 0) for no ink."""
        extents = self._shaper.font(0).shaping.get_glyph_extents(glyph)
        if extents is None:
            return -_WIDEST, _WIDEST
        if extents.width == 0:
            return 0, 0
        right = -((extents.x_bearing + extents.width) // -UNITS) + 1
        left = extents.x_bearing // UNITS - 1
        return min(left, 0), max(right - self._advance(glyph), 0)

    def _paint(self, glyphs, cells, end):
        """`(columns, blank)`: bytes; whether no ink is beside each cell."""
        width = int(end) + self._spaces * self.space
        if width > _LIMIT:
            return b"", False
        cairo = load("cairo")
        stride = cairo.ImageSurface.format_stride_for_width(
            cairo.FORMAT_A8, width
        )
        canvas = np.zeros((self._height, stride), np.uint8)
        surface = cairo.ImageSurface.create_for_data(
            canvas.reshape(-1), cairo.FORMAT_A8, width, self._height, stride
        )
        context = cairo.Context(surface)
        context.set_scaled_font(self._shaper.font(0).drawing)
        # On a blank canvas the same as the default, and less work for Cairo.
        context.set_operator(cairo.OPERATOR_ADD)
        inked = glyphs[glyphs[:, 0] != self._glyph]
        show_glyphs(context, place(inked, 0, self._baseline))
        surface.finish()
        ink = np.zeros(stride + 1, np.int64)
        np.cumsum(canvas.any(axis=0), out=ink[1:])
        blank = ink[cells[0]] == ink[cells[0] - _ROOM]
        blank &= ink[cells[1]] == ink[cells[1] + _ROOM]
        pixels = self._palette.pixels(np.ascontiguousarray(canvas.T))
        return pixels.tobytes(), blank
