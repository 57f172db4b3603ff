"""All letters of a word in another order."""

from pixmodels.renderers.noise._attack import Attack

_TRIES = 10


class FullSwap(Attack):
    """Shuffles the clusters of words, first and last included.

    Each word of at least three clusters that has two different ones is
    shuffled with chance p, until it differs from itself.

    Source: Zeroé's "full-swap". Differs in the way that all attacks do (see
    `Attack`), and in the words that it leaves because no order of their
    clusters keeps these apart, such as Hangul jamo.

    Example:
        >>> FullSwap()("scrambled eggs", p=1.0, seed=5)
        'dabrecmls sgeg'
    """

    name = "full_swap"
    # Clusters that stay in place at each end of a word.
    _fixed = 0

    def _word(self, clusters, p, stream, fits):
        fixed = self._fixed
        inner = clusters[fixed : len(clusters) - fixed]
        least = 2 if fixed else 3
        if len(inner) < least or len(set(inner)) < 2:
            return None
        for _ in range(_TRIES):
            mixed = stream.shuffled(inner)
            new = clusters[:fixed] + mixed + clusters[len(clusters) - fixed :]
            if mixed != inner and fits(new):
                return new
        return None
