"""Words written together."""

import unicodedata

from pixmodels.renderers.noise import _words
from pixmodels.renderers.noise._attack import Attack


class Segmentation(Attack):
    """Drops spaces, so that words run together.

    Each space of a text is dropped with chance p; line breaks and tabs stay.
    In a list, each word is joined to the one before it with chance p, so the
    list gets **shorter**: `groups` says which words became one, to carry
    labels over.

    Source: PIXEL's "segmentation" (that of BERT-Defense, without its added
    spaces); Zeroé joins words at the same chance. Neither has a form for
    lists of words: PIXEL leaves this attack out of its tagging experiments.

    Example:
        >>> Segmentation()("where are the gaps", p=0.5, seed=1)
        'wherearethe gaps'
        >>> Segmentation()(["a", "b", "c"], p=1.0)
        ['abc']
    """

    name = "segmentation"
    unit = "gap"
    keeps_words = False

    def __call__(self, text, *, p, seed=0, index=0):
        if not isinstance(text, list):
            return super().__call__(text, p=p, seed=seed, index=index)
        spans = self.groups(text, p=p, seed=seed, index=index)
        return ["".join(text[start:end]) for start, end in spans]

    def groups(self, words, *, p, seed=0, index=0):
        """Which words of a list are joined.

        Args:
            words: list of str.
            p, seed, index: as for the call.

        Returns:
            list of (start, end) into `words`, one for each joined word.
        """
        if not isinstance(words, list):
            raise TypeError(
                f"expected a list of words. Received: words={words!r}"
            )
        words, p, draws = self._begin(words, p, seed, index)
        chances = draws.decisions(len(words))
        starts = []
        joined = ""
        for place, word in enumerate(words):
            drop = place and chances[place] < p
            if drop and _words.fits(joined, [word], ""):
                joined += word
            else:
                starts.append(place)
                joined = word
        return list(zip(starts, [*starts[1:], len(words)]))

    def _parts(self, texts, p, draws):
        split = [_words.split(text)[0] for text in texts]
        chances = iter(draws.decisions(sum(map(len, split))))
        return [_without_spaces(clusters, p, chances) for clusters in split]


def _without_spaces(clusters, p, chances):
    kept = [""]
    for place, (cluster, chance) in enumerate(zip(clusters, chances)):
        space = len(cluster) == 1 and unicodedata.category(cluster) == "Zs"
        after = clusters[place + 1] if place + 1 < len(clusters) else ""
        if not (space and chance < p and _words.fits(kept[-1], [], after)):
            kept.append(cluster)
    return "".join(kept)
