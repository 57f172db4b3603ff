"""The inner letters of a word in another order."""

from pixmodels.renderers.noise.full_swap import FullSwap


class InnerSwap(FullSwap):
    """Shuffles the clusters of words between the first and the last.

    Each word of at least four clusters that has two different inner ones is
    shuffled with chance p, until it differs from itself.

    Source: Zeroé's "inner-swap". Differs as `FullSwap` does.

    Example:
        >>> InnerSwap()("according to research", p=1.0)
        'acoinrcdg to resrcaeh'
    """

    name = "inner_swap"
    _fixed = 1
