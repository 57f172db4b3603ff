"""Lines put together from words that were drawn before.

Here: which texts can be joined, and their layouts, equal to what the full
path draws. Not here: drawing words (_cell_store.py), the full path (_shape.py,
_layout.py, _raster.py), which takes every other text."""

from itertools import accumulate

from pixmodels.renderers._cell_store import NEUTRAL
from pixmodels.renderers._cell_store import CellStore
from pixmodels.renderers._layout import MARGIN
from pixmodels.renderers._layout import Layout

_MOST = 1 << 14  # Characters of a text that is looked at.
# Where a word stands in a list.
_FIRST, _MIDDLE, _LAST, _ONLY = range(4)


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
    """

    def __init__(self, shaper, stack, language, baseline, sides, palette):
        height, self._patch = sides
        self._store = CellStore(
            shaper, stack, language, baseline, height, palette
        )
        self._column = self._store.column
        # As wide as anything that a unit may lack.
        self._blank = self._store.blank(
            self._patch + self._store.space + MARGIN
        )
        self._units = ({}, {}, {}, {})
        self._overhang = {}

    def info(self):
        """`CacheInfo` of the drawn words."""
        return self._store.info()

    def lay_out(self, texts, max_patches):
        """Layouts of those texts that can be joined.

        Args:
            texts: list of str, (str, str) and lists of str.
            max_patches: L.

        Returns:
            list of Layout, with None for every other text.
        """
        if not self._store.usable:
            return [None] * len(texts)
        if self._store.trim():
            for kept in (*self._units, self._overhang):
                kept.clear()
        plans = [self._plan(text, max_patches) for text in texts]
        wanted = {}
        for plan in plans:
            for script, words in plan or ():
                wanted.setdefault(script, []).extend(words)
        self._store.draw(wanted)
        return [
            plan and self._join(text, plan, max_patches - 1)
            for text, plan in zip(texts, plans)
        ]

    def _plan(self, text, max_patches):
        """List of (script, words) that the text is joined from, or None."""
        if isinstance(text, str):
            plan = self._split(text)
            return plan and [plan]
        if isinstance(text, tuple):
            plans = [self._split(part) for part in text]
            return plans if all(plans) else None
        if not 0 < len(text) < max_patches:
            return None
        scripts = self._scripts(text)
        kinds = set(scripts)
        if None in kinds or "" in text:
            return None
        if len(kinds) == 1:
            return [(scripts[0], text)]
        plan = {}
        for script, word in zip(scripts, text):
            plan.setdefault(script, []).append(word)
        return list(plan.items())

    def _split(self, text):
        """(script, words) of a text of one script, or None."""
        if not text.isprintable() or len(text) > _MOST:
            return None
        words = text.split(" ")
        scripts = set(self._scripts(words))
        if len(scripts) > 1:
            scripts.discard(NEUTRAL)
        script = scripts.pop()
        return None if scripts or script is None else (script, words)

    def _scripts(self, words):
        known = self._store.scripts
        try:
            return list(map(known.__getitem__, words))
        except KeyError:
            self._store.classify(words)
            return list(map(known.__getitem__, words))

    def _join(self, text, plan, last):
        if isinstance(text, str):
            return self._text(plan[0], last)
        if isinstance(text, tuple):
            return self._pair(plan, last)
        return self._words(text, last)

    def _strip(self, plan, x, last):
        """((x, pixels), end of the text) of words from `x`, or None."""
        script, words = plan
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

    def _text(self, plan, last):
        found = self._strip(plan, MARGIN, last)
        if found is None:
            return None
        end = min(-(-(found[1] + MARGIN) // self._patch), last)
        return Layout(strips=(found[0],), sep_patches=(end,), num_patches=end)

    def _pair(self, plans, last):
        found = self._strip(plans[0], MARGIN, last)
        if found is None:
            return None
        first = min(-(-(found[1] + MARGIN) // self._patch), last)
        x = (first + 1) * self._patch + MARGIN
        second = self._strip(plans[1], x, last)
        if second is None or x > last * self._patch:
            return None
        end = min(-(-(second[1] + MARGIN) // self._patch), last)
        return Layout(
            strips=(found[0], second[0]),
            sep_patches=(first, end),
            num_patches=end,
        )

    def _words(self, words, last):
        parts = list(map(self._units[_MIDDLE].get, words))
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
        if not self._overhang.keys().isdisjoint(words):
            strip = self._hang(strip, words, starts, size)
            if strip is None:
                return None
        return Layout(
            strips=((0, strip),),
            sep_patches=(starts[-1],),
            num_patches=starts[-1],
            word_starts=(0, *starts),
        )

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
        before = (lead - self._store.left) * height
        if before < 0:
            head = cell[:-before]
            if not lead and not self._is_blank(head):
                self._overhang[word] = head
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

    def _hang(self, strip, words, starts, size):
        """Adds what words have left of their origin, or None where it meets
        ink of the word before."""
        strip = bytearray(strip)
        for word, start in zip(words[1:], starts):
            head = self._overhang.get(word)
            if head is not None:
                at = slice(start * size - len(head), start * size)
                if not self._is_blank(strip[at]):
                    return None
                strip[at] = head
        return strip
