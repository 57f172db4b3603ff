"""Scores of heads to heads: each word's likeliest, or the likeliest tree.

Plain arrays; the parser that makes the scores is `dependency_parser`."""

import numpy as np


def decode(arcs, counts, how):
    """The head of each word.

    Args:
        arcs: (B, W, W + 1) float, scores of heads, the root first.
        counts: B ints, words of each sentence.
        how: "argmax" or "tree" (one word hangs on the root, all others below
            it; the sum of the scores is the largest).

    Returns:
        (heads, probabilities): for each sentence arrays of its words; heads
        count from 1, 0 is the root; the probability is the softmax of a
        word's scores, itself left out.
    """
    if how == "tree":
        found = _trees(arcs, counts)
    else:
        found = [
            _without_self(row[:n, : n + 1]).argmax(axis=-1)
            for row, n in zip(arcs, counts)
        ]
    chances = []
    for row, n, heads in zip(arcs, counts, found):
        scores = _without_self(row[:n, : n + 1])
        scores = scores - scores.max(axis=-1, keepdims=True, initial=-np.inf)
        share = np.exp(scores)
        chosen = share[np.arange(n), heads]
        chances.append(chosen / share.sum(axis=-1))
    return found, chances


def _without_self(scores):
    """(n, n + 1) float64 scores in which no word is its own head."""
    scores = np.array(scores, "float64")
    words = np.arange(len(scores))
    scores[words, words + 1] = -np.inf
    return scores


def _trees(arcs, counts):
    import tensorflow_text

    width = max(max(counts, default=0), 1)
    # The library's score of a root stands where a word would head itself.
    scores = np.array(arcs[:, :width, 1 : width + 1], "float32")
    words = np.arange(width)
    scores[:, words, words] = arcs[:, :width, 0]
    # Sentences without a word are none to it.
    sizes = np.maximum(counts, 1).astype("int32")
    _, heads = tensorflow_text.max_spanning_tree(sizes, scores)
    heads = np.asarray(heads)
    heads = np.where(heads == words, 0, heads + 1)
    return [row[:n] for row, n in zip(heads, counts)]
