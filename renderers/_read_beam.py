"""Readings of lines with noise, by least squares.

Here: `BeamReader`, a search from left to right that keeps the best tokens at
every pen. Not here: estimates of noise (_read_noise.py), the choice between
its readings (_read_lattice.py). Squared errors of a row of tokens are those of
each token alone and of the ink that two neighbours share, so that a search
over neighbours finds the least sum."""

import numpy as np

from pixmodels.renderers._read_beam_search import BeamSearch
from pixmodels.renderers._read_pairs import NEVER

_ODD_END = -5.0  # Weight of an end that the end patch speaks against.
_SHAPES = 64  # Of which pictures are made when they are ranked.
_SIDE = 32  # Lines that are read side by side,
_VALUES = 1 << 24  # as long as they are not too long.


class BeamReader:
    """Finds the readings of least squared error.

    Args:
        tokens: Tokens.
        prior: Prior.
        beam: states kept for each pen.
    """

    def __init__(self, tokens, prior, beam):
        self.tokens = tokens
        self.prior = prior
        self.beam = beam
        lefts, widths = tokens.lefts, tokens.widths
        self.margin = int(max(0, -lefts.min(initial=0)))
        self.deep = int(max((lefts + widths).max(), tokens.advances.max()))
        height = tokens.inks[0].shape[1]
        self.height = height
        size = self.margin + self.deep
        pictures = np.zeros((len(tokens), size, height), np.float32)
        for token, ink in enumerate(tokens.inks):
            first = self.margin + lefts[token]
            pictures[token, first : first + len(ink)] = ink
        pictures /= 255
        self.pictures = pictures
        self.safe = tokens.pairs.safe()
        # Columns that ink of the next token may change are left out.
        places = np.arange(size) - self.margin
        self.sure = (places < self.safe[:, None]).astype(np.float32)
        self.squares = np.square(pictures).sum(axis=2)
        self.shapes = _main_shapes(pictures.reshape(len(tokens), -1))
        self.blank = np.flatnonzero(widths == 0)
        self.shared = self._overlaps()
        delta = tokens.pairs.delta
        kerns = delta[delta != NEVER]
        self.kerns = int(kerns.min()), int(kerns.max())
        self.longest = int(tokens.advances.max()) + self.kerns[1]

    def _overlaps(self):
        """Sum of the product of ink that neighbours share, by `Pairs.index`.

        Returns:
            float32 (n, n), where 1 is a full pixel; 0 for tokens without a
            place in `Pairs`.
        """
        pairs, tokens = self.tokens.pairs, self.tokens
        size = len(pairs.delta)
        result = np.zeros((size, size), np.float32)
        placed = np.flatnonzero(pairs.index)
        places = pairs.index[placed]
        rights = np.zeros((size, *self.pictures.shape[1:]), np.float32)
        rights[places] = self.pictures[placed]
        flat = rights.reshape(size, -1)
        for token in placed:
            place = pairs.index[token]
            picture = self.pictures[token]
            for delta in np.unique(pairs.delta[place]):
                if delta == NEVER:
                    continue
                shift = int(tokens.advances[token] + delta)
                moved = np.zeros_like(picture)
                moved[: max(len(picture) - shift, 0)] = picture[shift:]
                used = np.flatnonzero(moved.any(axis=1))
                if not len(used):
                    continue
                height = self.height
                part = slice(0, (used[-1] + 1) * height)
                some = np.flatnonzero(pairs.delta[place] == delta)
                result[place, some] = flat[some, part] @ moved.reshape(-1)[part]
        return result

    def weigh(self, lattice, line):
        """A lattice that was found before, for other noise.

        Args:
            lattice: Lattice.
            line: Noisy.
        """
        pens, tokens = lattice.pens, lattice.tokens
        size = self.margin + self.deep
        around = ((self.margin, self.deep + size), (0, 0))
        ink = np.pad(line.ink * line.weights[:, None], around)
        weights = np.pad(line.weights, around[0])
        places = pens[:, None] + np.arange(size)
        gains = 2 * np.einsum("ndh,ndh->n", self.pictures[tokens], ink[places])
        gains -= (self.squares[tokens] * weights[places]).sum(axis=1)
        own = gains + self.prior.own(tokens)
        left, right, pens, gaps = lattice.pairs()
        index = self.tokens.pairs.index
        weight = self.prior.beside(left, right, gaps)
        shared = np.where(gaps, 0, self.shared[index[left], index[right]])
        weight -= 2 * shared * line.weights[pens]
        return lattice.weighted(own, weight)

    def read(self, lines):
        """Readings of some lines.

        Args:
            lines: list of `Noisy`.

        Returns:
            list of Lattice, None for lines without any reading.
        """
        order = sorted(range(len(lines)), key=lambda n: len(lines[n].ink))
        result = [None] * len(lines)
        widest = max((len(line.ink) for line in lines), default=1)
        side = max(1, min(_SIDE, _VALUES // (widest * 256)))
        for start in range(0, len(order), side):
            chosen = order[start : start + side]
            found = BeamSearch(self, [lines[n] for n in chosen]).run()
            for number, lattice in zip(chosen, found):
                result[number] = lattice
        return result


def _main_shapes(flat):
    """Pictures as sums of a few shapes, to rank them.

    Args:
        flat: float32 (T, n).

    Returns:
        `(shapes, shares)`: float32 (n, s), (s, T).
    """
    _, values, shapes = np.linalg.svd(flat, full_matrices=False)
    shapes = shapes[: min(_SHAPES, int((values > 1e-6).sum()))].T
    return np.ascontiguousarray(shapes), np.ascontiguousarray((flat @ shapes).T)


class Noisy:
    """A line for `BeamReader`.

    Attributes:
        ink: float32 (W, H), coverage, 1 full, by columns.
        weights: float32 (W,), 1 / (2 sigma^2) of the noise in each column.
        starts: list of int, pens at which the line may begin.
        patch: width of a patch where words stand at patches; else None.
        ends: (first, last) pen at which the text may end; spaces after it
            come more often beyond.
    """

    def __init__(self, ink, weights, starts, patch=None, ends=None):
        self.ink = ink
        self.weights = weights
        self.starts = starts
        self.patch = patch
        self.ends = ends

    def last(self, pens):
        """Weight of an end at pens, float of their shape."""
        first, last = self.ends or (0, len(self.ink) + 1)
        return np.where((pens >= first) & (pens <= last), 0.0, _ODD_END)
