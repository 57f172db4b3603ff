"""Which grapheme clusters Unicode presents as emoji (UTS 51).

Here: one test on a cluster. Not here: which font then draws it
(font_stack.py)."""

import functools

from pixmodels.renderers._libraries import load

# Emoji presentation by default unless U+FE0E follows (flags and skin tones
# have it, too), asked for by U+FE0F, or pictures joined to one.
_PATTERN = (
    r"\p{Emoji_Presentation}(?!\uFE0E)|\p{Emoji}\uFE0F"
    r"|\p{Extended_Pictographic}\u200D\p{Extended_Pictographic}"
)


@functools.cache
def _pattern():
    return load("regex").compile(_PATTERN)


def wants_emoji(cluster):
    """Whether a grapheme cluster is to be drawn as an emoji."""
    return not cluster.isascii() and _pattern().search(cluster) is not None
