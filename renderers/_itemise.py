"""Splits a line into runs of one level, script and font.

Here: script resolution, font fallback per grapheme cluster, tabs apart. Not
here: levels (_bidi.py), shaping (_shape.py). Scripts follow Pango: common and
inherited characters take the script before them, brackets their opener's."""

from typing import NamedTuple

from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers._unicode import script

_PAIRS = (
    "()<>[]{}\u00ab\u00bb\u2018\u2019\u201c\u201d\u2039\u203a\u3008\u3009"
    "\u300a\u300b\u300c\u300d\u300e\u300f\u3010\u3011\u3014\u3015\u3016\u3017"
    "\u3018\u3019\u301a\u301b"
)
_CLOSER_OF = dict(zip(_PAIRS[::2], _PAIRS[1::2]))
_CLOSERS = frozenset(_PAIRS[1::2])


class Run(NamedTuple):
    """Characters `start:end` of a line, drawn in one call."""

    start: int
    end: int
    level: int
    script: str
    font: int


def itemise(text, levels, stack):
    """Runs of `text` in logical order; a tab is a run of its own.

    Args:
        text: str, cleaned, one line.
        levels: int8 (len(text),) or None for all 0.
        stack: FontStack.

    Returns:
        list of Run, covering the text without gaps.
    """
    if not text:
        return []
    fonts = _fonts(text, stack)
    if fonts is None and levels is None and text.isascii():
        if "\t" not in text:
            name = "Latn" if text.upper() != text.lower() else "Zyyy"
            return [Run(0, len(text), 0, name, 0)]
    levels = None if levels is None else levels.tolist()
    return list(_runs(text, levels, _scripts(text), fonts))


def _runs(text, levels, scripts, fonts):
    start = 0
    previous = None
    for index, character in enumerate(text):
        key = (
            levels[index] if levels else 0,
            scripts[index],
            fonts[index] if fonts else 0,
            index if character == "\t" else -1,
        )
        if key != previous:
            if previous is not None:
                yield Run(start, index, *previous[:3])
            start, previous = index, key
    yield Run(start, len(text), *previous[:3])


def _scripts(text):
    """The resolved script of every character, as a list of ISO codes."""
    result = []
    current = "Zyyy"
    openers = []  # [closing character, script], innermost last.
    for character in text:
        found = script(character)
        if found == "Zyyy":
            if character in _CLOSER_OF:
                openers.append([_CLOSER_OF[character], current])
            elif character in _CLOSERS:
                while openers and openers[-1][0] != character:
                    openers.pop()
                if openers:
                    found = openers.pop()[1]
        if found not in NEUTRAL:
            if current in NEUTRAL:  # Only at the start of the line.
                result = [found] * len(result)
                openers = [[closer, found] for closer, _ in openers]
            current = found
        result.append(current)
    return result


def _fonts(text, stack):
    """The font index of every character, or None where all are 0."""
    if len(stack) == 1 or stack.first_covers(text):
        return None
    result = []
    previous = None
    for cluster in graphemes(text):
        previous = stack.font_for(cluster, previous)
        result.extend([previous] * len(cluster))
    return result
