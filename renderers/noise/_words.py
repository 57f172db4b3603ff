"""Words of a text as lists of grapheme clusters.

Here: where words begin and end, and whether pieces may stand side by side.
Not here: what is done to them. A word is a run of letters, digits and marks;
apostrophe, hyphen, full stop, middle dot and underline may stand inside."""

import functools

from pixmodels.renderers._libraries import load
from pixmodels.renderers._unicode import graphemes

_INSIDE = frozenset("'’-‐‑._·")


@functools.cache
def _patterns():
    compiled = load("regex").compile
    return compiled(r"[\p{L}\p{N}\p{M}]"), compiled("w+(?:(?:c|d)w+)*")


@functools.lru_cache(maxsize=1 << 16)
def _is_letter(cluster):
    return _patterns()[0].search(cluster) is not None


def split(text):
    """Clusters of a text, and which of them are words.

    Args:
        text: str.

    Returns:
        `(clusters, words)`: list of str; list of (start, end) into it.
    """
    clusters = graphemes(text)
    kinds = [
        "w" if _is_letter(cluster) else "c" if cluster in _INSIDE else "x"
        for cluster in clusters
    ]
    for place in range(1, len(kinds) - 1):
        if clusters[place] == "," and _between_digits(clusters, place):
            kinds[place] = "d"
    words = [m.span() for m in _patterns()[1].finditer("".join(kinds))]
    return clusters, words


def is_letter(cluster):
    """Whether a cluster holds a letter, a digit or a mark."""
    return _is_letter(cluster)


def fits(before, pieces, after):
    """Whether pieces stay apart when written between two clusters.

    False where Unicode would join the end of one piece and the start of the
    next into one cluster: marks, Hangul jamo, conjuncts, emoji.
    """
    joined = before + "".join(pieces) + after
    if joined.isascii() and "\r" not in joined:
        return True
    ends = set()
    end = 0
    for cluster in graphemes(joined):
        end += len(cluster)
        ends.add(end)
    end = len(before)
    if end and end not in ends:
        return False
    for piece in pieces:
        end += len(piece)
        if end and end not in ends:
            return False
    return True


def _between_digits(clusters, place):
    return clusters[place - 1].isdecimal() and clusters[place + 1].isdecimal()
