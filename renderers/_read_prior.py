"""Which reading is likelier where pixels do not tell.

Here: `Prior`, weights of characters, of scripts beside one another, of letter
pairs counted in a text that a user gives. Not here: pixels. Weights are
natural logarithms."""

import itertools
from collections import Counter

import numpy as np

_SWITCH = -6.0  # Letters of two scripts side by side in a word.
_HALF = 0.5  # Added to each count of letters of a script.
_SMOOTHING = 0.1  # Added to each count of a pair.
# Scripts that one word may mix.
_GROUPS = {"Hani": "Jpan", "Hira": "Jpan", "Kana": "Jpan", "Bopo": "Jpan"}


class Prior:
    """Weights of tokens and of neighbours.

    Args:
        tokens: Tokens.
        texts: list of str, running text in which pairs of characters are
            counted; None: no pair is likelier than another.
    """

    def __init__(self, tokens, texts=None):
        self._own = tokens.priors
        names = [_GROUPS.get(code, code) for code in tokens.scripts]
        known = [name for name in dict.fromkeys(names) if name]
        self.scripts = known
        self._group = np.array(
            [known.index(name) + 1 if name else 0 for name in names]
        )
        self._pairs = None
        if texts is not None:
            self._count(tokens, texts)

    def _count(self, tokens, texts):
        characters = sorted({c for text in tokens.texts for c in text})
        place = {c: at for at, c in enumerate(characters)}
        count = np.zeros((len(characters) + 1,) * 2)
        other = len(characters)
        for text in texts:
            found = [place.get(c, other) for c in f" {text} "]
            pairs = Counter(itertools.pairwise(found))
            for (first, second), number in pairs.items():
                count[first, second] += number
        single = count.sum(axis=0) + _SMOOTHING
        single /= single.sum()
        # What was not seen is shared out by the frequency of the second.
        mass = 2.0 + (count > 0).sum(axis=1, keepdims=True)
        share = (count + mass * single) / (
            count.sum(axis=1, keepdims=True) + mass
        )
        logs = np.log(share)
        inner = [
            sum(logs[place[a], place[b]] for a, b in itertools.pairwise(text))
            for text in tokens.texts
        ]
        self._own = np.array(inner, np.float32)
        self._first = np.array([place[text[0]] for text in tokens.texts])
        self._last = np.array([place[text[-1]] for text in tokens.texts])
        self._pairs = logs.astype(np.float32)
        self._space = place.get(" ", other)

    def own(self, tokens):
        """Weight of each token of an int array."""
        return self._own[tokens].astype(np.float64)

    def shares(self, tokens):
        """Weight of a word's script in a line, as `weigh` takes it.

        Args:
            tokens: int array, letters and others of the line.

        Returns:
            float (scripts + 1,), 0 for signs.
        """
        count = Counter(self._group[tokens].tolist())
        number = range(1, len(self.scripts) + 1)
        share = np.array([count[n] + _HALF for n in number])
        return np.concatenate([[0.0], np.log(share / share.sum())])

    def weigh(self, shares, right, left=None, gap=False):
        """What a token adds that is the first letter of a word.

        Args:
            shares: of `shares`.
            right: int array, tokens.
            left: the tokens before, None at the beginning of a line.
            gap: bool array, whether a space stands between.
        """
        found = shares[self._group[right]]
        if left is None:
            return found
        return np.where(gap | (self._group[left] == 0), found, 0.0)

    def begin(self, tokens):
        """Weight of tokens at the beginning of a line."""
        if self._pairs is None:
            return np.zeros(np.shape(tokens))
        return self._pairs[self._space, self._first[tokens]]

    def beside(self, left, right, gap=False):
        """Weight of two neighbours; with `gap`, of a space between.

        Args:
            left, right: int arrays, tokens.
            gap: bool or bool array.
        """
        one, two = self._group[left], self._group[right]
        switch = (one != two) & (one > 0) & (two > 0) & ~np.asarray(gap)
        found = np.where(switch, _SWITCH, 0.0)
        if self._pairs is not None:
            last, first = self._last[left], self._first[right]
            direct = self._pairs[last, first]
            spaced = self._pairs[last, self._space]
            spaced = spaced + self._pairs[self._space, first]
            found = found + np.where(gap, spaced, direct)
        return found
