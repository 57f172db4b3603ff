"""All readings of one line that are worth weighing, as a graph.

Here: `Lattice`, its best path and the share of every state in all paths. Not
here: who finds the states (_read_exact.py, _read_beam.py), what becomes of a
path (_read_lines.py)."""

import math
from typing import NamedTuple

import numpy as np

_BEHIND = 12.0  # States whose best path is so far behind are dropped.
_LEAST = 1e-4  # Alternatives with less are not told.


class Step(NamedTuple):
    """One token of a path.

    Attributes:
        pen: int, pixels from the left edge of the row.
        token: int.
        gap: bool, a space that fills its patch stands before it.
        share: float, of all paths those with the same text at this pen.
        others: tuple of (text, share), other texts at this pen.
    """

    pen: int
    token: int
    gap: bool
    share: float
    others: tuple


class Lattice:
    """States (a token at a pen) and edges between them, from left to right.

    Weights are natural logarithms.

    Args:
        pens, tokens: int (S,), by rising pen.
        own: float (S,), weight of each state.
        first, last: float (S,), weight of beginning or ending there, -inf.
        edges: float (E, 4): from, to, weight, gap (0 or 1).
    """

    def __init__(self, pens, tokens, own, first, last, edges):
        self.pens = np.asarray(pens, np.int64)
        self.tokens = np.asarray(tokens, np.int64)
        self.own = np.asarray(own, np.float64)
        self._first = np.asarray(first, np.float64)
        self._last = np.asarray(last, np.float64).tolist()
        edges = np.asarray(edges, np.float64).reshape(-1, 4)
        if (np.diff(edges[:, 1]) < 0).any():
            edges = edges[np.argsort(edges[:, 1], kind="stable")]
        self._edges = edges

    def add(self, own, first=None, beside=None):
        """Adds weights.

        Args:
            own: float (S,), to each state.
            first: float (S,), to beginnings.
            beside: function of (left tokens, right tokens, gaps) that gives
                what is added to edges.
        """
        self.own += own
        if first is not None:
            self._first = self._first + first
        if beside is not None and len(self._edges):
            ends = self._edges[:, :2].astype(np.int64)
            left, right = self.tokens[ends].T
            gaps = self._edges[:, 3] > 0
            self._edges[:, 2] += beside(left, right, gaps)

    def prune(self):
        """Drops what has hardly a share in any path; returns self."""
        own, sources, targets = self.own, *self._edges[:, :2].T.astype(int)
        ahead = (self._first + own).tolist()
        weights = (self._edges[:, 2] + own[targets]).tolist()
        ways = list(zip(sources.tolist(), targets.tolist(), weights))
        for source, target, weight in ways:
            value = ahead[source] + weight
            if value > ahead[target]:
                ahead[target] = value
        after = list(self._last)
        for source, target, weight in reversed(ways):
            value = after[target] + weight
            if value > after[source]:
                after[source] = value
        ahead, after = np.array(ahead), np.array(after)
        through = ahead + after
        least = through.max() - _BEHIND
        kept = np.flatnonzero(through >= least)
        whole = ahead[sources] + weights + after[targets] >= least
        place = np.zeros(len(own), np.int64)
        place[kept] = np.arange(len(kept))
        edges = self._edges[whole]
        edges[:, 0] = place[sources[whole]]
        edges[:, 1] = place[targets[whole]]
        return Lattice(
            self.pens[kept],
            self.tokens[kept],
            own[kept],
            self._first[kept],
            np.asarray(self._last)[kept],
            edges,
        )

    def pairs(self):
        """(left tokens, right tokens, pens of the right, gaps) of edges."""
        ends = self._edges[:, :2].astype(np.int64)
        left, right = self.tokens[ends].T
        return left, right, self.pens[ends[:, 1]], self._edges[:, 3] > 0

    def weighted(self, own, edges):
        """The same states and edges with other weights.

        Args:
            own: float (S,).
            edges: float (E,), as `pairs` orders them.
        """
        rows = self._edges.copy()
        rows[:, 2] = edges
        return Lattice(
            self.pens, self.tokens, own, self._first, self._last, rows
        )

    def decode(self, texts):
        """The best path as a list of `Step`.

        Args:
            texts: list of str, the text of each token.

        Returns:
            `(steps, score)`: score is the weight of the best path.
        """
        best, back, total = self._forward()
        after = self._backward()
        ends = [b + w for b, w in zip(best, self._last)]
        state = max(range(len(ends)), key=ends.__getitem__)
        score = ends[state]
        everything = _log_sum([t + w for t, w in zip(total, self._last)])
        shares = [
            math.exp(min(t + a - everything, 0.0)) for t, a in zip(total, after)
        ]
        at = self._by_pen(texts, shares)
        path = []
        gap = False
        while state is not None:
            text = texts[self.tokens[state]]
            pen = int(self.pens[state])
            found = at[pen]
            others = sorted(
                ((t, s) for t, s in found.items() if t != text and s > _LEAST),
                key=lambda item: -item[1],
            )
            share = min(found[text], 1.0)
            before, gap = back[state]
            token = int(self.tokens[state])
            path.append(Step(pen, token, gap, share, tuple(others)))
            state = before
        path.reverse()
        return path, score

    def _by_pen(self, texts, shares):
        """dict pen -> dict text -> share."""
        at = {}
        for pen, token, share in zip(
            self.pens.tolist(), self.tokens.tolist(), shares
        ):
            found = at.setdefault(pen, {})
            text = texts[token]
            found[text] = found.get(text, 0.0) + share
        return at

    def _forward(self):
        own = self.own.tolist()
        best = [f + o for f, o in zip(self._first.tolist(), own)]
        sums = [[value] for value in best]
        back = [(None, False)] * len(best)
        total = [None] * len(best)
        rows = self._edges.tolist()
        place = 0
        for state in range(len(best)):
            while place < len(rows) and rows[place][1] == state:
                source, _, weight, gap = rows[place]
                source = int(source)
                weight += own[state]
                if best[source] + weight > best[state]:
                    best[state] = best[source] + weight
                    back[state] = (source, bool(gap))
                sums[state].append(total[source] + weight)
                place += 1
            total[state] = _log_sum(sums[state])
        return best, back, total

    def _backward(self):
        """Log of all that follows each state."""
        own = self.own.tolist()
        sums = [[value] for value in self._last]
        after = [None] * len(own)
        rows = self._edges.tolist()
        place = len(rows) - 1
        for state in range(len(own) - 1, -1, -1):
            after[state] = _log_sum(sums[state])
            while place >= 0 and rows[place][1] == state:
                source, _, weight, _ = rows[place]
                sums[int(source)].append(after[state] + weight + own[state])
                place -= 1
        return after


def _log_sum(values):
    top = max(values)
    if len(values) == 1 or top == -math.inf:
        return top
    return top + math.log(sum(math.exp(v - top) for v in values))
