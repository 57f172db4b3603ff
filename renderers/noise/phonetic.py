"""Words spelled otherwise, for the ear."""

import string

from pixmodels.renderers.noise import _phonemes
from pixmodels.renderers.noise import tables
from pixmodels.renderers.noise._attack import Attack

_LETTERS = frozenset(string.ascii_lowercase)
_STROKES = 3
# The shortest words, such as "of", are the most irregular.
_SHORTEST = 3


class Phonetic(Attack):
    """Spells English words in another way that sounds the same.

    Each word of at least three ASCII letters that can be respelled is so
    with chance p, by one to three changes such as ph to f, ight to ite, x to
    ks. A change is taken only where the word, read by a small table of
    English spelling, sounds as before. Other words stay. It knows the rules
    of English spelling, not its many exceptions, and nothing of other
    languages.

    Source: the idea is that of Zeroé's "phonetic". The attack is **not** the
    original: Zeroé's goes from letters to sounds and back by two neural
    models, PIXEL's by counts of letters and sounds in the CMU dictionary
    with PIXEL's own scale of severity (chance 1 - 1/(20 p + 1) for words and
    again for sounds); neither's models and tables are free to pass on. Ours
    are rules of our own, and p is the chance of a word.

    Example:
        >>> Phonetic()("The knight quickly took a photo", p=1.0, seed=4)
        'The nite quicly toock a foto'
    """

    name = "phonetic"

    def _word(self, clusters, p, stream, fits):
        word = "".join(clusters)
        lower = word.lower()
        if len(lower) < _SHORTEST or not _LETTERS.issuperset(lower):
            return None
        new = lower
        for _ in range(1 + stream.below(_STROKES)):
            others = [w for w in _phonemes.respellings(new) if w != lower]
            if others:
                new = others[stream.below(len(others))]
        if new == lower:
            return None
        new = tables.with_case_of(word, new)
        return [new] if fits([new]) else None
