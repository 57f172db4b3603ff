"""From units with pens to pixels, in TensorFlow ops.

Here: which column of ink stands at each column of the picture, the overlap of
two glyphs, the end patch. Not here: pens (_graph_shape.py). Glyphs with ink
are dealt in turn to two layers; within one none may overlap another, and
where the two meet the rule of _atlas.py holds."""

import tensorflow as tf

from pixmodels.renderers._atlas_units import BLACK
from pixmodels.renderers._atlas_units import COLUMN_BITS
from pixmodels.renderers._atlas_units import LEFT_BIAS
from pixmodels.renderers._atlas_units import WHITE
from pixmodels.renderers._atlas_units import WIDTH_BITS
from pixmodels.renderers._graph_runs import right

_RUN_BITS = 2
_COUNT_SHIFT = COLUMN_BITS + _RUN_BITS
_COLUMN_MASK = (1 << COLUMN_BITS) - 1
_MARGIN = 2  # Pixels before a text.


def columns(tables, shaped, bad, width):
    """What stands at each column, by layer.

    Every glyph adds a number from its first column on and takes it away after
    its last, so that a running sum gives the number of glyphs at a column (in
    the highest bits), the run (two bits) and the column of ink.

    Args:
        tables: GraphTables.
        shaped: Shaped.
        bad: bool (B,), texts that are left out.
        width: W, pixels.

    Returns:
        `(layers, crowded)`: int32 (2, B, W), 0 for none, else column of ink |
        run << 20; bool (B,), True where a layer holds two glyphs at a place.
    """
    rows = tf.size(bad)
    start = tf.gather(tables.start, shaped.unit)
    extent = tf.gather(tables.extent, shaped.unit)
    wide = extent & ((1 << WIDTH_BITS) - 1)
    left = shaped.pen + right(extent, WIDTH_BITS) + (_MARGIN - LEFT_BIAS)
    inked = tf.cast(wide > 0, tf.int32)
    layer = tf.cumsum(inked) & 1
    run = shaped.ordinal & ((1 << _RUN_BITS) - 1)
    value = start - left + run * (1 << COLUMN_BITS) + (1 << _COUNT_SHIFT)
    # What is left out adds nothing, so that no sum overflows.
    value *= tf.where(tf.gather(bad, shaped.row), 0, inked)
    place = (layer * rows + shaped.row) * (width + 1)
    begin = place + tf.clip_by_value(left, 0, width)
    end = place + tf.clip_by_value(left + wide, 0, width)
    total = tf.math.unsorted_segment_sum(
        tf.concat([value, -value], 0),
        tf.concat([begin, end], 0),
        2 * rows * (width + 1),
    )
    total = tf.cumsum(tf.reshape(total, [2, rows, width + 1]), axis=2)
    total = total[:, :, :width] + (tf.range(width) - (1 << _COUNT_SHIFT))
    layers = tf.maximum(total, 0)
    most = tf.reduce_max(layers, [0, 2])
    return layers, most >= 1 << _COUNT_SHIFT


def pixels(tables, layers, num_patches, supported, *, dense):
    """Pixels of a batch.

    Args:
        tables: GraphTables.
        layers: int32 (2, B, W).
        num_patches: int32 (B,), index of the end patch.
        supported: bool (B,); other texts are left white.
        dense: bool, look at both layers everywhere (fixed shapes, for XLA)
            instead of only where they meet.

    Returns:
        uint8 (B, P, W).
    """
    patch = tables.patch_size
    width = tf.shape(layers)[2]
    stop = tf.where(supported, num_patches * patch, -patch)[:, None]
    x = tf.range(width)[None]
    upper = tf.maximum(layers[0], layers[1])
    lower = tf.minimum(layers[0], layers[1])
    lower = tf.where(x < stop, lower, 0)
    outside = tf.where(x < stop + patch, BLACK, WHITE)
    index = tf.where(x < stop, upper & _COLUMN_MASK, outside)
    drawn = tf.gather(tables.ink, index)  # (B, W) -> (B, W, P)
    if dense:
        both = _overlap(tables, upper, lower)
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
