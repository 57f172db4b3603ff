"""`Attack`: what all attacks share.

Here: arguments, words and their chances, the rule that clusters stay whole.
Not here: what an attack does to a word."""

import math

import numpy as np

from pixmodels.renderers._clean import check_texts
from pixmodels.renderers.noise import _words
from pixmodels.renderers.noise._draws import Draws


class Attack:
    """A text transform that disturbs models more than it does people.

    A pure function of its arguments: the same in every process and on every
    machine with the same tables of Unicode. With
    all else equal, what is perturbed at one severity is perturbed at every
    higher one, too.

    Grapheme clusters are units: none is ever split, and none comes about by
    joining. Where a change would join two, it is not made. Words are runs of
    letters, digits and marks, with an apostrophe, hyphen or full stop inside;
    what stands between them is left alone. Scripts written without spaces
    have long words then: give lists of words instead.

    Attributes:
        name: str, as in `names()`.
        unit: str, what `p` is the chance of: "word", "character" or "gap".
        keeps_words: bool, a list of words comes back with as many words.

    Call arguments:
        text: str, (str, str) pair or list of words.
        p: severity, float in [0, 1]; 0 changes nothing.
        seed: int in [0, 2**64).
        index: int in [0, 2**64), number of the example.

    Returns:
        The same type as `text`.

    Raises:
        TypeError: `text` is not text, or a number is not a number.
        ValueError: a number is out of range.

    Source: Eger & Benz 2020, "From Hero to Zéroe: A Benchmark of Low-Level
    Adversarial Attacks"; yannikbenz/zeroe 51161fd, code/attacks; the ten of
    xplip/pixel 1b0da29, scripts/data/robustness. All attacks differ from
    those in this: the originals draw from global generators, work on code
    points, and put sentences together again by a detokenizer, which changes
    white space; and on whole sentences they go on until a share p of all
    words has changed, where we decide on each word alone, with chance p, as
    PIXEL does on lists of words.
    """

    name = None
    unit = "word"
    keeps_words = True

    def __call__(self, text, *, p, seed=0, index=0):
        text, p, draws = self._begin(text, p, seed, index)
        if isinstance(text, str):
            return self._parts([text], p, draws)[0]
        return type(text)(self._parts(list(text), p, draws))

    def get_config(self):
        """JSON-able dict: the name and options; tables by a SHA-256."""
        return {"name": self.name, **self._options()}

    def __repr__(self):
        options = [f"{k}={v!r}" for k, v in self._options().items()]
        return f"{type(self).__name__}({', '.join(options)})"

    def _options(self):
        return {}

    def _begin(self, text, p, seed, index):
        """Checks the call's arguments: `(text, p, Draws)`."""
        [text] = check_texts([text])
        draws = Draws(self.name, _key("seed", seed), _key("index", index))
        return text, _chance(p), draws

    def _parts(self, texts, p, draws):
        """Perturbs the texts of one example; words are numbered through."""
        if p == 0:
            return texts
        split = [_words.split(text) for text in texts]
        chances = draws.decisions(sum(len(words) for _, words in split))
        place = 0
        result = []
        for clusters, words in split:
            pieces = list(clusters)
            for start, end in words:
                if chances[place] < p:
                    self._rewrite(pieces, start, end, p, draws.stream(place))
                place += 1
            result.append("".join(pieces))
        return result

    def _rewrite(self, pieces, start, end, p, stream):
        """Puts a perturbed word into `pieces`, as its first piece."""
        before = pieces[start - 1] if start else ""
        after = pieces[end] if end < len(pieces) else ""

        def fits(new):
            return _words.fits(before, new, after)

        new = self._word(pieces[start:end], p, stream, fits)
        if new is not None:
            pieces[start:end] = ["".join(new), *[""] * (end - start - 1)]

    def _word(self, clusters, p, stream, fits):
        """Perturbs one word.

        Args:
            clusters: list of str, the word's grapheme clusters.
            p: severity, for attacks that use it inside words.
            stream: Stream of random numbers.
            fits: function from a list of pieces to bool: whether they may
                stand in the word's place.

        Returns:
            list of str for which `fits` is true, or None for no change.
        """
        raise NotImplementedError


def _chance(p):
    number = isinstance(p, int | float | np.floating | np.integer)
    if not number or isinstance(p, bool):
        raise TypeError(f"expected a number between 0 and 1. Received: p={p!r}")
    if math.isnan(p) or not 0 <= p <= 1:
        raise ValueError(
            f"expected a number between 0 and 1. Received: p={p!r}"
        )
    return float(p)


def _key(name, value):
    whole = isinstance(value, int | np.integer)
    if not whole or isinstance(value, bool):
        raise TypeError(f"expected a whole number. Received: {name}={value!r}")
    if not 0 <= value < 1 << 64:
        raise ValueError(
            f"expected a number in [0, 2**64). Received: {name}={value!r}"
        )
    return int(value)
