"""Slips to a neighbouring key."""

from pixmodels.renderers.noise import _defaults
from pixmodels.renderers.noise import tables
from pixmodels.renderers.noise._attack import Attack


class KeyboardTypo(Attack):
    """Replaces one letter of a word by a neighbour on the keyboard.

    Each word with a letter that the table has is chosen with chance p; one
    such letter, and one of its neighbours, is drawn. A capital gives a
    capital.

    Args:
        neighbours: dict from a lower-case letter to a list of the letters on
            the keys around it, by `read_neighbours`; None: computed from the
            places of the keys on a US QWERTY keyboard.

    Source: Zeroé's "keyboard-typo", on its en.key (that of Belinkov & Bisk
    2018, "Synthetic and Natural Noise Both Break Neural Machine
    Translation"). Differs in capitals, which Zeroé never replaces, in that
    only letters with neighbours are drawn, and in the built-in table.

    Example:
        >>> KeyboardTypo()("The keyboard slips", p=1.0, seed=2)
        'Thd ke6board slipw'
    """

    name = "keyboard_typo"

    def __init__(self, neighbours=None):
        self._given = neighbours
        self._neighbours = tables.checked(
            "neighbours",
            _defaults.neighbours() if neighbours is None else neighbours,
        )

    def _word(self, clusters, p, stream, fits):
        places = [
            place
            for place, cluster in enumerate(clusters)
            if self._near(cluster)
        ]
        if not places:
            return None
        place = places[stream.below(len(places))]
        near = self._near(clusters[place])
        new = list(clusters)
        new[place] = near[stream.below(len(near))]
        return new if fits(new) else None

    def _near(self, cluster):
        found = self._neighbours.get(cluster)
        if found is None and cluster.lower() in self._neighbours:
            found = self._neighbours[cluster.lower()]
            if len(cluster) == 1:
                found = [
                    key.upper() if len(key.upper()) == 1 else key
                    for key in found
                ]
        return found

    def _options(self):
        return tables.described("neighbours", self._given)
