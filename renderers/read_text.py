"""`ReadText`: what a reader returns for one row or page of patches.

Here: data only. Not here: how it is found (pixel_reader.py)."""

from dataclasses import dataclass
from typing import NamedTuple


class ReadCharacter(NamedTuple):
    """One character that was read.

    Attributes:
        text: str, the character, or cluster, as it is written.
        confidence: float in [0, 1], share of the readings that have it here.
        start, end: columns of pixels it takes, from the left of its line;
            those of a ligature are shared out.
        line: int, row of patches on a page, else 0.
        first_patch, last_patch: patches that hold these columns, inclusive,
            counted row by row.
        alternatives: tuple of (str, share), other characters that may stand
            here, most likely first.
    """

    text: str
    confidence: float
    start: int
    end: int
    line: int
    first_patch: int
    last_patch: int
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ReadText:
    """The text of one row or page.

    Attributes:
        parts: tuple of str, the texts between black patches: one, two of a
            pair, all of a pack; of a page its lines.
        characters: tuple of ReadCharacter in the order of reading, those of
            all parts one after the other.
        error: float, mean squared difference of the pixels, as fractions of
            the whole range, from those of the text drawn again; 0 where they
            are equal.
        is_exact: bool, whether the text drawn again gives the very same
            pixels.
        score: float, natural logarithm of the weight of the best reading,
            comparable between readings of the same pixels only.
    """

    parts: tuple[str, ...]
    characters: tuple[ReadCharacter, ...]
    error: float
    is_exact: bool
    score: float

    @property
    def text(self):
        """The parts with line feeds between them."""
        return "\n".join(self.parts)

    @property
    def words(self):
        """Tuple of the words of all parts, cut at white space."""
        return tuple(word for part in self.parts for word in part.split())

    @property
    def confidence(self):
        """Least confidence of a character; 1.0 of an empty text."""
        return min((c.confidence for c in self.characters), default=1.0)

    def __str__(self):
        return self.text
