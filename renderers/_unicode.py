"""Character properties: script, default-ignorable, grapheme clusters.

Here: cached look-ups over fontTools and regex. Not here: bidi (_bidi.py) and
the runs made from these properties (_itemise.py)."""

import functools

from pixmodels.renderers._libraries import load

NEUTRAL = frozenset(("Zyyy", "Zinh"))


@functools.lru_cache(maxsize=1 << 16)
def script(character):
    """ISO 15924 script of one character; Zyyy common, Zinh inherited."""
    return load("fontTools.unicodedata").script(character)


@functools.cache
def _ignorable_pattern():
    return load("regex").compile(r"\p{Default_Ignorable_Code_Point}+")


@functools.cache
def _cluster_pattern():
    return load("regex").compile(r"\X")


def without_ignorables(text):
    """The text less its default-ignorable characters (joiners, ...)."""
    return _ignorable_pattern().sub("", text)


@functools.lru_cache(maxsize=1 << 12)
def ignorable(character):
    """Whether a character is default-ignorable: draws nothing by itself."""
    return not without_ignorables(character)


def graphemes(text):
    """Extended grapheme clusters as a list of strings."""
    return _cluster_pattern().findall(text)


def graphemes_of(text):
    """The same one by one, for the beginning of a long text."""
    return (match.group() for match in _cluster_pattern().finditer(text))


def grapheme_start(text, index):
    """The start of the grapheme cluster of `text` that holds `index`."""
    start = 0
    for match in _cluster_pattern().finditer(text):
        if match.end() > index:
            return match.start()
        start = match.end()
    return start
