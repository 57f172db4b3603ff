"""Nearest neighbours in a visual embedding of characters."""

import itertools

import numpy as np

from pixmodels.renderers.noise import tables
from pixmodels.renderers.noise._characters import CharacterAttack


class Visual(CharacterAttack):
    """Replaces letters by neighbours in an embedding of their pictures.

    Each letter or digit that the embedding has is replaced with chance p by
    one of its nearest neighbours, with a chance in proportion to their
    cosine similarity.

    Args:
        embedding: dict from character to vector, (E,) floats, by
            `read_embedding`. There is none built in.
        top: how many neighbours are drawn from.

    Raises:
        ValueError: no embedding is given, or it is not one.

    Source: the "visual" attack of Zeroé (VIPER with ICES, top 20), on its
    repres.txt. Differs in that punctuation stays and that neighbours of
    similarity 0 or less are never drawn.

    Example:
        >>> plane = {"a": [1.0, 0.0], "o": [0.9, 0.1], "x": [-1.0, 0.0]}
        >>> Visual(plane)("a fox", p=1.0)
        'o fax'
    """

    name = "visual"

    def __init__(self, embedding=None, *, top=20):
        if embedding is None:
            raise ValueError(
                "expected the visual embedding of characters, such as "
                'embedding=noise.read_embedding("repres.txt") with the file '
                "of github.com/yannikbenz/zeroe; or take 'confusable', which "
                "needs none. Received: embedding=None"
            )
        if not isinstance(top, int) or top < 1:
            raise ValueError(
                f"expected a whole number >= 1. Received: top={top!r}"
            )
        self._given = embedding
        self._top = top
        self._characters = list(embedding)
        self._places = {c: i for i, c in enumerate(self._characters)}
        vectors = np.array(list(embedding.values()), np.float64)
        if vectors.ndim != 2:
            raise ValueError(
                "expected one vector a character, all of one length. "
                f"Received: embedding of shape {vectors.shape}"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors = vectors / np.maximum(lengths, 1e-30)
        self._found = {}

    def neighbours(self, character):
        """List of (character, cosine similarity), the nearest first."""
        place = self._places[character]
        similar = self._vectors @ self._vectors[place]
        order = np.argsort(-similar, kind="stable")
        order = order[order != place][: self._top]
        return [(self._characters[i], float(similar[i])) for i in order]

    def _look_up(self, text):
        if text not in self._places:
            return None, None
        if text not in self._found:
            near = [pair for pair in self.neighbours(text) if pair[1] > 0]
            sums = list(itertools.accumulate(weight for _, weight in near))
            limits = [total / sums[-1] for total in sums]
            self._found[text] = [letter for letter, _ in near], limits
        return self._found[text]

    def _options(self):
        return {
            **tables.described("embedding", self._given),
            "top": self._top,
        }
