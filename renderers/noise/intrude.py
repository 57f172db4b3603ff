"""Punctuation inside words."""

import string

from pixmodels.renderers.noise._attack import Attack


class Intrude(Attack):
    """Puts a sign between the letters of words.

    Each word of at least two clusters is chosen with chance p. One sign is
    drawn for it and put into each of its gaps with chance p again; into one
    gap where none was drawn.

    A list keeps its number of words; the signs stand inside them.

    Args:
        signs: str, the signs to draw from; by default ASCII punctuation.

    Source: Zeroé's "intrude". Differs where no gap is drawn: Zeroé draws
    again until some are. PIXEL, on lists of words, puts signs into every
    word, whatever the severity; we, as Zeroé on sentences, into a share p.

    Example:
        >>> Intrude(signs="*")("hidden words", p=1.0)
        'h*i*d*d*e*n w*o*r*d*s'
    """

    name = "intrude"

    def __init__(self, *, signs=string.punctuation):
        if not isinstance(signs, str) or not signs:
            raise ValueError(
                f"expected a str of signs. Received: signs={signs!r}"
            )
        self._signs = signs

    def _word(self, clusters, p, stream, fits):
        gaps = len(clusters) - 1
        if gaps < 1:
            return None
        sign = self._signs[stream.below(len(self._signs))]
        drawn = [stream.uniform() for _ in range(gaps)]
        lowest = min(drawn)
        new = [clusters[0]]
        for cluster, chance in zip(clusters[1:], drawn):
            chosen = chance < p or chance == lowest
            new += [sign, cluster] if chosen else [cluster]
        return new if fits(new) else None

    def _options(self):
        return {"signs": self._signs}
