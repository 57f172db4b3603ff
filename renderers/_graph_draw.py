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


class _Spans(NamedTuple):
    """Glyphs and end patches on two flat layers of B * W places, int32 (T,).

    Attributes:
        begin, stop: the places it takes, none where they are equal.
        ink: column of ink at `begin` | run << 20.
        layer: 0 or 1.
        row: its text.
    """

    begin: tf.Tensor
    stop: tf.Tensor
    ink: tf.Tensor
    layer: tf.Tensor
    row: tf.Tensor


def layers(tables, shaped, count, bad, width, *, dense):
    """What stands at each column of the picture, by layer.

    Args:
        tables: GraphTables.
        shaped: Shaped.
        count: int32 (B,), index of the end patch.
        bad: bool (B,), texts that are left white.
        width: W, pixels.
        dense: bool, shapes do not depend on values (for XLA).

    Returns:
        `(layers, crowded)`: two of int32 (B, W), 0 or less for none, else
        column of ink | run << 20; bool (B,), True for a text with two glyphs
        at one place of a layer, which is left white too.
    """
    spans = _spans(tables, shaped, count, bad, width, dense)
    size = tf.size(bad) * width
    if dense:
        drawn, crowded = _summed(spans, bad, size)
    else:
        drawn, crowded = _strung(spans, bad, size)
    return [tf.reshape(layer, [-1, width]) for layer in drawn], crowded


def _spans(tables, shaped, count, bad, width, dense):
    unit, row = shaped.unit, shaped.row
    patch = tables.patch_size
    base = tf.range(tf.size(bad)) * width
    behind = base + tf.where(bad, 0, (count + 1) * patch)
    start = tf.gather(tables.start, unit)
    extent = tf.gather(tables.extent, unit)
    wide = extent & ((1 << WIDTH_BITS) - 1)
    left = shaped.pen + (right(extent, WIDTH_BITS) + (_MARGIN - LEFT_BIAS))
    # Pens run on from text to text; so do places, but W for each.
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


def _strung(spans, bad, size):
    """Layers as chains of ranges: a gap, a glyph, a gap, a glyph, ...

    The columns of a glyph are a range of the ink; a gap is a range of negative
    numbers up to -1.
    """

    def chains(without):
        known = (spans.stop > spans.begin) & ~tf.gather(without, spans.row)
        found = [
            _chain(spans, tf.where(known & (spans.layer == layer)), size)
            for layer in range(2)
        ]
        numbers, rows = zip(*found)
        crowded = tf.math.unsorted_segment_sum(
            tf.ones_like(tf.concat(rows, 0)), tf.concat(rows, 0), tf.size(bad)
        )
        return numbers, crowded > 0

    numbers, crowded = chains(bad)
    return tf.cond(
        tf.reduce_any(crowded),
        lambda: (chains(bad | crowded)[0], crowded),
        lambda: (numbers, crowded),
    )


def _chain(spans, places, size):
    """`(numbers, rows)`: one layer; the texts where glyphs meet in it."""
    begin, stop, ink, row = (
        tf.gather_nd(values, places)
        for values in (spans.begin, spans.stop, spans.ink, spans.row)
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
    return numbers, tf.boolean_mask(row, gap < 0)


def _summed(spans, bad, size):
    """Layers as running totals, in fixed shapes.

    A glyph adds a number from its first place on and takes it away behind its
    last, so that with the place added the number is the column of ink, above
    it the run and the count of glyphs.
    """
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
    most = tf.reduce_max(tf.reshape(total, [2, tf.size(bad), -1]), [0, 2])
    return tf.unstack(total, 2), most >= _COUNT


def pixels(tables, layers, crowded, *, dense):
    """Pixels of a batch.

    Args:
        tables: GraphTables.
        layers: two of int32 (B, W), as `layers` returns them.
        crowded: bool (B,), texts that are left white after all.
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
