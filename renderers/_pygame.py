"""Lines as PIXEL's PyGame renderer sets and draws them.

Here: one glyph a character without kerning, full hinting, width and height
of the ink, overlapping glyphs, the vertical placement. Not here: where lines
start (_layout.py). Scripts that need shaping are shaped, unlike there."""

import math
from typing import NamedTuple

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import SizedFont
from pixmodels.renderers._font import cairo_errors
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import load
from pixmodels.renderers._raster import sides
from pixmodels.renderers._shape import Line
from pixmodels.renderers._shape import LineRun
from pixmodels.renderers._unicode import script
from pixmodels.renderers._unicode import without_ignorables

_TAB_SPACES = 8
_TOP = 3  # PIXEL's pad_size, which lowers the lines of word lists.
# Scripts in which a character is a glyph, given that no mark follows.
_PLAIN = frozenset(
    "Armn Bopo Cans Cher Copt Cyrl Dsrt Ethi Geor Goth Grek Hang Hani Hira "
    "Kana Latn Lisu Ogam Runr Shaw Tfng Vaii Yiii Zyyy".split()
)
_OFF = dict.fromkeys(("kern", "liga", "clig", "calt"), False)


class Box(NamedTuple):
    """A glyph's bitmap from its origin, and its advance; whole pixels."""

    left: int
    top: int
    width: int
    height: int
    advance: int


class PygameLine(Line):
    """A line, and the rows of its ink above (`top`) and in all (`height`)."""

    __slots__ = ("height", "top")


class _Glyph(NamedTuple):
    """A glyph, -1 for none: offsets in 1/1024 px, the rest as in LineRun."""

    glyph: int
    x: int
    y: int
    advance: int  # Pixels.
    cluster: int


class GlyphMasks:
    """Draws glyphs of one font over one another as pygame.freetype does.

    Where two meet, of coverage s and d, the result is `s + d - s * d // 255`;
    Cairo would add them.

    Args:
        font: SizedFont.
    """

    def __init__(self, font):
        self._path = font.path
        self._drawing = font.drawing
        self._boxes = {}
        self._masks = {}

    def box(self, glyph):
        """The glyph's `Box`."""
        found = self._boxes.get(glyph)
        if found is None:
            with cairo_errors(self._path):
                extents = self._drawing.glyph_extents([(glyph, 0, 0)])
            left, top, width, height, advance = map(round, extents[:5])
            found = self._boxes[glyph] = Box(left, -top, width, height, advance)
        return found

    def draw(self, cover, placed):
        """Adds glyphs (id, x, y) in pixels to `cover` (H, W), in place."""
        height, width = cover.shape
        for glyph, x, y in placed:
            x, y = int(x), int(y)
            box = self.box(glyph)
            left, top = x + box.left, y - box.top
            columns = slice(max(left, 0), min(left + box.width, width))
            rows = slice(max(top, 0), min(top + box.height, height))
            if columns.start >= columns.stop or rows.start >= rows.stop:
                continue
            mask = self._mask(glyph)[
                rows.start - top : rows.stop - top,
                columns.start - left : columns.stop - left,
            ]
            below = cover[rows, columns].astype(np.uint16)
            cover[rows, columns] = mask + below - mask * below // 255

    def _mask(self, glyph):
        found = self._masks.get(glyph)
        if found is None:
            found = self._masks[glyph] = self._drawn(glyph)
        return found

    def _drawn(self, glyph):
        """Coverage of one glyph inside its box, uint16."""
        cairo = load("cairo")
        box = self.box(glyph)
        surface = cairo.ImageSurface(cairo.FORMAT_A8, box.width, box.height)
        context = cairo.Context(surface)
        context.set_scaled_font(self._drawing)
        with cairo_errors(self._path):
            context.show_glyphs([(glyph, -box.left, box.top)])
        surface.flush()
        shape = box.height, surface.get_stride()
        pixels = np.ndarray(shape, np.uint8, surface.get_data())
        return pixels[:, : box.width].astype(np.uint16)


class PygameShaper:
    """Sets lines as `pygame.freetype.Font.render`. Not thread safe.

    A run of a plain script without marks is one glyph a character, with the
    font's own hinted advances; other runs are shaped by HarfBuzz, for which
    PyGame has no counterpart. A line begins at its first ink.

    Args:
        stack: FontStack.
        size: int, em in 1/1024 px.
        language: BCP 47 tag for HarfBuzz; "c" names none.
    """

    def __init__(self, stack, size, language):
        self._stack = stack
        self._size = size
        self._language = language
        self._fonts = [None] * len(stack)
        self._buffer = load("uharfbuzz").Buffer()

    def font(self, index):
        """The stack's font `index` at this size, opened when first needed."""
        font = self._fonts[index]
        if font is None:
            entry = self._stack.entry(index)
            font = SizedFont(*entry, self._size, hinting="full")
            font.masks = GlyphMasks(font)
            self._fonts[index] = font
        return font

    def line(self, text, levels=None):
        """Shapes a whole line.

        Args:
            text: str, cleaned (_clean.py).
            levels: its embedding levels (_bidi.py), None for all 0.
        """
        line = PygameLine()
        line.missing = []
        runs = itemise(text, levels, self._stack)
        pen = 0
        shaped = []
        for run in runs:
            glyphs = self._run(text, run, line, pen)
            shaped.append(glyphs)
            pen += sum(glyph.advance for glyph in glyphs)
        run_levels = [run.level for run in runs]
        line.mixed = any(level & 1 for level in run_levels)
        order = _bidi.visual_order(run_levels)
        self._place(line, [(runs[i], shaped[i]) for i in order])
        return line

    def _place(self, line, runs):
        """Sets the runs of a line, its ink's width, top and height."""
        lefts, rights, tops, bottoms = [], [], [], []
        pen = 0
        last = 1
        placed = []
        for run, glyphs in runs:
            masks = self.font(run.font).masks
            placed.append((run, pen, glyphs))
            for glyph, x, y, advance, _ in glyphs:
                box = masks.box(glyph) if glyph >= 0 else _NO_INK
                left = pen + box.left + ((x + 512) >> 10)
                top = box.top + ((y + 512) >> 10)
                lefts.append(left)
                rights.append(left + box.width)
                tops.append(top)
                bottoms.append(top - box.height)
                pen += advance
                last = box.width
        if lefts and last == 0:  # A space at the end counts by its advance.
            if pen < min(lefts):
                lefts.append(pen)
            else:
                rights.append(pen)
        left = min(lefts, default=0)
        line.width = max(rights, default=0) - left
        line.top = max(tops, default=0)
        line.height = line.top - min(bottoms, default=0)
        line.runs = [
            self._line_run(run, start - left, glyphs)
            for run, start, glyphs in placed
        ]
        self._spread(line)

    def _line_run(self, run, x, glyphs):
        advances = np.array([g.advance for g in glyphs], np.int64)
        pens = np.cumsum(advances) - advances
        drawn = [
            (g.glyph, pen * UNITS + g.x, g.y)
            for g, pen in zip(glyphs, pens.tolist())
            if g.glyph >= 0
        ]
        return LineRun(
            self.font(run.font),
            x * UNITS,
            np.array(drawn, np.int32).reshape(-1, 3),
            np.array([g.cluster for g in glyphs], np.int32),
            (advances * UNITS).astype(np.int32),
            run.start,
            run.end,
            run.level,
        )

    def _spread(self, line):
        """Makes the advances sum up to the width, for what is cut by them."""
        runs = [run for run in line.runs if len(run.advances)]
        lacking = line.width * UNITS - sum(int(r.advances.sum()) for r in runs)
        if runs and lacking > 0:
            last = max(runs, key=lambda run: run.end)
            last.advances[0 if last.level & 1 else -1] += lacking

    def _run(self, text, run, line, pen):
        """`_Glyph`s of one run."""
        if text[run.start] == "\t":
            space = self.font(0).space // UNITS
            stop = _TAB_SPACES * max(space, 1)
            width = stop - pen % stop
            return [_Glyph(-1, 0, 0, width, run.start)]
        characters = text[run.start : run.end]
        simple = run.script in _PLAIN and self.font(run.font).colour is None
        if simple and not run.level & 1:
            if without_ignorables(characters) == characters:
                if all(script(c) != "Zinh" for c in characters):
                    return self._nominal(characters, run, line)
        return self._shaped(text, run, line)

    def _nominal(self, characters, run, line):
        font = self.font(run.font)
        glyphs = []
        for index, character in enumerate(characters, run.start):
            glyph = font.shaping.get_nominal_glyph(ord(character)) or 0
            if glyph == 0:
                line.missing.append((index, character))
            advance = font.masks.box(glyph).advance
            glyphs.append(_Glyph(glyph, 0, 0, advance, index))
        return glyphs

    def _shaped(self, text, run, line):
        buffer = self._buffer
        buffer.clear_contents()
        buffer.add_str(text, run.start, run.end - run.start)
        buffer.direction = "rtl" if run.level & 1 else "ltr"
        buffer.script = run.script
        buffer.language = self._language
        features = _OFF if run.script in _PLAIN else None
        font = self.font(run.font)
        load("uharfbuzz").shape(font.shaping, buffer, features)
        glyphs = []
        for info, position in zip(buffer.glyph_infos, buffer.glyph_positions):
            x, y, advance, _ = position.position
            width = (advance + 512) >> 10
            if info.codepoint == 0:
                line.missing.append((info.cluster, text[info.cluster]))
            glyphs.append(_Glyph(info.codepoint, x, y, width, info.cluster))
        return glyphs


_NO_INK = Box(0, 0, 0, 0, 0)


class PygameBaseline:
    """Where a line stands: a text in the middle of the patch by its ink, the
    words of a list on one line 3 px below the middle.

    Args:
        patch_size: side in pixels, or (height, width).
    """

    def __init__(self, patch_size):
        self._height = sides(patch_size)[0]

    def __call__(self, layout, line):
        """1/1024 px from the top; PyGame rounds halves away from zero."""
        if layout.word_starts is not None:
            top = _round(_TOP + self._height / 2 - line.top)
        else:
            top = _round(self._height / 2) - line.height // 2
        return (top + line.top) * UNITS


def _round(value):
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
