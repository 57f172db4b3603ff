"""Characters as they stand from left to right back to the order of reading.

Here: directions of signs between letters, reordering, mirrored signs, the
check by the bidirectional algorithm itself. Not here: that algorithm
(_bidi.py), finding the characters in pixels."""

import itertools
import unicodedata
from typing import NamedTuple

from pixmodels.renderers import _bidi

_PAIRS = "()<>[]{}«»‹›≤≥〈〉《》「」『』【】〔〕"
MIRRORED = {
    **dict(zip(_PAIRS[::2], _PAIRS[1::2])),
    **dict(zip(_PAIRS[1::2], _PAIRS[::2])),
}
_STOPS = tuple(".,;:!?…")
_NUMBER = ("EN", "AN")
_BESIDE_NUMBER = ("ET",)


class _Way(NamedTuple):
    """A guess where the order of reading does not show.

    Attributes:
        join: signs such as % belong to the number beside them.
        follow: a number right of a left-to-right word is read after it, in
            right-to-left text.
        absorb: numbers left of right-to-left letters are read after these,
            in left-to-right text.
    """

    join: bool
    follow: bool
    absorb: bool


_WAYS = (
    _Way(True, True, False),
    _Way(False, True, False),
    _Way(True, True, True),
    _Way(True, False, False),
    _Way(False, True, True),
    _Way(False, False, False),
)


def orders(visual, direction=None):
    """Possible orders of reading of characters that stand left to right.

    Args:
        visual: list of str, clusters from left to right; signs as they look.
        direction: base level that the line was drawn with, None for that of
            its first strong character.

    Yields:
        list of (index in `visual`, str as it is written), most likely first;
        each gives back `visual` when ordered by the bidirectional algorithm.
    """
    kinds = [unicodedata.bidirectional(cluster[0]) for cluster in visual]
    if direction != 1 and not {"R", "AL"}.intersection(kinds):
        yield list(enumerate(visual))
        return
    seen = set()
    for base in _bases(visual, kinds) if direction is None else (direction,):
        for way in _WAYS:
            order = _order(kinds, base, way)
            found = [
                (index, MIRRORED.get(visual[index], visual[index]))
                if odd
                else (index, visual[index])
                for index, odd in order
            ]
            text = "".join(written for _, written in found)
            if text not in seen:
                seen.add(text)
                if _stands(found, direction) == list(range(len(visual))):
                    yield found


def _bases(visual, kinds):
    """Base levels, the likelier one first: by the side of the full stop."""
    first, last = (visual[end].strip() in _STOPS for end in (0, -1))
    if first != last:
        return (1, 0) if first else (0, 1)
    right = sum(kind in ("R", "AL") for kind in kinds)
    return (1, 0) if right >= kinds.count("L") else (0, 1)


def _order(kinds, base, way):
    """[(index, whether right to left)] in the order of reading."""
    odd = _directions(kinds, base, way)
    if base or not way.absorb:
        return _reversed(odd, range(len(kinds)), base)
    # Each stretch with right-to-left letters, and the numbers that stand left
    # of them, is a right-to-left text of its own.
    result = []
    inside = _stretches(kinds)
    for index, items in itertools.groupby(range(len(kinds)), inside.get):
        items = list(items)
        part = [kinds[n] for n in items]
        if index is None:
            result += [(n, False) for n in items]
        else:
            found = _reversed(_directions(part, 1, way), range(len(items)), 1)
            result += [(items[n], direction) for n, direction in found]
    return result


def _reversed(odd, places, base):
    """Places from left to right put into the order of reading."""
    runs = [
        (direction, list(items))
        for direction, items in itertools.groupby(places, key=odd.__getitem__)
    ]
    if base:
        runs.reverse()
    return [
        (index, direction)
        for direction, items in runs
        for index in (reversed(items) if direction else items)
    ]


def _stretches(kinds):
    """dict from index to the number of its right-to-left stretch."""
    result = {}
    number = 0
    held = []
    for index, kind in enumerate(kinds):
        if kind == "L":
            number += 1
            held = []
        elif kind in ("R", "AL"):
            for earlier in held:
                result[earlier] = number
            result[index] = number
            held = []
        elif kind in _NUMBER or held or index - 1 in result:
            held.append(index)
    return result


def _directions(kinds, base, way):
    """Whether each character from left to right is right to left."""
    strong = {"L": False, "EN": False, "AN": False, "R": True, "AL": True}
    odd = [strong.get(kind) for kind in kinds]
    if way.join:
        for index, kind in enumerate(kinds):
            if kind in _BESIDE_NUMBER:
                near = kinds[max(index - 1, 0) : index + 2]
                if set(_NUMBER).intersection(near):
                    odd[index] = False
    known = [index for index, value in enumerate(odd) if value is not None]
    edges = [-1, *known, len(odd)]
    for start, end in itertools.pairwise(edges):
        before = bool(base) if start < 0 else odd[start]
        after = bool(base) if end == len(odd) else odd[end]
        value = bool(base)
        if before == after and _joins(kinds, start, end, base, way):
            value = before
        for index in range(start + 1, end):
            odd[index] = value
    return odd


def _joins(kinds, start, end, base, way):
    """Whether signs between two characters of one direction take it.

    Between numbers in a right-to-left text only a single separator does.
    """
    if not base or start < 0 or end == len(kinds):
        return True
    numbers = [kinds[place] in _NUMBER for place in (start, end)]
    if not any(numbers):
        return True
    if "L" in (kinds[start], kinds[end]):
        return way.follow
    return end - start == 2 and kinds[start + 1] in ("ES", "CS")


def _stands(found, direction):
    """Where characters come to stand: indices into `visual`, left to right."""
    text = "".join(written for _, written in found)
    levels, _ = _bidi.levels(text, direction)
    places = []
    at = 0
    for index, written in found:
        level = 0 if levels is None else int(levels[at])
        places.append((index, level))
        at += len(written)
    order = _bidi.visual_order([level for _, level in places])
    return [places[number][0] for number in order]
