"""Words without their last letter."""

from pixmodels.renderers.noise._attack import Attack


class Truncate(Attack):
    """Cuts the last cluster off words.

    Each word of more than `minimum` clusters loses its last with chance p.

    Args:
        minimum: clusters that a word keeps at least.

    Source: Zeroé's "truncate", with its cut of one and minimum of three.

    Example:
        >>> Truncate()("the last letters go", p=1.0)
        'the las letter go'
    """

    name = "truncate"

    def __init__(self, *, minimum=3):
        if not isinstance(minimum, int) or minimum < 1:
            raise ValueError(
                f"expected a whole number >= 1. Received: minimum={minimum!r}"
            )
        self._minimum = minimum

    def _word(self, clusters, p, stream, fits):
        if len(clusters) <= self._minimum or not fits(clusters[:-1]):
            return None
        return clusters[:-1]

    def _options(self):
        return {"minimum": self._minimum}
