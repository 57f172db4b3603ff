"""The search of `BeamReader` through a batch of lines side by side.

Here: candidates at every pen, states kept, ways between them. Not here: what
is made of them (_read_lattice.py), pictures and overlaps (_read_beam.py)."""

import numpy as np

from pixmodels.renderers._read_lattice import Lattice

_CANDIDATES = 24  # Tokens looked at for each pen.
_DROP = 40.0  # Below the best by this weight, states are dropped.
_UNKNOWN_PIXELS = 3.0  # So much of unknown ink drops no state, either.
_FEW = 3  # States that are kept where all are dropped.
_EDGE = 10.0  # As much for the ways that lead to one state.
_BLANK_SHARE = 0.15  # So many columns of a line are blank, at the least.
_LOOK = 14  # Columns before, of which the best state is compared with.
_PENS = 64  # Scored in full at once.


class BeamSearch:
    """One search through a batch of lines side by side."""

    def __init__(self, reader, lines):
        self._reader = reader
        self._tokens = reader.tokens
        self._prior = reader.prior
        self._lines = lines
        self._width = max(len(line.ink) for line in lines)
        self._patch = lines[0].patch
        space = self._tokens.space
        self._gap = 0
        if self._patch and space is not None:
            self._gap = int(self._patch + self._tokens.advances[space])
        self._history = reader.longest + self._gap
        self._score()

    def _score(self):
        """Scores of the best tokens at every pen of every line."""
        reader, count = self._reader, len(self._lines)
        margin, deep = reader.margin, reader.deep
        shape = (count, margin + self._width + deep, reader.height)
        ink = np.zeros(shape, np.float32)
        weight = np.zeros(shape[:2], np.float32)
        for row, line in enumerate(self._lines):
            end = margin + len(line.ink)
            ink[row, margin:end] = line.ink
            weight[row, margin:end] = line.weights
        self._weight = weight[:, margin : margin + self._width + 1]
        # What a column loses if it is left blank, less what noise alone
        # makes of blank columns.
        energy = np.square(ink).sum(axis=2) * weight
        for row, line in enumerate(self._lines):
            part = energy[row, margin : margin + len(line.ink)]
            noise = np.quantile(part, _BLANK_SHARE)
            part -= min(noise, 0.5 * reader.height)
        energy = energy[:, margin:]
        inked = ink * weight[:, :, None]
        self._ink, self._weights = inked, weight
        self._paid = np.zeros((count, energy.shape[1] + 1))
        np.cumsum(energy, axis=1, out=self._paid[:, 1:])
        most = min(_CANDIDATES, len(self._tokens))
        places = (count, self._width)
        self._candidates = np.zeros((*places, most), np.int32)
        self._gains = np.zeros((*places, most), np.float32)
        self._sure = np.zeros((*places, most), np.float32)
        for row in range(count):
            self._score_row(row, inked[row], weight[row])

    def _score_row(self, row, ink, weight):
        """Chooses the candidates at each pen and scores them."""
        reader, tokens = self._reader, self._tokens
        size = reader.margin + reader.deep
        height = reader.height
        windows = np.lib.stride_tricks.sliding_window_view(
            ink.reshape(-1), size * height
        )[::height][: self._width]
        windows = np.ascontiguousarray(windows)
        weights = np.lib.stride_tricks.sliding_window_view(weight, size)
        weights = np.ascontiguousarray(weights[: self._width])
        shapes, shares = reader.shapes
        gains = 2 * (windows @ shapes @ shares) - weights @ reader.squares.T
        # Ink of neighbours may reach into a token, so all of it counts, by
        # the column: else whatever is narrow would come first.
        rank = (gains - self._lost(row, tokens.advances)) / tokens.advances
        rank += self._prior.own(np.arange(len(tokens))).astype(np.float32)
        rank[:, reader.blank] += 1e9  # Spaces are always looked at.
        most = self._candidates.shape[2]
        best = np.argpartition(-rank, most - 1, axis=1)[:, :most]
        self._candidates[row] = best
        windows = windows.reshape(self._width, size, height)
        for start in range(0, self._width, _PENS):
            part = slice(start, start + _PENS)
            found = best[part]
            columns = 2 * np.einsum(
                "pmdh,pdh->pmd", reader.pictures[found], windows[part]
            )
            columns -= reader.squares[found] * weights[part, None]
            self._gains[row, part] = columns.sum(axis=2)
            columns *= reader.sure[found]
            self._sure[row, part] = columns.sum(axis=2)
        paid = self._paid[row]
        pens = np.arange(self._width)
        ends = np.clip(pens[:, None] + reader.safe[best], 0, len(paid) - 1)
        self._sure[row] -= paid[ends] - paid[pens, None]

    def _lost(self, row, widths):
        """What columns from each pen lose if left blank: (pens, tokens)."""
        paid = self._paid[row]
        pens = np.arange(self._width)
        result = np.empty((self._width, len(widths)), np.float32)
        for width in np.unique(widths):
            ends = np.clip(pens + width, 0, len(paid) - 1)
            result[:, widths == width] = (paid[ends] - paid[pens])[:, None]
        return result

    def run(self):
        count, beam = len(self._lines), self._reader.beam
        past = self._history
        shape = (count, past + self._width, beam)
        self._token = np.zeros(shape, np.int32)
        self._value = np.full(shape, -np.inf)
        self._number = np.full(shape, -1, np.int64)
        # Where the pen would be next without kerning; far away if no state.
        self._next = np.full(shape, -(1 << 20), np.int32)
        size = self._reader.margin + self._reader.deep + 1
        self._tail = np.zeros((*shape, size), np.float32)
        # Each column may lose as much as noise makes of half its pixels.
        self._look = np.arange(_LOOK + 2)
        self._fall = (
            0.5 * self._reader.height * np.maximum(_LOOK - self._look, 0)
        )
        # The furthest pen to which a way leads.
        self._reach = np.zeros(count, np.int64)
        self._lengths = np.array([len(line.ink) for line in self._lines])
        self._top = np.full((count, self._width + 64 + _LOOK), -np.inf)
        self._found = [], []  # States, edges.
        self._states = 0
        for pen in range(self._width):
            self._at(pen)
        return self._lattices()

    def _at(self, pen):
        """Finds the states at one pen."""
        tokens = self._candidates[:, pen]
        count, most = tokens.shape
        edges = self._edges(pen, tokens)
        best = np.full(count * most, -np.inf)
        over = np.zeros(count * most)
        if edges is not None:
            np.maximum.at(best, edges["to"], edges["value"])
            over = self._overhang(pen, tokens, edges, best)
        best, over = best.reshape(count, most), over.reshape(count, most)
        begin = np.array([pen in line.starts for line in self._lines])
        first = np.full((count, most), -np.inf)
        if begin.any():
            first[begin] = self._prior.begin(tokens)[begin]
            best = np.maximum(best, first)
        own = self._gains[:, pen] + self._prior.own(tokens)
        value = best + own
        value[pen >= self._lengths] = -np.inf
        # Without what is not sure of the last token and the one before, less
        # what all columns before have lost.
        net = value - self._gains[:, pen] + self._sure[:, pen] - over
        net -= self._paid[:, pen, None]
        kept = self._keep(pen, tokens, net)
        if kept.any():
            numbers = self._add(pen, tokens, kept, value, own, first)
            if edges is not None:
                self._add_edges(edges, numbers.reshape(-1), best.reshape(-1))

    def _add(self, pen, tokens, kept, value, own, first):
        """Adds the states that are kept; their numbers, else -1."""
        rows, columns = np.nonzero(kept)
        total = len(rows)
        beyond = pen + self._tokens.advances[tokens[rows, columns]]
        np.maximum.at(self._reach, rows, beyond)
        numbers = np.full(kept.shape, -1, np.int64)
        numbers[kept] = np.arange(self._states, self._states + total)
        self._states += total
        found = tokens[rows, columns]
        slot = np.cumsum(kept, axis=1)[rows, columns] - 1
        at = pen + self._history
        self._token[rows, at, slot] = found
        self._value[rows, at, slot] = value[rows, columns]
        self._number[rows, at, slot] = numbers[rows, columns]
        self._next[rows, at, slot] = at + self._tokens.advances[found]
        self._tail[rows, at, slot, :-1] = self._tails(pen, rows, found)
        pens = np.full(total, pen)
        weights = own[rows, columns], first[rows, columns]
        self._found[0].append((rows, pens, found, *weights))
        return numbers

    def _add_edges(self, edges, numbers, best):
        """Adds the ways that are not far behind the best to their state."""
        to = edges["to"]
        close = edges["value"] >= best[to] - _EDGE
        close &= numbers[to] >= 0
        self._found[1].append(
            (
                edges["from"][close],
                numbers[to[close]],
                edges["weight"][close],
                edges["gap"][close],
            )
        )

    def _overhang(self, pen, tokens, edges, best):
        """What the token before gains by ink where it is not sure yet."""
        chosen = np.flatnonzero(edges["value"] == best[edges["to"]])
        chosen = chosen[np.isfinite(edges["value"][chosen])]
        to = edges["to"][chosen]
        places = edges["place"][chosen]
        rows = to // tokens.shape[1]
        reader = self._reader
        safe = pen + reader.safe[tokens.reshape(-1)[to]]
        column = safe - (places - self._history) + reader.margin
        column = np.clip(column, 0, self._tail.shape[3] - 1)
        over = np.zeros(len(best))
        over[to] = self._tail[rows, places, edges["slot"][chosen], column]
        return over

    def _tails(self, pen, rows, tokens):
        """Gain of the columns from each column of a token on."""
        reader = self._reader
        size = reader.margin + reader.deep
        ink = self._ink[rows, pen : pen + size]
        weight = self._weights[rows, pen : pen + size]
        pictures = reader.pictures[tokens]
        gains = 2 * np.einsum("ndh,ndh->nd", pictures, ink)
        gains -= reader.squares[tokens] * weight
        return np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]

    def _keep(self, pen, tokens, net):
        """Which states at a pen stay.

        Args:
            pen: int.
            tokens: int (B, M).
            net: float (B, M), weight of all columns before.

        Returns:
            bool (B, M): the best, less those far behind others that explain
            as many columns.
        """
        # The column up to which each explains the line.
        sure = pen + self._reader.safe[tokens]
        sure = np.clip(sure, 0, self._top.shape[1] - 2 - _LOOK)
        rows = np.arange(len(sure))[:, None]
        np.maximum.at(self._top, (rows, sure + _LOOK), net)
        near = self._top[rows[..., None], sure[..., None] + self._look]
        behind = np.max(near - self._fall, axis=2)
        known = np.isfinite(net)
        behind[known] -= net[known]
        behind[~known] = np.inf
        drop = _DROP + _UNKNOWN_PIXELS * self._weight[:, pen]
        kept = behind <= drop[:, None]
        # Where nothing explains the line and all ways would end, the best go
        # on.
        ends = ~kept.any(axis=1) & (self._reach <= pen)
        if ends.any():
            few = np.partition(behind[ends], _FEW - 1, axis=1)[:, _FEW - 1]
            kept[ends] = behind[ends] <= few[:, None]
            kept[ends] |= tokens[ends] == self._tokens.unknown
            kept &= known
        beam = self._reader.beam
        if net.shape[1] > beam:
            border = np.partition(behind, beam - 1, axis=1)[:, beam - 1]
            kept &= behind <= border[:, None]
        # Of equals at the border only so many.
        return kept & (np.cumsum(kept, axis=1) <= beam)

    def _edges(self, pen, tokens):
        """Ways from earlier states to the candidates at a pen, as a dict."""
        at = pen + self._history
        start = at - self._reader.longest
        found = [self._near(pen, tokens, start, at)]
        if self._gap and pen % self._patch == 0 and pen:
            found.append(self._over_gap(pen, tokens, at))
        found = [edges for edges in found if edges is not None]
        if not found:
            return None
        return {
            name: np.concatenate([edges[name] for edges in found])
            for name in found[0]
        }

    def _near(self, pen, tokens, start, at):
        pairs = self._tokens.pairs
        # How far the pen is from where each state would have it.
        wanted = at - self._next[:, start:at]
        near = (wanted >= self._reader.kerns[0]) & (
            wanted <= self._reader.kerns[1]
        )
        rows, places, slots = np.nonzero(near)
        if not len(rows):
            return None
        wanted = wanted[rows, places, slots]
        places = places + start
        left = self._token[rows, places, slots]
        right = tokens[rows]  # (n, M)
        delta = pairs.delta[pairs.index[left][:, None], pairs.index[right]]
        valid = delta == wanted[:, None]
        if not self._tokens.allowed.all():
            context = self._tokens.contexts[left]
            valid &= self._tokens.allowed[context[:, None], right]
        which, column = np.nonzero(valid)
        if not len(which):
            return None
        left, right = left[which], right[which, column]
        shared = self._reader.shared[pairs.index[left], pairs.index[right]]
        weight = self._prior.beside(left, right)
        weight = weight - 2 * shared * self._weight[rows[which], pen]
        return self._ways(
            rows[which], places[which], slots[which], column, weight, False
        )

    def _over_gap(self, pen, tokens, at):
        """Ways over a space that fills its patch."""
        space = self._tokens.space
        start = at - self._history
        rows, places, slots = np.nonzero(self._number[:, start:at] >= 0)
        places = places + start
        left = self._token[rows, places, slots]
        end = self._tokens.pairs.step(left, space)
        end = end + self._tokens.advances[space] + places - self._history
        good = -(-end // self._patch) * self._patch == pen
        good &= end > places - self._history
        if not good.any():
            return None
        rows, places, slots, left = (
            array[good] for array in (rows, places, slots, left)
        )
        most = tokens.shape[1]
        column = np.tile(np.arange(most), len(rows))
        rows, places, slots, left = (
            np.repeat(array, most) for array in (rows, places, slots, left)
        )
        weight = self._prior.beside(left, tokens[rows, column], True)
        return self._ways(rows, places, slots, column, weight, True)

    def _ways(self, rows, places, slots, column, weight, gap):
        most = self._candidates.shape[2]
        return {
            "from": self._number[rows, places, slots],
            "to": rows * most + column,
            "weight": weight,
            "value": self._value[rows, places, slots] + weight,
            "gap": np.full(len(rows), gap),
            "place": places,
            "slot": slots,
        }

    def _lattices(self):
        count = len(self._lines)
        if not self._found[0]:
            return [None] * count
        rows, pens, tokens, own, first = (
            np.concatenate(part) for part in zip(*self._found[0])
        )
        edges = np.zeros((0, 4))
        if self._found[1]:
            edges = np.stack(
                [np.concatenate(part) for part in zip(*self._found[1])], axis=1
            )
        owner = rows[edges[:, 0].astype(np.int64)]
        result = []
        for row, line in enumerate(self._lines):
            mine = np.flatnonzero(rows == row)
            if not len(mine):
                result.append(None)
                continue
            part = edges[owner == row]
            part[:, :2] = np.searchsorted(mine, part[:, :2])
            ends = pens[mine] + self._tokens.advances[tokens[mine]]
            last = line.last(ends)
            part = part[np.argsort(part[:, 1], kind="stable")]
            found = Lattice(
                pens[mine], tokens[mine], own[mine], first[mine], last, part
            )
            result.append(found.prune())
        return result
