"""Texts over several rows: sliding windows and packs.

Here: which characters go into which row. Not here: setting one text
(_layout.py). Rows are cut between grapheme clusters; nothing is clipped."""

import numpy as np

from pixmodels.renderers._clean import clean
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._placed import Layout
from pixmodels.renderers._unicode import graphemes_of


def _set_some(setter, layout, part, text, patch, start, **options):
    """As `set_text` without clipping, but at least one grapheme cluster.

    A cluster that is wider than the whole row is clipped.
    """
    before = len(layout.lines)
    found, end = setter.set_text(
        layout, part, text, patch, start=start, clip=False, **options
    )
    if end > start or start == len(text):
        return found, end
    del layout.lines[before:], layout.spans[before:]
    cluster = next(graphemes_of(text[start : start + 4096]))
    end = start + len(cluster)
    found, _ = setter.set_text(
        layout, part, text[:end], patch, start=start, clip="always", **options
    )
    layout.spans[-1] = layout.spans[-1]._replace(first=start, last=end)
    return found, end


def windows(setter, pair, stride, question_patches):
    """Rows of one (question, context) pair.

    Args:
        setter: Typesetter.
        pair: (str, str).
        stride: patches of context that two neighbours share.
        question_patches: the most patches of the question, or None.

    Returns:
        list of Layout, finished.

    Raises:
        ValueError: the question leaves no more than `stride` patches.
    """
    base = setter.pair_base(pair)
    head = Layout()
    limit = setter.limit
    if question_patches is not None:
        limit = min(limit, question_patches)
    first, end = _head(setter, head, pair[0], limit, base)
    head.note_cut(0, end, pair[0])
    room = setter.limit - first - 1
    if room <= stride:
        raise ValueError(
            "expected num_patches to leave more than stride patches for the "
            f"context. Received: num_patches={setter.limit + 1}, a question "
            f"of {first} patches (question_patches={question_patches!r}), "
            f"stride={stride!r}"
        )
    options = {"base": base, "own": setter.base_of(pair[1])}
    rows = []
    starts, done = [0], -1
    while True:
        for start in starts:
            row, end = _window(setter, head, first, pair[1], start, options)
            # Wide units may leave a window that shows nothing new.
            if end > done:
                break
        rows.append(row.finish())
        if end >= len(pair[1]):
            return rows
        edge = setter.limit - stride
        done = end
        starts = _restarts(setter, row, pair[1], len(head.lines), edge)
        starts.append(end)


def _window(setter, head, first, context, start, options):
    """`(row, end)`: a window that begins with context character `start`."""
    row = Layout(lines=list(head.lines), spans=list(head.spans))
    row.word_starts = head.word_starts
    row.cuts, row.missing = list(head.cuts), list(head.missing)
    last, end = _set_some(setter, row, 1, context, first + 1, start, **options)
    row.sep_patches = (first, last)
    row.segments = ((0, 0, first), (1, first + 1, last))
    return row, end


def _head(setter, head, question, limit, base):
    first, end = setter.set_text(
        head, 0, question, 0, limit=limit, base=base, clip=False
    )
    # Words and units may leave a question without any patch.
    return max(first, 1), end


def _restarts(setter, row, context, first_line, edge):
    """The characters where the next window may begin, best first.

    Args:
        setter: Typesetter.
        row: Layout of the window before.
        context: str.
        first_line: index of the first line of the context.
        edge: patch from which on characters come again.

    Returns:
        list of int, rising, all after the beginning of `row`.
    """
    lines = row.lines[first_line:]
    spans = row.spans[first_line:]
    start = min(span.first for span in spans)
    if not setter.is_continuous:
        stride = setter.limit - edge
        found = _repeated(setter, row, lines, spans, stride)
        return sorted(place for place in found if place > start)
    ((x, line),), (span,) = lines, spans
    if not line.runs:
        return []
    pens = line.character_advances(span.last - span.start)
    again = np.cumsum(pens) - pens >= (edge * setter.patch_width - x) * UNITS
    clusters = np.unique(np.concatenate([run.clusters for run in line.runs]))
    text = clean(context[start : span.last])[0]
    sizes = [len(cluster) for cluster in graphemes_of(text)]
    found = np.intersect1d(clusters, np.cumsum(sizes) - sizes)
    return [place + start for place in found[again[found]].tolist() if place]


def _repeated(setter, row, lines, spans, stride):
    """First characters of the last units that take at most `stride` patches.

    The units of right-to-left words stand in visual order, so that patches
    are counted off in the order of the text.
    """
    patches = np.array([x // setter.patch_width for x, _ in lines])
    order = np.argsort(patches)
    sizes = np.diff(np.append(patches[order], row.sep_patches[-1]))
    sizes = dict(zip(order.tolist(), sizes.tolist()))
    found = []
    for number in sorted(sizes, key=lambda n: spans[n].first, reverse=True):
        stride -= sizes[number]
        if stride < 0:
            break
        found.append(spans[number].first)
    return found


def pack(setter, texts, groups, continues):
    """Rows that hold several texts each.

    Args:
        setter: Typesetter.
        texts: list of str.
        groups: list of lists of int: which texts, in order; each group
            begins a row.
        continues: bool, whether a text too long for a row goes on in the
            next; it is cut otherwise.

    Returns:
        list of Layout, finished.
    """
    rows = []
    for group in groups:
        row, patch = Layout(), 0
        for index in group:
            row, patch = _pack_one(
                setter, rows, row, patch, index, texts[index], continues
            )
        if row.segments:
            _close(rows, row, patch)
    return rows


def _pack_one(setter, rows, row, patch, index, text, continues):
    """Adds one text; the row that is open after it and its next patch."""
    own = setter.base_of(text)
    if row.segments:
        trial = Layout()
        last, end = setter.set_text(
            trial, index, text, patch + 1, own=own, clip=False
        )
        if end == len(text) and last > patch + 1:
            _join(row, trial, patch, (index, patch + 1, last))
            return row, last
        _close(rows, row, patch)
        row = Layout()
    start = 0
    while True:
        patch, start = _set_some(setter, row, index, text, 0, start, own=own)
        row.segments = ((index, 0, patch),)
        if start >= len(text):
            return row, patch
        if not continues:
            row.note_cut(index, start, text)
            return row, patch
        _close(rows, row, patch)
        row = Layout()


def _join(row, trial, patch, segment):
    row.lines += trial.lines
    row.spans += trial.spans
    row.missing += trial.missing
    if trial.word_starts is not None:
        row.word_starts = (*(row.word_starts or ()), *trial.word_starts)
    row.segments = (*row.segments, segment)
    row.sep_patches = (*row.sep_patches, patch)


def _close(rows, row, patch):
    row.sep_patches = (*row.sep_patches, patch)
    rows.append(row.finish())
