"""Which characters each patch shows, from a Pango layout, as in PIXEL.

Here: the walk over characters and clusters. Not here: layouts (_pango.py)."""

import math

_UNITS = 1024


def spans(layout, x, width, shift, *, rtl, patch_size, limit):
    """Character spans of the patches of one text (PIXEL's offset_mapping).

    Args:
        layout: Pango.Layout.
        x: pixels from the left to the text.
        width: of the text and its margin, pixels.
        shift: pixels from the left to the text's first patch.
        rtl: bool, count characters from the end.
        patch_size: P.
        limit: left edge of the last patch, pixels.

    Returns:
        list of (start, end); (-1, -1) for a patch without text.
    """
    places = _places(layout, x)
    places.append(_next(width + x, patch_size, limit))
    length = len(layout.get_text())
    found = []
    start = 0
    for index, place in enumerate(places):
        border = patch_size * (len(found) + 1)
        if place - shift >= border:
            end = index if place - shift == border else index - 1
            span = (length - start, length - end) if rtl else (start, end)
            found.append(span)
            start = end
    if len(found) < math.ceil((width + x - shift) / patch_size):
        found.append((length - start, 0) if rtl else (start, len(places)))
    if _next(width, patch_size, limit) - width < x % patch_size:
        found[-2] = (found[-2][0], found[-1][1])
        found[-1] = (-1, -1)
    return found


def _next(x, patch_size, limit):
    return min(math.ceil(x / patch_size) * patch_size, limit)


def _places(layout, x):
    """x of every character; inside a cluster, the cluster's."""
    walk = layout.get_iter()
    characters = [_character(walk) + x]
    while walk.next_char():
        characters.append(_character(walk) + x)
    walk = layout.get_iter()
    clusters = [_cluster(walk) + x]
    while walk.next_cluster():
        clusters.append(_cluster(walk) + x)
    if len(characters) == len(clusters):
        return characters
    found = 0
    places = []
    for place in characters:
        if found < len(clusters) and place == clusters[found]:
            places.append(place)
            found += 1
        else:
            places.append(clusters[found - 1])
    return places


def _character(walk):
    extents = walk.get_char_extents()
    walk.get_index()  # The original asks for it, so it counts as work.
    return extents.x / _UNITS


def _cluster(walk):
    extents = walk.get_cluster_extents()[1]
    walk.get_index()
    return extents.x / _UNITS
