"""Words without vowels."""

import unicodedata

from pixmodels.renderers.noise._attack import Attack


class Disemvowel(Attack):
    """Drops the vowels of words.

    Each word of at least three clusters that has a vowel and something else
    loses all its vowels with chance p. A cluster is a vowel if its first
    character, accent taken away, is one of `vowels`, in either case.

    Args:
        vowels: str of the letters to drop.

    Source: Zeroé's "disemvowel". Differs in accented vowels, which Zeroé
    keeps, and in the vowels of other alphabets where they are given.

    Example:
        >>> Disemvowel()("reading a café menu", p=1.0)
        'rdng a cf mn'
        >>> Disemvowel(vowels="аеёиоуыэюя")("Москва", p=1.0)
        'Мскв'
    """

    name = "disemvowel"

    def __init__(self, *, vowels="aeiou"):
        if not isinstance(vowels, str) or not vowels:
            raise ValueError(
                f"expected a str of letters. Received: vowels={vowels!r}"
            )
        self._vowels = vowels

    def _word(self, clusters, p, stream, fits):
        kept = [c for c in clusters if not self._is_vowel(c)]
        if len(clusters) < 3 or len(kept) in (0, len(clusters)):
            return None
        return kept if fits(kept) else None

    def _is_vowel(self, cluster):
        first = cluster[0].lower()[0]
        base = unicodedata.normalize("NFD", first)[0]
        return first in self._vowels.lower() or base in self._vowels.lower()

    def _options(self):
        return {"vowels": self._vowels}
