"""Stateless random numbers for one example.

Here: draws keyed on (attack, seed, index, place). Not here: what they decide.
Only the bit stream of Philox is used, which NumPy keeps for ever."""

import zlib

import numpy as np

_SCALE = 2.0**-53


class Draws:
    """Random numbers of one example under one attack.

    A place's numbers depend on nothing but the key and the place, so words
    perturbed at one severity are also perturbed at every higher one.

    Args:
        name: str, the attack's.
        seed, index: int in [0, 2**64).
    """

    def __init__(self, name, seed, index):
        self._key = np.array([seed, index], np.uint64)
        self._salt = zlib.crc32(name.encode())

    def table(self, count, width=1):
        """`count` rows of `width` uint64, one row a place, as a list."""
        raw = self._generator(0).random_raw(count * width)
        return raw.reshape(count, width).tolist()

    def decisions(self, count):
        """List of `count` floats in [0, 1), one a place."""
        return [uniform(row[0]) for row in self.table(count)]

    def stream(self, place):
        """An endless `Stream` for one place."""
        return Stream(self._generator(place + 1))

    def _generator(self, place):
        # The lowest word counts blocks, so streams cannot meet.
        counter = np.array([0, place, self._salt, 0], np.uint64)
        return np.random.Philox(key=self._key, counter=counter)


class Stream:
    """Numbers from one bit generator, taken 16 at a time."""

    def __init__(self, generator):
        self._generator = generator
        self._left = []

    def raw(self):
        """The next uint64, an int."""
        if not self._left:
            self._left = self._generator.random_raw(16).tolist()
        return self._left.pop()

    def uniform(self):
        """The next float in [0, 1)."""
        return uniform(self.raw())

    def below(self, limit):
        """An int in [0, limit)."""
        return below(self.raw(), limit)

    def shuffled(self, items):
        """The items in another order (Fisher and Yates), as a list."""
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items


def uniform(raw):
    """A uint64 as a float in [0, 1)."""
    return (raw >> 11) * _SCALE


def below(raw, limit):
    """A uint64 as an int in [0, limit); its bias is limit / 2**64."""
    return raw * limit >> 64
