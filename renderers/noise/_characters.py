"""Attacks on characters rather than words.

Here: chances and choices for each letter. Not here: the tables."""

from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers.noise import _words
from pixmodels.renderers.noise._attack import Attack
from pixmodels.renderers.noise._draws import below
from pixmodels.renderers.noise._draws import uniform


class CharacterAttack(Attack):
    """Replaces each letter and digit of a text with chance p by another."""

    unit = "character"

    def _parts(self, texts, p, draws):
        if p == 0:
            return texts
        split = [_words.split(text)[0] for text in texts]
        raws = draws.table(sum(map(len, split)), 2)
        place = 0
        result = []
        for clusters in split:
            pieces = list(clusters)
            for index, cluster in enumerate(clusters):
                chance, choice = raws[place]
                place += 1
                if uniform(chance) < p and _words.is_letter(cluster):
                    _replace(pieces, index, self._others(cluster), choice)
            result.append("".join(pieces))
        return result

    def _others(self, cluster):
        """`(texts, limits)`: stand-ins and their rising chances, or Nones."""
        found = self._look_up(cluster)
        if found[0] is not None or len(cluster) == 1:
            return found
        # The mark stays on a stand-in for the letter below it.
        texts, limits = self._look_up(cluster[0])
        if texts is None:
            return None, None
        texts = [text + cluster[1:] for text in texts]
        return [t if len(graphemes(t)) == 1 else None for t in texts], limits

    def _look_up(self, text):
        """`(texts, limits)` of the table, limits None for equal chances."""
        raise NotImplementedError


def _replace(pieces, index, others, choice):
    texts, limits = others
    if not texts:
        return
    if limits is None:
        first = below(choice, len(texts))
    else:
        drawn = uniform(choice)
        first = next(i for i, limit in enumerate(limits) if drawn < limit)
    before = pieces[index - 1] if index else ""
    after = pieces[index + 1] if index + 1 < len(pieces) else ""
    for text in texts[first:] + texts[:first]:
        if text is not None and _words.fits(before, [text], after):
            pieces[index] = text
            return
