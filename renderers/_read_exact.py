"""Readings that explain every pixel of a line.

Here: a trie over columns of ink, and the search from left to right for all
rows of tokens whose ink adds up to the line's. Not here: lines with noise
(_read_beam.py), the choice between equal pictures (_read_lattice.py)."""

import heapq

import numpy as np

from pixmodels.renderers._atlas import over
from pixmodels.renderers._read_lattice import Lattice
from pixmodels.renderers._read_pairs import NEVER

_STATES = 24  # The most states for each column of a line.
_PAD = 64  # Columns beside the line.
_END = -1  # The key of a trie's node that holds its tokens.


class ExactReader:
    """Finds all exact readings of lines.

    Ink is matched column by column: of a token at a pen, the columns that no
    right neighbour can reach must be the line's, less the ink of what stands
    before; in the others the line must have at least as much ink.

    Args:
        tokens: Tokens.
    """

    def __init__(self, tokens):
        self.tokens = tokens
        self._trie = {}
        pairs = tokens.pairs
        self._steps = {}
        inked = tokens.widths > 0
        self.reach = int(min(tokens.lefts[inked].min(initial=0), 0))
        self.depth = 1
        self.lefts = tokens.lefts.tolist()
        self.ends = (tokens.lefts + tokens.widths).tolist()
        self.advances = tokens.advances.tolist()
        self.index = pairs.index.tolist()
        self._rows = {}
        self.contexts = tokens.contexts.tolist()
        self.allowed = [bytes(row) for row in tokens.allowed.astype("u1")]
        self.is_ruled = not tokens.allowed.all()
        several = len({*tokens.scripts, None}) > 2
        self.is_mixed = several or len(tokens.allowed) > 1
        self.margin = max(0, -self.reach)
        deepest = max(1, int(max(self.ends, default=1)))
        height = tokens.inks[0].shape[1]
        shape = (len(tokens), self.margin + deepest, height)
        self.padded = np.zeros(shape, np.uint8)
        for token, ink in enumerate(tokens.inks):
            first = self.margin + self.lefts[token]
            if len(ink):
                self.padded[token, first : first + len(ink)] = ink
        safe = pairs.safe()
        for token in range(len(tokens)):
            if token != tokens.unknown:
                self._insert(token, int(safe[token]))

    def _insert(self, token, safe):
        tokens = self.tokens
        left, ink = self.lefts[token], tokens.inks[token]
        height = ink.shape[1]
        end = self.ends[token]
        depth = max(min(safe, end), 0) if len(ink) else max(safe, 1)
        columns = np.zeros((max(depth, end, 0), height), np.uint8)
        if len(ink):
            columns[max(left, 0) : end] = ink[max(-left, 0) :]
        node = self._trie
        if depth == 0:
            node.setdefault(_END, []).append((token, False))
        for number, column in enumerate(columns, 1):
            node = node.setdefault(column.tobytes(), {})
            if number == depth and depth < end:
                node.setdefault(_END, []).append((token, False))
        node.setdefault(_END, []).append((token, True))
        self.depth = max(self.depth, len(columns))

    def ways(self, left, right):
        """Whether a token is laid over its left neighbour, of another run.

        Returns:
            tuple of bool: what may be; a sign is of the run before it, which
            may not be that of the letter after it.
        """
        if left is None or not self.is_mixed:
            return (False,)
        one, two = self.tokens.scripts[left], self.tokens.scripts[right]
        if self.contexts[left] != self.contexts[right]:
            return (True,)
        if one is None or two is None:
            return (False, True) if two is not None else (False,)
        return (one != two,)

    def steps(self, token):
        """Ascending distances from its pen at which a neighbour may stand."""
        place = self.index[token]
        found = self._rows.get(place)
        if found is None:
            row = self.tokens.pairs.delta[place]
            deltas = np.unique(row[row != NEVER])
            found = self._rows[place] = (row.tolist(), deltas.tolist())
        return found

    def read(self, ink, start, *, patch=None, clipped=False):
        """All exact readings of a line.

        Args:
            ink: uint8 (W, H), coverage by columns.
            start: pen of the first token, or a list of such.
            patch: width of a patch where words stand at patches; else None.
            clipped: whether the last token may reach beyond the line.

        Returns:
            Lattice, or None where there are no exact readings.
        """
        found = _Search(self, ink, start, patch, clipped).run()
        if found is None:
            # Sums of ink stop at 255, which hides what each part has, and
            # letters of two scripts or fonts are laid one over the other.
            found = _Search(self, ink, start, patch, clipped, True).run()
        return found

    def walk(self, columns):
        """(token, whether all of its ink is there) for the line at a pen.

        Args:
            columns: list of bytes; None matches every column.
        """
        node = self._trie
        found = dict(node.get(_END, ()))
        for place, column in enumerate(columns):
            if column is None:
                self._wild([node], columns[place:], found)
                break
            node = node.get(column)
            if node is None:
                break
            here = node.get(_END)
            if here:
                found.update(here)
        return list(found.items())

    @staticmethod
    def _wild(nodes, columns, found):
        """Goes on from a column that matches all; no token is known whole."""
        for column in columns:
            if column is None:
                nodes = [
                    child
                    for node in nodes
                    for key, child in node.items()
                    if key != _END
                ]
            else:
                nodes = [node[column] for node in nodes if column in node]
            for node in nodes:
                for token, _ in node.get(_END, ()):
                    found.setdefault(token, False)


class _Search:
    """The search in one line; a state is (pen, token, what is left of ink).

    `left` of a state is None where all columns up to `free` are explained and
    the others untouched; else (first column, uint8 columns of what is left),
    after which the line is untouched.
    """

    def __init__(self, reader, ink, start, patch, clipped, lenient=False):
        self._reader = reader
        self._lenient = lenient
        self._tokens = reader.tokens
        self._ink = ink
        self._width = len(ink)
        self._patch = patch
        self._clipped = clipped
        self._starts = [start] if isinstance(start, int) else list(start)
        height = ink.shape[1]
        self._blank = bytes(height)
        data = ink.tobytes()
        self._columns = [
            data[at : at + height] for at in range(0, len(data), height)
        ]
        tail = None if clipped else self._blank
        self._columns += [tail] * (reader.depth + _PAD)
        self._next = _next_ink(ink)
        # With room on both sides; beyond a clipped line anything may be.
        pad = ((_PAD, reader.depth + 2 * _PAD), (0, 0))
        self._room = np.pad(ink, pad)
        if clipped:
            self._room[_PAD + self._width :] = 255
        self._walks = {}

    def run(self):
        self._states, self._edges, self._keys = [], [], {}
        self._queue, self._last = [], []
        for pen in self._starts:
            self._expand(None, None, pen, None, self._next[0], None)
        most = _STATES * (self._width + 64)
        while self._queue:
            pen, number = heapq.heappop(self._queue)
            _, token, left, free = self._states[number]
            if free >= self._width:
                self._last.append(number)
            else:
                self._follow(number, pen, token, left, free)
            if len(self._states) > most:
                return None
        return self._lattice()

    def _follow(self, number, pen, token, left, free):
        row, deltas = self._reader.steps(token)
        advance = pen + self._reader.advances[token]
        least = self._reader.reach
        for delta in deltas:
            at = advance + delta
            if at + least <= free:
                self._expand(number, token, at, row, free, left, delta)
        if self._patch and self._tokens.space is not None:
            space = self._tokens.space
            delta = row[self._reader.index[space]]
            if delta != NEVER:
                end = advance + delta + self._reader.advances[space]
                at = -(-end // self._patch) * self._patch
                if at + least <= free:
                    self._expand(number, None, at, None, free, left, gap=1)

    def _expand(self, source, token, at, row, free, left, delta=0, gap=0):
        """Adds the states of all tokens that fit at a pen."""
        reader = self._reader
        found = self._walk(at, free, left)
        if row is not None:
            index = reader.index
            found = [pair for pair in found if row[index[pair[0]]] == delta]
        if token is not None and reader.is_ruled:
            follows = reader.allowed[reader.contexts[token]]
            found = [pair for pair in found if follows[pair[0]]]
        begin = -1 if source is None else source
        unsure = []
        for number, whole in found:
            first = at + reader.lefts[number]
            end = at + reader.ends[number]
            if first == end:
                placed = left, free
            elif free < first or not 0 <= first < self._width:
                continue
            elif whole and left is None and first >= at:
                # Whatever was before it is explained, and so is all of this.
                placed = None, self._next[min(end, self._width)]
            else:
                unsure.append(number)
                continue
            self._edges.append((begin, self._number(at, number, *placed), gap))
        for apart in (False, True) if self._lenient else (False,):
            some = unsure
            if self._lenient:
                some = [n for n in unsure if apart in reader.ways(token, n)]
            if len(some) > 1:
                some = self._below(some, at, free, left, apart)
            for number in some:
                placed = self._subtract(number, at, free, left, apart)
                if placed is not None:
                    number = self._number(at, number, *placed)
                    self._edges.append((begin, number, gap))

    def _below(self, numbers, at, free, left, apart):
        """Those of some tokens that have nowhere more ink than is left."""
        start = at - self._reader.margin
        size = self._reader.padded.shape[1]
        line = self._room[_PAD + start : _PAD + start + size]
        room = line.copy()
        room[: max(free - start, 0)] = 0
        if left is not None:
            first = left[0] - start
            rows = left[1][max(-first, 0) : max(size - first, 0)]
            room[max(first, 0) : max(first, 0) + len(rows)] = rows
        ink = self._reader.padded[numbers]
        bad = (ink > room) & (line < 255)
        if apart:
            bad &= over(line - room, ink) > line
        bad = bad.reshape(len(numbers), -1).any(axis=1).tolist()
        return [number for number, no in zip(numbers, bad) if not no]

    def _number(self, at, token, left, free):
        tail = None if left is None else (left[0], left[1].tobytes())
        key = (at, token, tail, free)
        number = self._keys.get(key)
        if number is None:
            number = self._keys[key] = len(self._states)
            self._states.append((at, token, left, free))
            heapq.heappush(self._queue, (at, number))
        return number

    def _walk(self, at, free, left):
        """Tokens that match at a pen; all columns before `free` are used."""
        if at >= self._width:
            return ()
        if left is None and (at, free) in self._walks:
            return self._walks[at, free]
        depth = self._reader.depth
        columns = self._columns[at : at + depth]
        for place in range(min(free - at, depth, self._width - at)):
            columns[place] = self._blank
        if left is not None:
            start, rest = left
            for place, column in enumerate(rest, start - at):
                if 0 <= place < min(depth, self._width - at):
                    columns[place] = column.tobytes()
        if self._lenient:
            end = max(free, 0 if left is None else left[0] + len(left[1]))
            for place in range(min(end - at, depth, self._width - at)):
                if self._ink[at + place].any():
                    columns[place] = None
        found = self._reader.walk(columns)
        if left is None:
            self._walks[at, free] = found
        return found

    def _subtract(self, token, at, free, left, apart):
        """`(left, free)` after a token is set, or None where it cannot."""
        first = at + self._reader.lefts[token]
        end = min(at + self._reader.ends[token], self._width)
        below = first
        stop = end
        if left is not None:
            below = min(below, left[0])
            stop = max(stop, left[0] + len(left[1]))
        rest = self._ink[below:stop].copy()
        rest[: max(free - below, 0)] = 0
        if left is not None:
            place = left[0] - below
            rest[place : place + len(left[1])] = left[1]
        part = rest[first - below : end - below]
        ink = self._reader.tokens.inks[token][: end - first]
        more = ink > part
        if more.any():
            line = self._ink[first:end]
            laid = over(line - part, ink) if apart else 255
            # Sums stop at 255.
            if (more & (line < laid)).any():
                return None
            ink = np.minimum(ink, part)
            if apart:
                rise = np.minimum(line - np.minimum(laid, line), part)
                ink = np.where(more & (line < 255), part - rise, ink)
        part -= ink
        inked = np.flatnonzero(rest.any(axis=1))
        if not len(inked):
            return None, self._next[min(stop, self._width)]
        free = below + int(inked[0])
        rest = rest[free - below :]
        changed = (rest != self._ink[free:stop]).any(axis=1)
        used = np.flatnonzero(changed)
        if not len(used):
            return None, free
        return (free, rest[: used[-1] + 1]), free

    def _lattice(self):
        """The states on paths that end, as a Lattice."""
        if not self._last:
            return None
        good = set(self._last)
        into = {}
        for edge in self._edges:
            into.setdefault(edge[1], []).append(edge)
        waiting = list(good)
        while waiting:
            for source, *_ in into.get(waiting.pop(), ()):
                if source >= 0 and source not in good:
                    good.add(source)
                    waiting.append(source)
        order = sorted(good, key=lambda n: self._states[n][0])
        place = {number: at for at, number in enumerate(order)}
        first = [-np.inf] * len(order)
        last = [-np.inf] * len(order)
        for number in self._last:
            last[place[number]] = 0.0
        edges = []
        for source, number, gap in self._edges:
            if number in good:
                if source < 0:
                    first[place[number]] = 0.0
                elif source in good:
                    edges.append((place[source], place[number], 0.0, gap))
        pens = [self._states[n][0] for n in order]
        tokens = [self._states[n][1] for n in order]
        own = np.zeros(len(tokens))
        return Lattice(pens, tokens, own, first, last, edges)


def _next_ink(ink):
    """For every column, and the one after the last, the next with ink."""
    width = len(ink)
    inked = ink.any(axis=1)
    places = np.where(inked, np.arange(width), 1 << 30)
    found = np.minimum.accumulate(places[::-1])[::-1]
    return [*found.tolist(), 1 << 30]
