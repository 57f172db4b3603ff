"""What becomes of characters that cannot be drawn as they stand.

Here: checks of the input's types, line breaks, controls, lone surrogates. Not
here: characters that fonts lack (_shape.py). Every replacement is one for one,
so indices into the cleaned text are indices into the text received."""

import functools
import re

# Word joiner: draws nothing, has no width, breaks no joining or kerning.
_NOTHING = "\u2060"
_DIRTY = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BREAKS = "\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CRLF = re.compile("\r(?=\n)")


@functools.cache
def _table():
    controls = [*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0)]
    table = dict.fromkeys(controls, _NOTHING)
    table.update(dict.fromkeys(map(ord, _BREAKS), " "))
    table.update(dict.fromkeys(range(0xD800, 0xE000), "\ufffd"))
    return table


def clean(text):
    """Replaces what has no picture, character by character.

    Line breaks (LF, VT, FF, CR, U+001C-U+001F, NEL, U+2028, U+2029) become a
    space, CR LF together one space; lone surrogates U+FFFD; other controls
    but the tab (NUL, ...) nothing.

    Returns:
        `(cleaned, lost)`: a str of the same length; list of (index,
        surrogate).
    """
    if text.isprintable() or _DIRTY.search(text) is None:
        return text, []
    lost = [(m.start(), m.group()) for m in _SURROGATE.finditer(text)]
    text = _CRLF.sub(_NOTHING, text)
    return text.translate(_table()), lost


_STR = frozenset([str])


def check_texts(texts):
    """The batch as a list; a single str is a batch of one.

    Raises:
        TypeError: an item is not a str, a pair or a list of words.
        ValueError: a tuple does not hold two texts.
    """
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, list):
        raise TypeError(
            "expected a str, or a list of str, (str, str) pairs and lists of "
            f"words. Received: texts={_short(texts)}"
        )
    for index, item in enumerate(texts):
        kind = type(item)
        plain = kind is list or (kind is tuple and len(item) == 2)
        if plain and _STR.issuperset(map(type, item)):
            continue
        if not isinstance(item, str):
            _check_item(item, f"texts[{index}]")
    return texts


def _check_item(item, name):
    if not isinstance(item, list | tuple):
        raise TypeError(
            "expected a str, a (str, str) pair or a list of words. "
            f"Received: {name}={_short(item)}"
        )
    if isinstance(item, tuple) and len(item) != 2:
        raise ValueError(
            "expected a pair of two texts; words go in a list. "
            f"Received: {name} with {len(item)} items"
        )
    for index, part in enumerate(item):
        if not isinstance(part, str):
            raise TypeError(
                f"expected a str. Received: {name}[{index}]={_short(part)}"
            )


def _short(value):
    text = repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{text} ({type(value).__name__})"
