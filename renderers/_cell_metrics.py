"""Clusters and advances of words that are kept, looked up for many at once.

Here: arrays that grow by words. Not here: the words' pixels
(_cell_store.py), what is made of lines (offsets.py)."""

import numpy as np


class Metrics:
    """Clusters and advances of words, each with the space after it.

    Args:
        space: int, advance of the space.
    """

    def __init__(self, space):
        self._numbers = {}
        self._added = []  # What `add` was given, until somebody asks.
        # Clusters, advances; of words first glyph, glyphs, cluster, length.
        self._glyphs = _Rows(2)
        self._words = _Rows(4)
        self._glyphs.append([[0, space]])
        self._words.append([[0, 1, 0, 0]])

    def add_script(self, script):
        """Makes a table for a script; the empty word is in all."""
        self._numbers[script] = {"": 0}

    def add(self, script, words, clusters, advances, places, bounds):
        """Adds words of one line.

        Args:
            script: str.
            words: list of str.
            clusters, advances: int (n,), of the line's glyphs.
            places: int (2, W), first glyph of each word, and of its space.
            bounds: int (2, W), the same of characters.
        """
        rows = np.array([clusters, advances])  # The line's are lent.
        self._added.append((script, words, rows, places, bounds))

    def _number(self, script, words, rows, places, bounds):
        first = self._glyphs.append(rows.T)
        start, end = places
        columns = start + first, end - start + 1, bounds[0]
        columns = np.stack([*columns, bounds[1] - bounds[0]], axis=1)
        number = self._words.append(columns)
        self._numbers[script].update(
            zip(words, range(number, number + len(words)))
        )

    def lines(self, lines):
        """What lines that are joined from words consist of.

        Args:
            lines: list of (script, words).

        Returns:
            `(clusters, advances, counts, widths, lengths)`: int32 (n,), of
            all lines one after the other, as in `LineRun`; int (lines,):
            glyphs, advance in 1/1024 px, characters.
        """
        for added in self._added:
            self._number(*added)
        self._added.clear()
        numbers, counts = [], []
        for script, words in lines:
            numbers += map(self._numbers[script].__getitem__, words)
            counts.append(len(words))
        of_words = self._words.rows[numbers]
        first, sizes, cluster, length = of_words.T
        last = np.cumsum(counts)
        sizes[last - 1] -= 1  # No space after the last word.
        ends = np.cumsum(sizes)
        glyphs = np.arange(ends[-1]) + np.repeat(first - ends + sizes, sizes)
        clusters, advances = self._glyphs.rows[glyphs].T
        # Characters before each word, then before it in its own line.
        before = np.cumsum(length + 1) - length - 1
        begins = last - counts
        places = before - np.repeat(before[begins], counts)
        clusters = clusters + np.repeat(places - cluster, sizes)
        clusters = clusters.astype(np.int32)
        pens = np.cumsum(advances)
        ends = ends[last - 1]
        counts = np.diff(ends, prepend=0)
        widths = np.diff(np.append(0, pens)[ends], prepend=0)
        return clusters, advances, counts, widths, (places + length)[last - 1]


class _Rows:
    """Rows of int32 that grow in number.

    Args:
        columns: int.
    """

    def __init__(self, columns):
        self._memory = np.empty((1024, columns), np.int32)
        self._size = 0

    @property
    def rows(self):
        return self._memory[: self._size]

    def append(self, rows):
        """Adds rows (n, columns); returns the number of the first."""
        first = self._size
        self._size += len(rows)
        if self._size > len(self._memory):
            memory = np.empty((2 * self._size, self._memory.shape[1]), np.int32)
            memory[:first] = self._memory[:first]
            self._memory = memory
        self._memory[first : self._size] = rows
        return first
