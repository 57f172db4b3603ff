"""Misspellings that people have made."""

from pixmodels.renderers.noise import _defaults
from pixmodels.renderers.noise import tables
from pixmodels.renderers.noise._attack import Attack


class NaturalTypo(Attack):
    """Replaces words by misspellings of them.

    Each word that the table has is replaced with chance p by one of its
    misspellings. Where only its lower-case form is there, the misspelling
    takes the word's case: Capital, CAPITALS.

    Args:
        typos: dict from a word to a list of its misspellings, by
            `read_typos`; None: some 190 common English words with
            misspellings, written for this package. It is small: of running
            text it knows about one word in ten.

    Source: Zeroé's "natural-typo", on its en.natural (that of Belinkov &
    Bisk 2018). Differs in the case of letters, in the misspellings of words
    that stand in the file twice (Zeroé takes the last line, we take all),
    and in the built-in table.

    Example:
        >>> NaturalTypo({"believe": ["beleive"]})("Believe me", p=1.0)
        'Beleive me'
    """

    name = "natural_typo"

    def __init__(self, typos=None):
        self._given = typos
        self._typos = tables.checked(
            "typos", _defaults.typos() if typos is None else typos
        )

    def _word(self, clusters, p, stream, fits):
        word = "".join(clusters)
        found = self._typos.get(word)
        if not found:
            found = self._typos.get(word.lower())
            if not found:
                return None
        typo = found[stream.below(len(found))]
        if word not in self._typos:
            typo = tables.with_case_of(word, typo)
        return [typo] if typo != word and fits([typo]) else None

    def _options(self):
        return tables.described("typos", self._given)
