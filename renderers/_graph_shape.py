"""From code points to units with pens, in TensorFlow ops.

Here: composition with marks, units, ligatures, kerning, tabs, pens. Not here:
scripts and fonts (_graph_runs.py), pixels (_graph_draw.py). Characters of all
texts stand in one flat row of T; each text ends with a code point 0."""

from typing import NamedTuple

import tensorflow as tf

from pixmodels.renderers import _graph_runs as runs
from pixmodels.renderers._atlas_tables import COMMON_BIT
from pixmodels.renderers._atlas_tables import FONT_SHIFT
from pixmodels.renderers._atlas_tables import SCRIPT_BITS
from pixmodels.renderers._atlas_tables import SCRIPT_SHIFT
from pixmodels.renderers._atlas_units import END
from pixmodels.renderers._atlas_units import MARK
from pixmodels.renderers._atlas_units import PART_BITS
from pixmodels.renderers._atlas_units import SECOND_BITS
from pixmodels.renderers._atlas_units import TAB

_MARKS = 4  # Of one letter.
_TABS = 64  # Of one text.
_CONFLICTS = 8  # Ligatures in a row that share letters.


class Shaped(NamedTuple):
    """Units of a batch.

    Attributes:
        unit: int32 (T,).
        pen: int32 (T,), pixels from the start of the text.
        ordinal: int32 (T,), number of the run, over all texts.
        row: int32 (T,), its text.
        width: int32 (B,), pixels.
        bad: bool (B,), the text cannot be told.
    """

    unit: tf.Tensor
    pen: tf.Tensor
    ordinal: tf.Tensor
    row: tf.Tensor
    width: tf.Tensor
    bad: tf.Tensor


def shape(tables, codes, row, rows):
    """Shapes all texts of a batch.

    Args:
        tables: GraphTables.
        codes: int32 (T,), each text ended by at least one 0.
        row: int32 (T,), rising from 0 to B - 1.
        rows: B.

    Returns:
        `Shaped`.
    """
    value = _look_up(tables, codes)
    codes, row, value = tf.cond(
        tf.reduce_any(value == MARK),
        lambda: _compose(tables, codes, row, value),
        lambda: (codes, row, value),
    )
    run, unsure, deep = _runs(tables, value, row, rows)
    unit = _units(tables, value, run)
    run = tf.where((unit == END) | (unit == TAB), -1, run)
    same = run == runs.behind(run)
    unit, tangled = _ligatures(tables, unit, same)
    advance, refused = _advances(tables, unit, same)
    start = tf.searchsorted(row, tf.range(rows))
    advance = tf.cond(
        tf.reduce_any(unit == TAB),
        lambda: _tabs(tables, unit, advance, row, rows, start),
        lambda: advance,
    )
    pen = tf.cumsum(advance, exclusive=True)
    pen -= tf.gather(tf.gather(pen, start), row)
    bad = unsure | tangled | refused | (unit <= MARK)
    bad |= _crowded(unit == TAB, row, rows, _TABS)
    return Shaped(
        unit,
        pen,
        tf.cumsum(1 - tf.cast(runs.before(same), tf.int32)),
        row,
        tf.math.unsorted_segment_sum(advance, row, rows),
        deep | _any(bad, row, rows),
    )


def _any(flags, row, rows):
    return tf.math.unsorted_segment_sum(tf.cast(flags, tf.int32), row, rows) > 0


def _crowded(flags, row, rows, most):
    """bool (T,): the text has more than `most` of these."""
    count = tf.cumsum(tf.cast(flags, tf.int32))
    start = tf.searchsorted(row, tf.range(rows))
    return count - tf.gather(tf.gather(count, start), row) >= most


def _look_up(tables, codes):
    block = tf.gather(tables.page, runs.right(codes, 8))
    return tf.gather(tables.character, block + (codes & 255))


def _compose(tables, codes, row, value):
    """Letters with marks become one code point where there is one.

    A step joins each letter with the mark behind it and closes the gaps; the
    end of the row is filled with ends of the last text.
    """
    size = tf.size(codes)
    places = tf.range(size)

    def join(step, codes, row, value, joined):
        del joined
        after = runs.behind(codes)
        wide = tf.cast(codes, tf.int64) * (1 << 21) + tf.cast(after, tf.int64)
        found = tf.searchsorted(tables.pairs, wide)
        found = tf.minimum(found, tf.size(tables.pairs) - 1)
        hit = (tf.gather(tables.pairs, found) == wide) & (value != MARK)
        codes = tf.where(hit, tf.gather(tables.composed, found), codes)
        keep = ~runs.before(hit)
        target = tf.cumsum(tf.cast(keep, tf.int32)) - 1
        target = tf.where(keep, target, size)
        codes = tf.math.unsorted_segment_sum(codes, target, size + 1)[:-1]
        row = tf.math.unsorted_segment_sum(row, target, size + 1)[:-1]
        kept = tf.reduce_sum(tf.cast(keep, tf.int32))
        row = tf.where(places < kept, row, tf.reduce_max(row))
        return step + 1, codes, row, _look_up(tables, codes), kept < size

    def go_on(step, codes, row, value, joined):
        del codes, row, value
        return joined & (step < _MARKS)

    state = (tf.constant(0), codes, row, value, tf.constant(True))
    return tf.while_loop(go_on, join, state)[1:4]


def _runs(tables, value, row, rows):
    """`(run, unsure, deep)`: script * fonts + font of every character."""
    script = (runs.right(value, SCRIPT_SHIFT)) & ((1 << SCRIPT_BITS) - 1)
    font = runs.right(value, FONT_SHIFT)
    only = tf.math.unsorted_segment_max(script, row, rows)
    only = tf.gather(only, row)
    mixed = (script != only) & (script > 0)

    def plain():
        never = tf.zeros_like(mixed)
        return only * tables.fonts, never, tf.zeros([rows], bool)

    def general():
        common = (value & COMMON_BIT) > 0
        place = tf.where(common, value & (COMMON_BIT - 1), 0)
        kept = tf.gather(tables.kept, place)
        bracket = tf.where(common, tf.gather(tables.bracket, place), 0)
        first = row != runs.before(row)
        first |= tf.range(tf.size(row)) == 0
        fonts, unsure = runs.fonts(font, common, kept, first)
        scripts, deep = runs.scripts(script, bracket, first, row, rows)
        return scripts * tables.fonts + fonts, unsure, deep

    return tf.cond(tf.reduce_any(mixed | (font > 0)), general, plain)


def _units(tables, value, run):
    common = (value & COMMON_BIT) > 0
    place = value & (COMMON_BIT - 1)
    index = tf.gather(tables.plan, run) + place
    table = tf.gather(tables.common, tf.where(common, index, 0))
    return tf.where(common, table, place)


def _ligatures(tables, unit, same):
    """`(unit, tangled)`: letters that join, the first match first."""
    part = tf.gather(tables.part, unit)
    column = part & ((1 << PART_BITS) - 1)
    after = tf.where(same, runs.behind(column), 0)
    state = runs.right(part, PART_BITS)

    def step(state, column):
        index = state * tables.parts + column
        return tf.gather(tables.trie, tf.where(column > 0, index, 0))

    def join():
        second = step(state, after)
        third = step(second, tf.where(same, runs.behind(after), 0))
        two = tf.gather(tables.accept, second)
        three = tf.gather(tables.accept, third)
        return _joined(tables, unit, two, three)

    return tf.cond(
        tf.reduce_any((state > 0) & (after > 0)),
        join,
        lambda: (unit, tf.zeros_like(same)),
    )


def _joined(tables, unit, two, three):
    """Settles which matches hold, and puts their units in place.

    Args:
        two, three: int32 (T,), the ligature of two or three characters that
            begins here, 0 for none; three goes before two.
    """
    long = three > 0
    found = tf.where(long, three, two)

    def covered(flags):
        """A match among `flags` begins before this place and takes it."""
        one = runs.before(flags)
        return one | runs.before(one & runs.before(long))

    def go_on(step, open_, held):
        del held
        return (step < _CONFLICTS) & tf.reduce_any(open_)

    def settle(step, open_, held):
        held |= open_ & ~covered(open_)
        return step + 1, open_ & ~held & ~covered(held), held

    state = (tf.constant(0), found > 0, tf.zeros_like(long))
    _, tangled, held = tf.while_loop(go_on, settle, state)
    number = 3 * tf.where(held, found, 0)
    last = runs.before(number)
    second = runs.before(held)
    is_long = runs.before(long)
    third = runs.before(second & is_long)
    index = tf.where(held, number, 0)
    index = tf.where(second, last + tf.where(is_long, 1, 2), index)
    index = tf.where(third, runs.before(last) + 2, index)
    drawn = tf.gather(tables.ligature, index)
    return tf.where(held | second | third, drawn, unit), tangled


def _advances(tables, unit, same):
    """`(advance, refused)`: pixels after kerning; bool (T,)."""
    kern = tf.gather(tables.kern, unit)
    column = runs.behind(kern & ((1 << SECOND_BITS) - 1))
    value = tf.gather(tables.kerning, runs.right(kern, SECOND_BITS) + column)
    exact = tf.gather(tables.advance, unit) + tf.where(same, value, 0)
    return runs.right(exact + 512, 10), exact < 0


def _tabs(tables, unit, advance, row, rows, start):
    """Gives tabs their width: up to the next stop. Step k: the k-th tab."""
    size = tf.size(unit)
    is_tab = unit == TAB
    pen = tf.cumsum(advance, exclusive=True)
    pen -= tf.gather(tf.gather(pen, start), row)
    count = tf.math.unsorted_segment_sum(tf.cast(is_tab, tf.int32), row, rows)
    rank = tf.cumsum(tf.cast(is_tab, tf.int32), exclusive=True)
    listed = tf.math.unsorted_segment_sum(
        tf.where(is_tab, tf.range(size), 0), rank, size + 1
    )
    begin = tf.cumsum(count, exclusive=True)
    stop = max(tables.tab, 1)

    def go_on(step, advance, added):
        del advance, added
        return (step < _TABS) & tf.reduce_any(step < count)

    def widen(step, advance, added):
        live = step < count
        place = tf.gather(listed, tf.where(live, begin + step, 0))
        width = stop - (tf.gather(pen, place) + added) % stop
        width = tf.where(live & (tables.tab > 0), width, 0)
        advance = tf.tensor_scatter_nd_add(advance, place[:, None], width)
        return step + 1, advance, added + width

    state = (tf.constant(0), advance, tf.zeros([rows], tf.int32))
    return tf.while_loop(go_on, widen, state)[1]
