"""One line of text out of its ink.

Here: exact or noisy search, the weights of its readings, the characters of
the best one from left to right. Not here: black patches (_read_pixels.py),
the order of reading (_read_bidi.py), whole rows and pages (pixel_reader.py)."""

from typing import NamedTuple

import numpy as np

from pixmodels.renderers._layout import MARGIN
from pixmodels.renderers._read_beam import BeamReader
from pixmodels.renderers._read_beam import Noisy
from pixmodels.renderers._read_exact import ExactReader
from pixmodels.renderers._read_noise import first_guess
from pixmodels.renderers._read_noise import second_guess
from pixmodels.renderers._read_tokens import UNKNOWN
from pixmodels.renderers._unicode import graphemes

_SURE = 0.9


class Glyph(NamedTuple):
    """A character where it stands.

    Attributes:
        text: str, as it looks.
        confidence: float.
        start, end: pixels from the left of the line.
        alternatives: tuple of (str, share).
    """

    text: str
    confidence: float
    start: int
    end: int
    alternatives: tuple


class LineInk(NamedTuple):
    """A line to read.

    Attributes:
        exact: uint8 (W, H) coverage by columns, or None.
        noisy: float32 (W, H), 1 full ink.
        starts: list of int, pens at which the text may begin.
        is_closed: bool, whether a black patch stands right of it.
        fills: bool, whether spaces fill the line up to its last patch.
    """

    exact: np.ndarray | None
    noisy: np.ndarray
    starts: list
    is_closed: bool
    fills: bool


class LineReader:
    """Reads lines with one set of tokens.

    Args:
        tokens: Tokens.
        prior: Prior.
        beam: states for each pen of noisy lines.
        patch: width of a patch.
        words: whether words begin at patches.
    """

    def __init__(self, tokens, prior, beam, patch, words):
        self._tokens = tokens
        self._prior = prior
        self._beam_size = beam
        self._beam = None
        self._exact = ExactReader(tokens)
        self._patch = patch
        self._words = patch if words else None

    def read(self, lines):
        """Readings of lines.

        Args:
            lines: list of LineInk.

        Returns:
            list of (list of Glyph from left to right, score).
        """
        found = [self._read_exact(line) for line in lines]
        noisy = [n for n, lattice in enumerate(found) if lattice is None]
        for number, lattice in zip(
            noisy, self._read_noisy([lines[n] for n in noisy])
        ):
            found[number] = lattice
        return [
            self._glyphs(line, *self._decode(lattice))
            for line, lattice in zip(lines, found)
        ]

    def _read_exact(self, line):
        if line.exact is None:
            return None
        if not line.exact.any():
            return ()
        options = {"patch": self._words}
        found = self._exact.read(line.exact, line.starts, **options)
        if found is None:
            found = self._exact.read(
                line.exact, line.starts, clipped=True, **options
            )
        if found is not None:
            tokens = found.tokens
            begin = self._prior.begin(tokens)
            own = self._prior.own(tokens)
            found.add(own, begin, self._prior.beside)
        return found

    def _read_noisy(self, lines):
        if not lines:
            return []
        if self._beam is None:
            self._beam = BeamReader(self._tokens, self._prior, self._beam_size)
        guesses = [first_guess(line.noisy, self._patch) for line in lines]
        found = self._search(lines, guesses)
        again = []
        for number, (line, lattice) in enumerate(zip(lines, found)):
            if lattice is None:
                continue
            steps, _ = lattice.decode(self._tokens.texts)
            picture = self._picture(steps, line.noisy.shape)
            better = second_guess(line.noisy, picture, self._patch)
            if better.is_far_from(guesses[number]):
                again.append((number, better))
            else:
                noisy = self._noisy(line, better)
                found[number] = self._beam.weigh(lattice, noisy)
        second = self._search(
            [lines[number] for number, _ in again],
            [better for _, better in again],
        )
        for (number, _), lattice in zip(again, second):
            found[number] = lattice or found[number]
        return found

    def _search(self, lines, guesses):
        return self._beam.read(
            [self._noisy(line, guess) for line, guess in zip(lines, guesses)]
        )

    def _noisy(self, line, guess):
        ends = None
        if line.is_closed:
            # The black patch is the first that leaves the margin free.
            width = len(line.noisy)
            ends = width - self._patch - MARGIN + 1, width - MARGIN
            if width == self._patch:
                ends = 0, ends[1]
        return Noisy(guess.ink, guess.weights, line.starts, self._words, ends)

    def _picture(self, steps, shape):
        """float32 (W, H): the ink of a path."""
        picture = np.zeros(shape, np.float32)
        for step in steps:
            ink = self._tokens.inks[step.token]
            first = step.pen + int(self._tokens.lefts[step.token])
            start, end = max(first, 0), min(first + len(ink), len(picture))
            if start < end:
                picture[start:end] += ink[start - first : end - first] / 255
        return np.minimum(picture, 1, out=picture)

    def _decode(self, lattice):
        """`(steps, score)`; scripts weigh by their share of the line."""
        if not lattice:
            return [], 0.0
        texts = self._tokens.texts
        steps, score = lattice.decode(texts)
        if len(self._prior.scripts) < 2:
            return steps, score
        tokens = [
            step.token
            for step in steps
            if step.share > _SURE or not step.others
        ] or [step.token for step in steps]
        shares = self._prior.shares(tokens)
        weigh = self._prior.weigh

        def beside(left, right, gap):
            return weigh(shares, right, left, gap)

        lattice.add(0.0, weigh(shares, lattice.tokens), beside)
        return lattice.decode(texts)

    def _glyphs(self, line, steps, score):
        """`(list of Glyph, score)`."""
        result = []
        pen = line.starts[0]
        space = self._tokens.space
        for number, step in enumerate(steps):
            if step.gap:
                result.append(Glyph(" ", step.share, pen, step.pen, ()))
            pen = step.pen + int(self._tokens.advances[step.token])
            if number + 1 < len(steps) and not steps[number + 1].gap:
                pen = steps[number + 1].pen
            again = step.token == self._tokens.unknown and result
            if again and result[-1].text == UNKNOWN:
                result[-1] = result[-1]._replace(end=pen)
            else:
                result += self._split(step, pen)
        if space is not None and line.fills and line.is_closed:
            width = int(self._tokens.advances[space])
            for _ in range(self._trailing(pen, len(line.noisy), width)):
                result.append(Glyph(" ", 1.0, pen, pen + width, ()))
                pen += width
        return result, score

    def _split(self, step, end):
        text = self._tokens.texts[step.token]
        parts = graphemes(text)
        size = (end - step.pen) / len(parts)
        for number, part in enumerate(parts):
            start = step.pen + round(number * size)
            yield Glyph(
                part,
                step.share,
                start,
                step.pen + round((number + 1) * size),
                step.others if len(parts) == 1 else (),
            )

    def _trailing(self, pen, width, space):
        """Spaces at the end, without which the black patch stood earlier."""
        count = 0
        while pen + MARGIN <= width - self._patch and width > self._patch:
            pen += space
            count += 1
        return count if pen + MARGIN <= width else 0
