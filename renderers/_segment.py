"""Where a text is cut: words, grapheme clusters, units of a layout.

Here: cuts by characters alone, PIXEL's vote on direction. Not here: what
shaping joins (_units.py), line breaks (_line_breaks.py)."""

import functools
import itertools
import re
import string
import unicodedata
from typing import NamedTuple

from pixmodels.renderers._libraries import load
from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers._unicode import graphemes_of

LAYOUTS = ("continuous", "words", "bigrams", "mono", "adaptive")
DIRECTIONS = ("auto", "ltr", "rtl")

_WORD = re.compile(r"\S+")
_CONTROL = "\u2060"  # Stands for controls (_clean.py): alone it is no word.
_NOT_LETTERS = str.maketrans(
    "", "", string.whitespace + string.punctuation + string.digits
)
# In these a glyph never depends on letters outside its cluster, ligatures
# that a font may offer for looks apart.
_ALONE = """
    Armn Bopo Cher Cyrl Ethi Geor Grek Hang Hani Hira Kana Latn Yiii Zinh Zyyy
"""
_ONE_A_PATCH = "Bopo Hang Hani Hira Kana"


class Piece(NamedTuple):
    """A word, or the white space between words where it takes patches.

    Attributes:
        part: which text of the row.
        start: the character of the part that is character 0 of `drawn`.
        drawn: str, cleaned.
        first, last: the characters of the part that the piece stands for.
        blank: bool, white space.
        base: bidi base level, None for that of the whole text.
    """

    part: int
    start: int
    drawn: str
    first: int
    last: int
    blank: bool = False
    base: int | None = None


@functools.cache
def _pattern(kind):
    names = {"alone": _ALONE, "one": _ONE_A_PATCH}.get(kind, "").split()
    if kind == "alone":
        inside = "".join(rf"\p{{sc={name}}}" for name in names)
    elif kind == "one":
        inside = "".join(rf"\p{{scx={name}}}" for name in names)
    else:
        inside = r"\p{bc=R}\p{bc=AL}"
    return load("regex").compile(f"[{inside}]")


def words(text):
    """Yields spans (start, end) of words, white space as in `str.isspace`."""
    for match in _WORD.finditer(text):
        if match[0].strip(_CONTROL):
            yield match.span()


def pieces(text, part, start, layout):
    """Cuts a text into words.

    White space belongs to the word before it (at the beginning: after it).
    In the layout `mono` each white space character is a piece of its own, in
    `adaptive` each gap beside a character that takes a patch by itself.

    Args:
        text: str, cleaned.
        part: which text of the row.
        start: the character of the part where `text` starts.
        layout: any but `"continuous"`.

    Yields:
        Piece, at least one; they cover the text without gaps.
    """
    held = None
    any_yet = False
    end = 0
    # One piece is held back, as white space after it may be added.
    for first, last in itertools.chain(words(text), [(len(text),) * 2]):
        gap = _gap(text, part, start, layout, end, first)
        if first > end and held and not gap:
            held = held._replace(last=start + first)
        if held:
            yield held
        yield from gap
        any_yet = any_yet or bool(held or gap)
        own = start + first if any_yet else start
        held = None
        if last > first:
            word = (part, start + first, text[first:last], own, start + last)
            held = Piece(*word)
        end = last
    if not any_yet:
        yield Piece(part, start, "", start, start + len(text), True)


def _gap(text, part, start, layout, first, last):
    """Pieces for the white space `first:last` where it takes patches."""
    if first == last:
        return []
    if layout == "mono":
        return [
            Piece(part, start + i, text[i], start + i, start + i + 1, True)
            for i in range(first, last)
        ]
    beside = text[max(first - 1, 0) : first] + text[last : last + 1]
    if layout == "adaptive" and _pattern("one").search(beside):
        at = (start + first, text[first:last], start + first, start + last)
        return [Piece(part, *at, True)]
    return []


def word_base(word):
    """Base level of a word in a right-to-left text: 1 without letters."""
    strong = ("L", "R", "AL")
    if any(unicodedata.bidirectional(c) in strong for c in word):
        return None
    return 1


def first_clusters(text, most):
    """The text, or its first `most` grapheme clusters."""
    if len(text) <= most:
        return text
    return "".join(itertools.islice(graphemes_of(text), most))


def stands_alone(word):
    """Whether every cluster of a word looks the same without the others."""
    if word.isascii():
        return True
    pattern = _pattern("alone")
    return all(map(pattern.match, word))


def is_right_to_left(word):
    """Whether a word has a letter that is written right to left."""
    return _pattern("rtl").search(word) is not None


def grouped(clusters, layout):
    """Puts the clusters of one word into units.

    Args:
        clusters: list of str, which joined are the word.
        layout: `"bigrams"`, `"mono"` or `"adaptive"`.

    Returns:
        list of int, the number of clusters in each unit.
    """
    if layout == "mono":
        return [1] * len(clusters)
    single = [False] * len(clusters)
    if layout == "adaptive":
        text = "".join(clusters)
        if is_right_to_left(text):
            return [len(clusters)]
        if not text.isascii():
            one = _pattern("one")
            single = [one.match(cluster) is not None for cluster in clusters]
    sizes = []
    index = 0
    while index < len(clusters):
        pair = index + 1 < len(clusters) and not (
            single[index] or single[index + 1]
        )
        sizes.append(1 + pair)
        index += 1 + pair
    return sizes


def pixel_votes_rtl(text):
    """PIXEL's vote: two of first, middle, last letter are right to left.

    Source: xplip/pixel 1b0da29, pangocairo_renderer.py, `is_rtl`; ASCII white
    space, punctuation and digits do not count.
    """
    text = text.translate(_NOT_LETTERS)
    if not text:
        return False
    letters = (text[0], text[-1], text[len(text) // 2])
    return sum(map(is_right_to_left, letters)) >= 2


def atoms(word, starts):
    """Grapheme clusters, joined where shaping joins them.

    Args:
        word: str.
        starts: set of int, characters at which a glyph cluster starts.

    Returns:
        list of str; joined they are the word.
    """
    result = []
    index = 0
    for cluster in graphemes(word):
        if result and index not in starts:
            result[-1] += cluster
        else:
            result.append(cluster)
        index += len(cluster)
    return result
