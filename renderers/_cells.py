"""Lines put together from words that were drawn before.

Here: which texts can be joined, and their layouts, equal to what the full
path draws. Not here: drawing words (_cell_store.py), the full path (_shape.py,
_layout.py, _raster.py), which takes every other text."""

from itertools import accumulate

import numpy as np

from pixmodels.renderers import _bidi
from pixmodels.renderers._cell_store import NEUTRAL
from pixmodels.renderers._cell_store import CellStore
from pixmodels.renderers._layout import MARGIN
from pixmodels.renderers._placed import Joined
from pixmodels.renderers._placed import JoinedGlyphs
from pixmodels.renderers._placed import Layout
from pixmodels.renderers._raster import draw
from pixmodels.renderers._segment import stands_alone
from pixmodels.renderers._unicode import graphemes

_MOST = 1 << 14  # Characters of a text that is looked at.
_LONGEST = 48  # Characters of a word that is kept in bigrams.
# Where a word stands in a list.
_FIRST, _MIDDLE, _LAST, _ONLY = range(4)


_LAYOUTS = ("continuous", "words", "bigrams")


class Joiner:
    """Lays out texts whose words are drawn already.

    A text is joined when all of it is one left-to-right run of the stack's
    first font: printable, spaces the only white space, one script, every
    character covered, every word one that `CellStore` keeps.

    Args:
        shaper: Shaper.
        stack: FontStack.
        language: as for Shaper.
        baseline: int, 1/1024 px from the top.
        sides: height and width of a patch, pixels.
        palette: Palette.
        layout: the renderer's; None joins nothing.
    """

    def __init__(
        self, shaper, stack, language, baseline, sides, palette, layout
    ):
        self._layout = layout
        self._shaper = shaper
        self._baseline = baseline
        self._sides = sides
        self._palette = palette
        self._bigrams_of = {}
        self._bigram_of = {}
        self._bigram_overhang = {}
        height, self._patch = sides
        self._store = CellStore(
            shaper,
            stack,
            language,
            baseline,
            height,
            palette,
            self._patch,
        )
        self._column = self._store.column
        self._font = shaper.font(0)
        # As wide as anything that a unit may lack.
        self._blank = self._store.blank(
            self._patch + self._store.space + MARGIN
        )
        self._units = ({}, {}, {}, {})
        self._overhang = {}

    def info(self):
        """`CacheInfo` of the drawn words."""
        return self._store.info()

    def lay_out(self, texts, max_patches, offsets=False):
        """Layouts of those texts that can be joined.

        Args:
            texts: list of str, (str, str) and lists of str.
            max_patches: L.
            offsets: whether layouts must hold what offsets are made of;
                those of words and units do not.

        Returns:
            list of Layout, with None for every other text.
        """
        if self._layout not in _LAYOUTS or not self._store.usable:
            return [None] * len(texts)
        if offsets and self._layout != "continuous":
            return [None] * len(texts)
        if self._store.trim(len(self._bigrams_of)):
            for kept in (*self._units, self._overhang, self._bigram_of):
                kept.clear()
            self._bigrams_of.clear()
            self._bigram_overhang.clear()
        if self._layout == "bigrams":
            return [self._bigrams(text, max_patches - 1) for text in texts]
        if self._layout == "words":
            texts = map(_as_words, texts)
        wanted, count = {}, [0]
        plans = [
            None
            if offsets and isinstance(text, list)
            else self._plan(text, max_patches, wanted, count)
            for text in texts
        ]
        lists = any(plan and plan[0] == self._words for plan in plans)
        self._store.draw(wanted, count[0], units=lists)
        layouts = [plan and plan[0](plan[1], max_patches - 1) for plan in plans]
        if offsets:
            self._add_lines(layouts, plans)
        return layouts

    def _add_lines(self, layouts, plans):
        """Adds what offsets are made of."""
        joined, lines, places = [], [], []
        for layout, plan in zip(layouts, plans):
            if not layout:
                continue
            x = MARGIN
            for part, line in enumerate(plan[1]):
                lines.append(line)
                end = layout.num_patches - 1
                places.append((len(joined), part, x, end))
                x = (layout.sep_patches[0] + 1) * self._patch + MARGIN
            joined.append(layout)
        if not joined:
            return
        glyphs = JoinedGlyphs(
            self._font,
            np.array(places, np.int64),
            *self._store.metrics.lines(lines),
            len(joined),
        )
        for index, layout in enumerate(joined):
            layout.glyphs = glyphs
            layout.index = index

    def _plan(self, text, max_patches, wanted, count):
        """(method, its first argument) that joins a text, or None.

        Args:
            text: str, (str, str) or list of str.
            max_patches: L.
            wanted: dict from script to words that must be drawn, added to.
            count: list of one int, words of the texts, added to.
        """
        if isinstance(text, str):
            line = self._split(text, wanted, count)
            return line and (self._text, (line,))
        if isinstance(text, tuple):
            lines = [self._split(part, wanted, count) for part in text]
            return (self._pair, lines) if all(lines) else None
        if not text or not 0 < len(text) < max_patches:
            return None
        kinds = set(map(self._store.scripts.__getitem__, text))
        if None in kinds or "" in text:
            return None
        if NEUTRAL in kinds:
            scripts = self._store.scripts
            wanted.setdefault(NEUTRAL, []).extend(
                word for word in text if scripts[word] == NEUTRAL
            )
        count[0] += len(text)
        return self._words, text

    def _split(self, text, wanted, count):
        """(script, words) of a text of one script, or None."""
        if not text.isprintable() or len(text) > _MOST:
            return None
        words = text.split(" ")
        scripts = set(map(self._store.scripts.__getitem__, words))
        neutral = NEUTRAL in scripts
        if neutral and len(scripts) > 1:
            scripts.discard(NEUTRAL)
        script = scripts.pop()
        if scripts or script is None:
            return None
        if neutral:
            wanted.setdefault(script, []).extend(words)
        count[0] += len(words)
        return script, words

    def _strip(self, line, x, last):
        """((x, pixels), end of the text) of words from `x`, or None."""
        script, words = line
        table = self._store.cells[script]
        try:
            strip = b"".join(map(table.get, words))
        except TypeError:  # A word without a cell.
            return None
        end = x + len(strip) // self._column - self._store.space
        if end > last * self._patch:
            return None
        x -= self._store.left
        if x < 0:
            strip, x = strip[-x * self._column :], 0
        return (x, strip), end

    def _text(self, lines, last):
        found = self._strip(lines[0], MARGIN, last)
        if found is None:
            return None
        strip, x = found
        end = min(-(-(x + MARGIN) // self._patch), last)
        return Joined((strip,), (end,), ((0, 0, end),))

    def _pair(self, lines, last):
        found = self._strip(lines[0], MARGIN, last)
        if found is None:
            return None
        first = min(-(-(found[1] + MARGIN) // self._patch), last)
        x = (first + 1) * self._patch + MARGIN
        second = self._strip(lines[1], x, last)
        if second is None or x > last * self._patch:
            return None
        end = min(-(-(second[1] + MARGIN) // self._patch), last)
        return Joined(
            (found[0], second[0]),
            (first, end),
            ((0, 0, first), (1, min(first + 1, end), end)),
        )

    def _words(self, words, last):
        parts = list(map(self._store.units.get, words))
        if len(words) == 1:
            parts[0] = self._unit(words[0], _ONLY)
        else:
            parts[0] = self._unit(words[0], _FIRST)
            parts[-1] = self._unit(words[-1], _LAST)
        if None in parts:  # Not drawn yet, or without a cell.
            for index in range(1, len(parts) - 1):
                if parts[index] is None:
                    parts[index] = self._unit(words[index], _MIDDLE)
            if None in parts:
                return None
        size = self._patch * self._column
        starts = [length // size for length in accumulate(map(len, parts))]
        if starts[-1] > last:
            return None
        strip = b"".join(parts)
        strip = self._hang(strip, words, starts, self._overhang)
        return strip and _in_words(strip, starts)

    def _unit(self, word, place):
        """A word's pixels in whole patches, or None."""
        unit = self._units[place].get(word)
        if unit is not None:
            return unit
        cell = self._store.cells[self._store.scripts[word]][word]
        if cell is None:
            return None
        height, space = self._column, self._store.space
        lead = MARGIN if place in (_FIRST, _ONLY) else 0
        tail = space if place in (_FIRST, _MIDDLE) else MARGIN
        end = lead + len(cell) // height - space + tail
        size = -(-end // self._patch) * self._patch * height
        unit = self._store.units.get(word, b"")
        if place == _LAST and len(unit) == size:
            self._units[place][word] = unit
            return unit
        before = (lead - self._store.left) * height
        if before < 0:
            head = cell[:-before]
            if not lead and not self._is_blank(head):
                self._overhang[word] = head, b""
            unit = cell[-before:]
        else:
            unit = self._blank[:before] + cell
        if tail == space and not self._is_blank(unit[size:]):
            return None
        unit = unit[:size] + self._blank[: max(size - len(unit), 0)]
        self._units[place][word] = unit
        return unit

    def _is_blank(self, columns):
        return columns == self._blank[: len(columns)]

    def _hang(self, strip, words, starts, overhang):
        """Adds the ink outside of words' patches; None where that fails.

        Args:
            strip: bytes, the words drawn so far.
            words: list of str.
            starts: list of int, the patch where each word ends.
            overhang: dict from word to (head, tail): bytes of columns left
                and right of the word's patches.
        """
        found = [k for k, word in enumerate(words) if word in overhang]
        if not found:
            return strip
        strip = bytearray(strip)
        size = self._patch * self._column
        for index in found:
            begin = starts[index - 1] * size if index else 0
            end = starts[index] * size
            head, tail = overhang[words[index]]
            # Left of the canvas nothing is drawn; the end patch hides ink.
            places = (begin - len(head), head), (end, tail)
            for at, ink in places[not begin : 2 - (end >= len(strip))]:
                at = slice(at, at + len(ink))
                below = strip[at]
                if not self._is_blank(below):
                    ink = self._palette.merge(below, ink)
                    if ink is None:
                        return None
                strip[at] = ink
        return bytes(strip)

    def _bigrams(self, text, last):
        """Layout of a str whose units look the same wherever they stand."""
        if not isinstance(text, str) or not text.isprintable():
            return None
        words = text.split() if len(text) <= _MOST else ()
        if not 0 < len(words) <= last:
            return None
        parts = list(map(self._bigrams_of.get, words))
        missing = parts.count(None)
        self._store.count(len(words) - missing, missing)
        if missing:
            for index, word in enumerate(words):
                if parts[index] is None:
                    parts[index] = self._bigrams_of_word(word)
        if False in parts:
            return None
        size = self._patch * self._column
        starts = [length // size for length in accumulate(map(len, parts))]
        if starts[-1] > last:
            return None
        strip = self._hang(b"".join(parts), words, starts, self._overhang)
        return strip and _in_words(strip, starts)

    def _bigrams_of_word(self, word):
        """A word's pixels in whole patches, or False."""
        found = False
        if len(word) > _LONGEST:
            return found
        if _bidi.levels(word)[0] is None and stands_alone(word):
            found = self._joined_units(word)
        self._bigrams_of[word] = found
        return found

    def _joined_units(self, word):
        # As UnitShaper cuts such a word.
        clusters = list(word) if word.isascii() else graphemes(word)
        texts = [
            "".join(clusters[index : index + 2])
            for index in range(0, len(clusters), 2)
        ]
        parts = list(map(self._bigram, texts))
        if False in parts:
            return False
        outside = self._bigram_overhang
        if texts[0] in outside or texts[-1] in outside:
            head, _ = outside.get(texts[0], (b"", b""))
            _, tail = outside.get(texts[-1], (b"", b""))
            self._overhang[word] = head, tail
        size = self._patch * self._column
        starts = [length // size for length in accumulate(map(len, parts))]
        strip = b"".join(parts)
        strip = self._hang(strip, texts, starts, self._bigram_overhang)
        return False if strip is None else strip

    def _bigram(self, text):
        """A unit's pixels in whole patches, or False if ink leaves them."""
        found = self._bigram_of.get(text)
        if found is not None:
            return found
        line = self._shaper.line(text)
        side = self._patch
        count = max(1, -(-line.width // side))
        # With a patch on both sides, to see what of the ink is there.
        layout = Layout(lines=[(side, line)], num_patches=count + 2)
        pixels = draw(
            [layout], self._baseline, self._sides, count + 2, self._palette
        )[0]
        columns = pixels.swapaxes(0, 1)
        inked = np.any(columns != self._palette.paper, axis=1)
        inked = inked.reshape(len(columns), -1).any(axis=1)
        found = False
        if not (line.missing or line.mixed or inked[[0, -1]].any()):
            found = columns[side:-side].tobytes()
            if inked[:side].any() or inked[-side:].any():
                where = np.flatnonzero(inked).tolist()
                head = columns[min(where[0], side) : side]
                tail = columns[-side : max(where[-1] + 1 - len(columns), -side)]
                self._bigram_overhang[text] = head.tobytes(), tail.tobytes()
        self._bigram_of[text] = found
        return found


def _in_words(strip, starts):
    """A layout of words that end where `starts` says."""
    end = starts[-1]
    return Joined(((0, strip),), (end,), ((0, 0, end),), (0, *starts))


def _as_words(text):
    """The words of a str, a list as it is; what is never joined as []."""
    if isinstance(text, str):
        return text.split() if text.isprintable() else []
    return text if isinstance(text, list) else []
