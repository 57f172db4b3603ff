"""From units with pens to pixels, in TensorFlow ops.

Here: which column of ink stands at each column of the picture, the overlap of
two glyphs, the end patch. Not here: pens (_graph_shape.py). Glyphs with ink
are dealt in turn to two layers; within one none may overlap another, and
where the two meet the rule of _atlas.py holds."""

from typing import NamedTuple

import tensorflow as tf

from pixmodels.renderers._atlas_units import BLACK
from pixmodels.renderers._atlas_units import COLUMN_BITS
from pixmodels.renderers._atlas_units import END
from pixmodels.renderers._atlas_units import LEFT_BIAS
from pixmodels.renderers._atlas_units import WIDTH_BITS
from pixmodels.renderers._graph_runs import before
from pixmodels.renderers._graph_runs import right

_RUN_BITS = 2
_COUNT = 1 << COLUMN_BITS + _RUN_BITS
_COLUMN_MASK = (1 << COLUMN_BITS) - 1
_MARGIN = 2  # Pixels before a text.


class Areas(NamedTuple):
    """Where the texts go, on B rows of patches.

    The texts of a row, one or a pair, stand or fall together.

    Attributes:
        rows: B.
        parts: 1 or 2, texts of a row.
        width: W, pixels of a row.
        base: int32 (B * parts,), the place where a text's area starts, the
            rows laid end to end.
        count: int32 (B * parts,), the black patch behind a text, in its area.
        bad: bool (B * parts,), texts that are left white.
    """

    rows: tf.Tensor
    parts: int
    width: tf.Tensor
    base: tf.Tensor
    count: tf.Tensor
    bad: tf.Tensor

    def any_of_row(self, flags):
        """bool (B,): some text of the row is flagged."""
        return tf.reduce_any(tf.reshape(flags, [self.rows, self.parts]), 1)


class _Spans(NamedTuple):
    """Glyphs and end patches on two flat layers of B * W places, int32 (T,).

    Attributes:
        begin, stop: the places it takes, none where they are equal.
        ink: column of ink at `begin` | run << 21.
        layer: 0 or 1.
        text: its text.
    """

    begin: tf.Tensor
    stop: tf.Tensor
    ink: tf.Tensor
    layer: tf.Tensor
    text: tf.Tensor


def layers(tables, shaped, areas, *, dense):
    """What stands at each column of the picture, by layer.

    Args:
        tables: GraphTables.
        shaped: Shaped.
        areas: Areas.
        dense: bool, shapes do not depend on values (for XLA).

    Returns:
        `(layers, crowded)`: two of int32 (B, W), 0 or less for none, else
        column of ink | run << 21; bool (B,), True for a row with two glyphs
        at one place of a layer, which is left white too.
    """
    spans = _spans(tables, shaped, areas, dense)
    found = _summed if dense else _strung
    drawn, crowded = found(spans, areas)
    shape = [areas.rows, areas.width]
    return [tf.reshape(layer, shape) for layer in drawn], crowded


def _spans(tables, shaped, areas, dense):
    unit, row, base = shaped.unit, shaped.row, areas.base
    patch = tables.patch_size
    behind = base + tf.where(areas.bad, 0, (areas.count + 1) * patch)
    start = tf.gather(tables.start, unit)
    extent = tf.gather(tables.extent, unit)
    wide = extent & ((1 << WIDTH_BITS) - 1)
    left = shaped.pen + (right(extent, WIDTH_BITS) + (_MARGIN - LEFT_BIAS))
    # Pens run on from text to text; places begin anew with each area.
    left += tf.gather(base - shaped.origin, row)
    first = tf.gather(base, row)
    behind = tf.gather(behind, row)
    last = tf.maximum(behind - patch, first)
    begin = tf.clip_by_value(left, first, last)
    stop = tf.clip_by_value(left + wide, first, last)
    ink = start + begin - left
    ink += (shaped.ordinal & ((1 << _RUN_BITS) - 1)) * (1 << COLUMN_BITS)
    ends = unit == END
    if dense:  # Padding looks like more ends; the first one of a text counts.
        again = (before(unit) == END) & (before(row) == row)
        ends &= ~again | (tf.range(tf.size(row)) == 0)
    return _Spans(
        tf.where(ends, last, begin),
        tf.where(ends, behind, stop),
        tf.where(ends, BLACK, ink),
        tf.cumsum(tf.minimum(wide, 1)) & 1,
        row,
    )


def _strung(spans, areas):
    """Layers as chains of ranges: a gap, a glyph, a gap, a glyph, ...

    The columns of a glyph are a range of the ink; a gap is a range of negative
    numbers up to -1.
    """
    size = areas.rows * areas.width
    texts = tf.size(areas.bad)

    def chains(without):
        known = (spans.stop > spans.begin) & ~tf.gather(without, spans.text)
        found = [
            _chain(spans, tf.where(known & (spans.layer == layer)), size)
            for layer in range(2)
        ]
        numbers, meeting = zip(*found)
        meeting = tf.concat(meeting, 0)
        crowded = tf.math.unsorted_segment_sum(
            tf.ones_like(meeting), meeting, texts
        )
        return numbers, areas.any_of_row(crowded > 0)

    def again(crowded):
        without = tf.repeat(crowded, areas.parts)
        return chains(areas.bad | without)[0]

    numbers, crowded = chains(areas.bad)
    return tf.cond(
        tf.reduce_any(crowded),
        lambda: (again(crowded), crowded),
        lambda: (numbers, crowded),
    )


def _chain(spans, places, size):
    """`(numbers, texts)`: one layer; the texts where glyphs meet in it."""
    begin, stop, ink, text = (
        tf.gather_nd(values, places)
        for values in (spans.begin, spans.stop, spans.ink, spans.text)
    )
    gap = begin - tf.concat([[0], stop[:-1]], 0)
    starts = tf.reshape(tf.stack([-gap, ink], 1), [-1])
    limits = tf.stack([tf.zeros_like(gap), ink + stop - begin], 1)
    rest = size - tf.reduce_max(tf.concat([[0], stop[-1:]], 0))
    numbers = tf.raw_ops.RaggedRange(
        starts=tf.concat([starts, [-rest]], 0),
        limits=tf.concat([tf.reshape(limits, [-1]), [0]], 0),
        deltas=1,
        Tsplits=tf.int32,
    ).rt_dense_values
    return numbers, tf.boolean_mask(text, gap < 0)


def _summed(spans, areas):
    """Layers as running totals, in fixed shapes.

    A glyph adds a number from its first place on and takes it away behind its
    last, so that with the place added the number is the column of ink, above
    it the run and the count of glyphs.
    """
    size = areas.rows * areas.width
    known = spans.stop > spans.begin
    value = tf.where(known, spans.ink + _COUNT - spans.begin, 0)
    one = tf.cast(known, tf.int32)
    shift = spans.layer * (size + 1)
    places = tf.concat([spans.begin + shift, spans.stop + shift], 0)

    def running(values):
        total = tf.math.unsorted_segment_sum(
            tf.concat([values, -values], 0), places, 2 * (size + 1)
        )
        total = tf.reshape(total, [2, size + 1])
        return tf.cumsum(total, axis=1)[:, :size]

    total = running(value) + running(one) * tf.range(size) - _COUNT
    shape = [2, areas.rows, areas.width]
    most = tf.reduce_max(tf.reshape(total, shape), [0, 2])
    return tf.unstack(total, 2), most >= _COUNT


def pixels(tables, layers, crowded, *, dense):
    """Pixels of a batch.

    Args:
        tables: GraphTables.
        layers: two of int32 (B, W), as `layers` returns them.
        crowded: bool (B,), rows that are left white after all.
        dense: bool, look at both layers everywhere (fixed shapes, for XLA)
            instead of only where they meet.

    Returns:
        uint8 (B, P, W).
    """
    upper = tf.maximum(layers[0], layers[1])
    lower = tf.minimum(layers[0], layers[1])
    if dense:
        upper = tf.where(crowded[:, None], 0, upper)
        lower = tf.where(crowded[:, None], 0, lower)
    index = tf.maximum(upper, 0) & _COLUMN_MASK
    drawn = tf.gather(tables.ink, index)  # (B, W) -> (B, W, P)
    if dense:
        both = _overlap(tables, tf.maximum(upper, 0), tf.maximum(lower, 0))
        drawn = tf.where(lower[..., None] > 0, both, drawn)
    else:
        meet = tf.where(lower > 0)
        both = _overlap(
            tables, tf.gather_nd(upper, meet), tf.gather_nd(lower, meet)
        )
        drawn = tf.tensor_scatter_nd_update(drawn, meet, both)
    return tf.transpose(drawn, [0, 2, 1])


def _overlap(tables, upper, lower):
    """Two columns of paper: of one run they add up, else they multiply."""
    first = tf.gather(tables.ink, upper & _COLUMN_MASK)
    second = tf.gather(tables.ink, lower & _COLUMN_MASK)
    added = first - tf.minimum(first, 255 - second)
    product = tf.cast(first, tf.int32) * tf.cast(second, tf.int32) + 128
    product = right(product + right(product, 8), 8)
    one_run = right(upper ^ lower, COLUMN_BITS) == 0
    return tf.where(one_run[..., None], added, tf.cast(product, tf.uint8))
