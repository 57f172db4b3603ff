import collections
import dataclasses

import numpy as np

from pixmodels.tasks._text_rows import counted
from pixmodels.tasks._text_rows import most_frequent_first

_CHUNK = 64  # Texts measured at once.


@dataclasses.dataclass(frozen=True, eq=False)
class TextLengths:
    """How many patches texts take when they are drawn, and what is lost.

    Attributes:
        lengths: (n,) int32, patches, end patch included.
        num_cut: int, texts that the renderer cuts to its `max_patches`.
        num_blank: int, texts of nothing but white space.
        num_with_missing: int, texts with characters that no font has.
        missing: dict from such a character to how many texts name it.

    Example:
        >>> texts = ["ab", "a longer text"]
        >>> pixmodels.tasks.TextLengths.measure(texts, CairoRenderer()).lengths
        array([3, 7], dtype=int32)
    """

    lengths: np.ndarray
    num_cut: int = 0
    num_blank: int = 0
    num_with_missing: int = 0
    missing: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def measure(cls, texts, renderer, start=0, stop=None):
        """Lays texts out, without drawing them.

        Args:
            texts: random-access source of what a renderer takes.
            renderer: `pixmodels.renderers.CairoRenderer`.
            start, stop: which of them.

        Returns:
            `TextLengths` of `texts[start:stop]`.
        """
        stop = len(texts) if stop is None else stop
        parts = []
        for first in range(start, stop, _CHUNK):
            chunk = [texts[i] for i in range(first, min(first + _CHUNK, stop))]
            found = renderer.measure(chunk)
            missing = collections.Counter()
            for characters in found.missing:
                missing.update(characters)
            parts.append(
                cls(
                    found.widths,
                    sum(map(bool, found.truncated)),
                    sum(not "".join(text).strip() for text in chunk),
                    sum(map(bool, found.missing)),
                    dict(missing),
                )
            )
        return cls.join(parts)

    @classmethod
    def join(cls, parts):
        """One after the other: a `TextLengths` of a list of them."""
        missing = collections.Counter()
        for part in parts:
            missing.update(part.missing)
        lengths = [np.zeros(0, np.int32), *(part.lengths for part in parts)]
        return cls(
            np.concatenate(lengths),
            sum(part.num_cut for part in parts),
            sum(part.num_blank for part in parts),
            sum(part.num_with_missing for part in parts),
            dict(missing),
        )

    def of(self, indices):
        """The lengths of some of the texts; what was lost is that of all.

        Args:
            indices: (m,) int.
        """
        return dataclasses.replace(self, lengths=self.lengths[indices])

    def report(self, max_length=None):
        """What is lost on the way from text to patches; JSON-able.

        Args:
            max_length: the longest bucket of a plan, in patches; counts the
                texts that it cuts.

        Returns:
            dict: `texts`, `patches` (with end patches), `longest`,
            `cut_by_renderer`, `blank_texts`, `texts_with_missing_glyphs`,
            `missing_glyphs` (most frequent first) and, with `max_length`,
            `longer_than_max_length`.
        """
        return counted(
            self.lengths,
            max_length,
            cut_by_renderer=self.num_cut,
            blank_texts=self.num_blank,
            texts_with_missing_glyphs=self.num_with_missing,
            missing_glyphs=most_frequent_first(self.missing),
        )
