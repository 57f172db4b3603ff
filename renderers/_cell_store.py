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
from pixmodels.renderers._cell_metrics import Metrics
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import cairo_errors
from pixmodels.renderers._font import round_to_pixel
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import load
from pixmodels.renderers._shape import Shaper
from pixmodels.renderers._shape import to_pixels

NEUTRAL = "Zyyy"
_CHUNK = 1024  # Characters shaped and drawn in one call.
_LONGEST = 48  # Characters of a word that is kept.
_ROOM = 3  # Pixels beside each cell that must stay blank.
_UNKNOWN = 1  # Where the reach of a glyph to the left was not asked yet.
_WIDEST = 1 << 13  # Pixels of the canvas that words are drawn on.


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
        patch: int, width of a patch, pixels.
        maxsize: words that are kept; when there are more, all go.

    Attributes:
        usable: bool, whether the first font has a space of some width.
        space, left: pixels of a space, and of the half of it before a word.
        column: bytes of a column of pixels.
        scripts: dict from word to its script, `NEUTRAL`, or None where the
            word is no single run of the first font; a word that is not in it
            is looked at, and drawn by the next `draw`.
        cells: dict from script to a dict from word to bytes or None.
        units: dict from word to bytes: whole patches from the word's origin
            to after its space, of words drawn for lists; words with ink left
            of their origin, and such as have no cell, are not in it.
        metrics: `Metrics` of the words that have been drawn.
    """

    def __init__(
        self,
        shaper,
        stack,
        language,
        baseline,
        height,
        palette,
        patch,
        maxsize=1 << 16,
    ):
        self._shaper = shaper
        self._stack = stack
        self._baseline = baseline
        self._palette = palette
        self._patch = patch
        self._maxsize = maxsize
        self._buffer = _harfbuzz.Buffer(language)
        font = shaper.font(0)
        self.space = font.space // UNITS
        self.left = (self.space + 1) // 2
        self._height = height
        self.column = height * palette.channels
        self._glyph = font.shaping.get_nominal_glyph(ord(" "))
        self.usable = (
            self.space > 0
            and isinstance(shaper, Shaper)
            and font.colour is None
            and self._glyph is not None
            and not font.harfbuzz.has_rules_for(self._glyph)
        )
        self._ascii = stack.first_covers(string.printable[:-5])
        self._new = {}
        self.scripts = _Scripts(self._classify)
        self.cells = {}
        self.units = {}
        self.metrics = Metrics(self.space * UNITS)
        count = font.shaping.face.glyph_count
        self._reaches = np.full((count, 3), _UNKNOWN, np.int32)
        self._hits = self._misses = self._size = 0
        self._canvas = None
        self._units = False

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
        for kept in (self.scripts, self.cells, self.units, self._new):
            kept.clear()
        self.metrics = Metrics(self.space * UNITS)
        self._size = 0
        return True

    def _classify(self, word):
        script = self._script(word)
        # In a line, a neutral word takes the script of the words beside it.
        if script is not None and script != NEUTRAL:
            self._new.setdefault(script, []).append(word)
        return script

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

    def draw(self, wanted=None, count=0, units=False):
        """Draws the words that `scripts` was asked for, and others.

        Args:
            wanted: dict from script to a list of further words.
            count: words that are looked for, as `info` is to report.
            units: whether to keep new words as whole patches, too.
        """
        before = self._misses
        self._units = units
        wanted = wanted or {}
        for script in {**wanted, **self._new}:
            new = self._new.get(script, [])
            self._draw_new(script, {*wanted.get(script, ()), *new})
            new.clear()
        self._hits += max(count - self._misses + before, 0)

    def _draw_new(self, script, words):
        if script not in self.cells:
            self.cells[script] = {"": self.blank(self.space)}
            self.metrics.add_script(script)
        table = self.cells[script]
        new = sorted(words.difference(table))
        self._misses += len(new)
        self._size += len(new)
        for chunk in self._chunks(new):
            self._draw_chunk(script, chunk, table)

    def blank(self, columns):
        """The bytes of columns without ink."""
        return self._palette.paper.tobytes() * (columns * self._height)

    def _chunks(self, words):
        wide = max(1, _WIDEST * UNITS // self._shaper.size)
        most = min(_CHUNK, 2 * wide)  # Letters are half an em, about.
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
        """Shapes words on one line, draws them apart, cuts out their cells."""
        text = f" {' '.join(words)} "
        # Characters: the first of each word, and the one after its last.
        bounds = np.empty((2, len(words)), np.int64)
        bounds[1] = np.fromiter(map(len, words), np.int64, len(words))
        np.cumsum(bounds[1] + 1, out=bounds[0])
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
        good = _alone(clusters, infos[:, 1], places, bounds)
        pens = (np.cumsum(advances) - advances)[places] // UNITS
        origins, ends = self._slots(pens[1] - pens[0])
        cells = np.array([origins - self.left, ends])
        cells[1] = origins + pens[1] - pens[0] + self.space - self.left
        # A damaged font may name glyphs that it has not.
        known = glyphs[:, 0].max() < len(self._reaches)
        if ends[-1] + _ROOM > _WIDEST or not known:
            return self._halve(script, words, table)
        glyphs = glyphs[places[0, 0] :]
        owner = np.repeat(
            np.arange(len(words)),
            np.diff(places[0], append=len(glyphs) + places[0, 0]),
        )
        glyphs[:, 1] += ((origins - pens[0]) * UNITS)[owner]
        raised = positions[places[0, 0] :, 2]
        good &= self._apart(glyphs, raised, owner, cells)
        columns, blank = self._paint(glyphs, cells, int(ends[-1]) + _ROOM)
        good &= blank
        self._keep(columns, words, good, cells, origins, ends, table)
        self.metrics.add(script, words, clusters, advances, places, bounds)

    def _halve(self, script, words, table):
        """Draws words part by part; what cannot be drawn has no cell."""
        if len(words) == 1:
            table[words[0]] = None
            return
        middle = len(words) // 2
        for part in (words[:middle], words[middle:]):
            self._draw_chunk(script, part, table)

    def _slots(self, widths):
        """Where words of so many pixels begin, and the end of their room."""
        sizes = widths + self.space
        if self._units:
            sizes = -(-sizes // self._patch) * self._patch
        ends = np.cumsum(sizes + (self.left + 2 * _ROOM)) - _ROOM
        return ends - sizes, ends

    def _keep(self, columns, words, good, cells, origins, ends, table):
        height = self.column
        bounds = zip(*(cells * height).tolist())
        for word, keep, (start, end) in zip(words, good.tolist(), bounds):
            table[word] = columns[start:end] if keep else None
        if not self._units:
            return
        blank = self.blank(self.left)
        bounds = zip((origins * height).tolist(), (ends * height).tolist())
        left = len(blank)
        for word, (start, end) in zip(words, bounds):
            if table[word] and columns[start - left : start] == blank:
                self.units[word] = columns[start:end]

    def _apart(self, glyphs, raised, owner, cells):
        """Whether ink stays nearer to its word than to the words beside it."""
        ids = glyphs[:, 0]
        reaches = self._reaches[ids]
        unknown = reaches[:, 0] == _UNKNOWN
        if unknown.any():
            for glyph in np.unique(ids[unknown]):
                self._reaches[glyph] = self._reach(int(glyph))
            reaches = self._reaches[ids]
        left, right, wide = reaches.T
        near = left.min() >= -_ROOM - self.left
        near = near and right.max() <= _ROOM + self.space - self.left
        if near and not raised.any():
            return True
        # Ink against the cell of the glyph's own word; spaces have none.
        x = glyphs[:, 1] // UNITS
        out = x + left < cells[0, owner] - _ROOM
        out |= x + wide + right > cells[1, owner] + _ROOM
        out &= ids != self._glyph
        apart = np.ones(len(cells[0]), bool)
        apart[owner[out]] = False
        return apart

    def _reach(self, glyph):
        """Pixels of ink at the most, left of the pen and right of the
        advance, and the advance; (0, 0, advance) for no ink."""
        font = self._shaper.font(0).shaping
        wide = round_to_pixel(font.get_glyph_h_advance(glyph)) // UNITS
        extents = font.get_glyph_extents(glyph)
        if extents is None:
            return -_WIDEST, _WIDEST, wide
        if extents.width == 0:
            return 0, 0, wide
        right = -((extents.x_bearing + extents.width) // -UNITS) + 1
        left = extents.x_bearing // UNITS - 1
        return min(left, 0), max(right - wide, 0), wide

    def _paint(self, glyphs, cells, width):
        """`(columns, blank)`: bytes; whether no ink is beside each cell."""
        font = self._shaper.font(0)
        # What Cairo could not draw spoils a canvas for good: it is not kept.
        kept, self._canvas = self._canvas, None
        kept = kept or _Canvas(self._height, font.drawing)
        inked = glyphs[glyphs[:, 0] != self._glyph]
        with cairo_errors(font.path):
            canvas = kept.draw(place(inked, 0, self._baseline), width)
        self._canvas = kept
        ink = np.zeros(width + 1, np.int64)
        np.cumsum(np.bitwise_or.reduce(canvas, axis=0) != 0, out=ink[1:])
        blank = ink[cells[0]] == ink[cells[0] - _ROOM]
        blank &= ink[cells[1]] == ink[cells[1] + _ROOM]
        return self._palette.pixels(canvas.T).tobytes(), blank


class _Scripts(dict):
    """Scripts of words; looks at a word when it is asked for.

    Args:
        classify: function from a word to its script.
    """

    def __init__(self, classify):
        self._classify = classify

    def __missing__(self, word):
        found = self[word] = self._classify(word)
        return found


class _Canvas:
    """One canvas for many words, and what Cairo needs for it.

    Args:
        height: int, pixels.
        font: `cairo.ScaledFont`.
    """

    def __init__(self, height, font):
        cairo = load("cairo")
        stride = cairo.ImageSurface.format_stride_for_width(
            cairo.FORMAT_A8, _WIDEST
        )
        self._pixels = np.zeros((height, stride), np.uint8)
        self._surface = cairo.ImageSurface.create_for_data(
            self._pixels.reshape(-1), cairo.FORMAT_A8, _WIDEST, height, stride
        )
        self._context = cairo.Context(self._surface)
        self._context.set_scaled_font(font)
        # On a blank canvas the same as the default, and less work for Cairo.
        self._context.set_operator(cairo.OPERATOR_ADD)

    def draw(self, glyphs, width):
        """uint8 (height, width), coverage; valid until the next call."""
        pixels = self._pixels[:, :width]
        pixels.fill(0)
        self._surface.mark_dirty()
        show_glyphs(self._context, glyphs)
        self._context.new_path()  # Raises what went wrong before.
        self._surface.flush()
        return pixels


def _alone(clusters, flags, places, bounds):
    """Whether words begin and end where glyphs may be cut from the line.

    What hangs together with a space makes the word beside it unsafe, too.
    """
    good = clusters[places] == bounds
    good &= (flags[places] & _harfbuzz.UNSAFE_TO_BREAK) == 0
    good = good.all(axis=0)
    alone = good.copy()
    alone[1:] &= good[:-1]
    alone[:-1] &= good[1:]
    return alone
