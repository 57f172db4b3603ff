"""PIXEL's `offset_mapping` of a pair, entry for entry.

Here: the walk over character positions of PIXEL's renderer. Not here: our own
offsets (offsets.py), which also hold where directions mix."""

import numpy as np

from pixmodels.renderers._font import UNITS


def positions(line, size):
    """x of every character as Pango walks them, from left to right.

    Characters of one glyph cluster have the x of its left edge.

    Args:
        line: Line.
        size: int, characters of the line.

    Returns:
        list of int, pixels; one 0 for an empty line.
    """
    found = []
    for run in line.runs:
        pens = run.x + np.cumsum(run.advances) - run.advances
        starts, first = np.unique(run.clusters, return_index=True)
        ends = np.append(starts[1:], run.end)
        x = pens[first] // UNITS
        pieces = list(zip(x.tolist(), (ends - starts).tolist()))
        for x, count in reversed(pieces) if run.level & 1 else pieces:
            found += [x] * count
    return found[:size] or [0]


def text_mapping(xs, size, width, x, shift, limit, patch_width, rtl):
    """Entries of one text.

    Args:
        xs: list of int, `positions`.
        size: int, characters of the text.
        width: its width, pixels.
        x: where it starts, pixels.
        shift: where its first patch starts, pixels.
        limit: start of the last patch, pixels.
        patch_width: pixels.
        rtl: bool, count characters from the end.

    Source: xplip/pixel 1b0da29, pangocairo_renderer.py 254-376.
    """
    width += 2
    places = [x + place for place in xs]
    places.append(min(-(-(width + x) // patch_width) * patch_width, limit))
    entries = []
    start = 0
    for index, place in enumerate(places):
        edge = patch_width * (len(entries) + 1)
        if place - shift >= edge:
            end = index if place - shift == edge else index - 1
            entries.append((start, end))
            start = end
    rest = len(entries) < -(-(width + x - shift) // patch_width)
    if rtl:
        entries = [(size - low, size - high) for low, high in entries]
    if rest:
        entries.append((size - start, 0) if rtl else (start, len(places)))
    after = min(-(-width // patch_width) * patch_width, limit) - width
    if after < x % patch_width:
        if len(entries) > 1:
            entries[-2] = (entries[-2][0], entries[-1][1])
        entries[-1] = (-1, -1)
    return entries


def pair_mapping(layout, pair, num_patches, patch_width, rtl):
    """PIXEL's list for a pair that is laid out.

    Args:
        layout: Layout of the pair, continuous.
        pair: (str, str), the texts drawn.
        num_patches: L.
        patch_width: pixels.
        rtl: bool, PIXEL's vote.

    Returns:
        list of L tuples.
    """
    limit = (num_patches - 1) * patch_width
    entries = []
    for part, (x, line) in enumerate(layout.lines):
        size = len(pair[part])
        shift = 0 if part == 0 else x - 2
        xs = positions(line, size)
        entries += text_mapping(
            xs, size, line.width, x, shift, limit, patch_width, rtl
        )
        if part == 0:
            entries.append((0, 0))
    if len(entries) >= num_patches:
        return [*entries[: num_patches - 1], (0, 0)]
    return entries + [(0, 0)] * (num_patches - len(entries))
