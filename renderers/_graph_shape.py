"""From code points to units with pens, in TensorFlow ops.

Here: composition with marks, units, ligatures, kerning, tabs, pens. Not here:
scripts and fonts (_graph_runs.py), pixels (_graph_draw.py). Characters of all
texts stand in one flat row of T; each text ends with a code point 0."""

from typing import NamedTuple

import tensorflow as tf

from pixmodels.renderers import _graph_runs as runs
from pixmodels.renderers._atlas_tables import COMMON_BIT
from pixmodels.renderers._atlas_tables import FONT_BITS
from pixmodels.renderers._atlas_tables import FONT_SHIFT
from pixmodels.renderers._atlas_tables import SCRIPT_BITS
from pixmodels.renderers._atlas_tables import SCRIPT_SHIFT
from pixmodels.renderers._atlas_units import END
from pixmodels.renderers._atlas_units import MARK
from pixmodels.renderers._atlas_units import PART_BITS
from pixmodels.renderers._atlas_units import SECOND_BITS
from pixmodels.renderers._atlas_units import TAB
from pixmodels.renderers._graph_runs import right

_LINE_FEED, _RETURN = 10, 13
_NOTHING = 0xFFFF  # A code point that no font has.
_MARKS = 4  # Of one letter.
_TABS = 64  # Of one text.
_CONFLICTS = 8  # Ligatures in a row that share letters.


class Shaped(NamedTuple):
    """Units of a batch.

    Attributes:
        unit: int32 (T,).
        pen: int32 (T,), pixels, running on from text to text.
        ordinal: int32 (T,), number of the run, over all texts; 0 where each
            text is one.
        row: int32 (T,), its text.
        origin: int32 (B,), the pen where each text starts.
        width: int32 (B,), pixels.
        bad: bool (B,), the text cannot be told.
    """

    unit: tf.Tensor
    pen: tf.Tensor
    ordinal: tf.Tensor
    row: tf.Tensor
    origin: tf.Tensor
    width: tf.Tensor
    bad: tf.Tensor


def shape(tables, codes, row, rows, *, dense):
    """Shapes all texts of a batch.

    Args:
        tables: GraphTables.
        codes: int32 (T,), each text ended by at least one 0.
        row: int32 (T,), rising from 0 to B - 1.
        rows: B.
        dense: bool, shapes do not depend on values (for XLA).

    Returns:
        `Shaped`.
    """
    codes = tf.cond(
        tf.reduce_any(codes == _RETURN),
        lambda: _without_returns(codes),
        lambda: codes,
    )
    value = _look_up(tables, codes)
    codes, row, value = tf.cond(
        tf.reduce_any(value == MARK),
        lambda: _compose(tables, codes, row, value, dense),
        lambda: (codes, row, value),
    )
    unit, same, ordinal, unsure, deep = tf.cond(
        _is_plain(value, row, rows),
        lambda: _plain(tables, value, row, rows),
        lambda: _general(tables, value, row, rows),
    )
    unit, tangled = _ligatures(tables, unit, same, dense)
    advance, refused = _advances(tables, unit, same)
    start = tf.searchsorted(row, tf.range(rows))
    advance, crowded = tf.cond(
        tf.reduce_any(unit == TAB),
        lambda: _tabs(tables, unit, advance, row, rows, start),
        lambda: (advance, tf.zeros([rows], bool)),
    )
    pen = tf.cumsum(advance, exclusive=True)
    origin = tf.gather(pen, start)
    # The pen where each text ends, less that where it starts.
    width = tf.concat([origin[1:], pen[-1:] + advance[-1:]], 0) - origin
    bad = tf.cast(unsure | tangled | refused | (unit <= MARK), tf.int32)
    bad = tf.math.unsorted_segment_max(bad, row, rows) > 0
    return Shaped(unit, pen, ordinal, row, origin, width, bad | deep | crowded)


def _without_returns(codes):
    """A return alone is a space; before a line feed it is not told."""
    pair = runs.behind(codes) == _LINE_FEED
    return tf.where(
        codes == _RETURN, tf.where(pair, _NOTHING, _LINE_FEED), codes
    )


def _look_up(tables, codes):
    last = tf.size(tables.character) - 1
    return tf.gather(tables.character, tf.minimum(codes, last))


def _compose(tables, codes, row, value, dense):
    """Letters with marks become one code point where there is one.

    A step joins each letter with the mark behind it and closes the gaps; with
    fixed shapes, ends of the last text follow.
    """

    def join(step, codes, row, value, joined):
        after = runs.behind(codes)
        wide = tf.cast(codes, tf.int64) * (1 << 21) + tf.cast(after, tf.int64)
        found = tf.searchsorted(tables.pairs, wide)
        found = tf.minimum(found, tf.size(tables.pairs) - 1)
        hit = (tf.gather(tables.pairs, found) == wide) & (value != MARK)
        codes = tf.where(hit, tf.gather(tables.composed, found), codes)
        keep = ~runs.before(hit)
        size = tf.size(codes)
        if not dense:
            codes, row = codes[keep], row[keep]
            joined = tf.size(codes) < size
            return step + 1, codes, row, _look_up(tables, codes), joined
        target = tf.cumsum(tf.cast(keep, tf.int32)) - 1
        target = tf.where(keep, target, size)
        codes = tf.math.unsorted_segment_sum(codes, target, size + 1)[:-1]
        row = tf.math.unsorted_segment_sum(row, target, size + 1)[:-1]
        kept = tf.reduce_sum(tf.cast(keep, tf.int32))
        row = tf.where(tf.range(size) < kept, row, tf.reduce_max(row))
        return step + 1, codes, row, _look_up(tables, codes), kept < size

    def go_on(step, codes, row, value, joined):
        del codes, row, value
        return joined & (step < _MARKS)

    state = (tf.constant(0), codes, row, value, tf.constant(True))
    return tf.while_loop(go_on, join, state)[1:4]


def _script(value):
    return right(value, SCRIPT_SHIFT) & ((1 << SCRIPT_BITS) - 1)


def _is_plain(value, row, rows):
    """Whether every text is one run of the first font, without tabs."""
    most = (1 << SCRIPT_BITS) - 1
    script = _script(value)
    high = tf.math.unsorted_segment_max(script, row, rows)
    low = tf.math.unsorted_segment_min(
        tf.where(script > 0, script, most), row, rows
    )
    return ~(
        tf.reduce_any(value >= 1 << FONT_SHIFT)
        | tf.reduce_any((low < high) & (low < most))
    )


def _plain(tables, value, row, rows):
    """As `_general`, for texts of one run each in the first font."""
    script = tf.math.unsorted_segment_max(_script(value), row, rows)
    plan = tf.gather(tf.gather(tables.plan, script * tables.fonts), row)
    unit = _units(tables, value, plan)
    never = tf.zeros_like(row, bool)
    return unit, unit != END, tf.zeros_like(row), never, tf.zeros([rows], bool)


def _general(tables, value, row, rows):
    """Units, by the runs of each text.

    Returns:
        `(unit, same, ordinal, unsure, deep)`: int32 (T,); bool (T,), the next
        character is of the same run; int32 (T,), number of the run; bool (T,)
        and bool (B,), True where that could not be told.
    """
    font = right(value, FONT_SHIFT) & ((1 << FONT_BITS) - 1)
    common = (value & COMMON_BIT) > 0
    place = tf.where(common, value & (COMMON_BIT - 1), 0)
    kept = tf.gather(tables.kept, place)
    bracket = tf.where(common, tf.gather(tables.bracket, place), 0)
    first = row != runs.before(row)
    first |= tf.range(tf.size(row)) == 0
    font, unsure = runs.fonts(font, common, kept, first)
    script, deep = runs.scripts(_script(value), bracket, first, row, rows)
    run = script * tables.fonts + font
    unit = _units(tables, value, tf.gather(tables.plan, run))
    run = tf.where((unit == END) | (unit == TAB), -1, run)
    same = run == runs.behind(run)
    ordinal = tf.cumsum(1 - tf.cast(runs.before(same), tf.int32))
    return unit, same, ordinal, unsure, deep


def _units(tables, value, plan):
    common = (value & COMMON_BIT) > 0
    place = value & (COMMON_BIT - 1)
    table = tf.gather(tables.common, tf.where(common, plan + place, 0))
    return tf.where(common, table, place)


def _ligatures(tables, unit, same, dense):
    """`(unit, tangled)`: letters that join, the first match first."""
    part = tf.gather(tables.part, unit)
    column = part & ((1 << PART_BITS) - 1)
    after = tf.where(same, runs.behind(column), 0)
    starts = (part >= 1 << PART_BITS) & (after > 0)
    if dense:
        return _join(tables, unit, part, after, same, tf.range(tf.size(unit)))
    return tf.cond(
        tf.reduce_any(starts),
        lambda: _join(
            *(tables, unit, part, after, same), tf.where(starts)[:, 0]
        ),
        lambda: (unit, tf.zeros_like(same)),
    )


def _join(tables, unit, part, after, same, places):
    """Joins the letters that begin a ligature at some of the `places`."""
    size = tf.size(unit)
    places = tf.cast(places, tf.int32)
    next_ = tf.minimum(places + 1, size - 1)

    def step(state, column):
        return tf.gather(tables.trie, state * tables.parts + column)

    second = step(
        right(tf.gather(part, places), PART_BITS), tf.gather(after, places)
    )
    column = tf.where(tf.gather(same, places), tf.gather(after, next_), 0)
    two = tf.gather(tables.accept, second)
    three = tf.gather(tables.accept, step(second, column))
    found = tf.where(three > 0, three, two)
    stop = places + tf.where(three > 0, 3, 2)
    held, tangled = _first_matches(places, stop, found > 0)
    # Units of a ligature that is not held go to a place behind the last.
    number = 3 * found
    place = tf.where(held, places, size)
    last = tf.where(held, stop - 1, size)
    middle = tf.where(held & (three > 0), places + 1, size)
    unit = tf.tensor_scatter_nd_update(
        tf.pad(unit, [[0, 1]]),
        tf.concat([place, middle, last], 0)[:, None],
        tf.gather(
            tables.ligature, tf.concat([number, number + 1, number + 2], 0)
        ),
    )[:-1]
    tangled = tf.math.unsorted_segment_sum(
        tf.cast(tangled, tf.int32), places, size
    )
    return unit, tangled > 0


def _first_matches(begin, stop, found):
    """Which of the matches hold when each letter joins once, from the left.

    Args:
        begin, stop: int32 (K,), the letters of each match; `begin` rises.
        found: bool (K,), there is a match.

    Returns:
        `(held, open)`, bool (K,); `open` could not be told.
    """

    def covered(flags):
        one = runs.before(flags) & (runs.before(stop) > begin)
        two = runs.before(runs.before(flags))
        two &= runs.before(runs.before(stop)) > begin
        # Before the first match stands the last one, which ends behind it.
        order = tf.range(tf.size(begin))
        return (one & (order > 0)) | (two & (order > 1))

    def go_on(step, open_, held):
        del held
        return (step < _CONFLICTS) & tf.reduce_any(open_)

    def settle(step, open_, held):
        held |= open_ & ~covered(open_)
        return step + 1, open_ & ~held & ~covered(held), held

    state = (tf.constant(0), found, tf.zeros_like(found))
    _, open_, held = tf.while_loop(go_on, settle, state)
    return held, open_


def _advances(tables, unit, same):
    """`(advance, refused)`: pixels after kerning; bool (T,)."""
    kern = tf.gather(tables.kern, unit)
    column = runs.behind(kern & ((1 << SECOND_BITS) - 1))
    value = tf.gather(tables.kerning, right(kern, SECOND_BITS) + column)
    exact = tf.gather(tables.advance, unit) + tf.where(same, value, 0)
    return right(exact + 512, 10), exact < 0


def _tabs(tables, unit, advance, row, rows, start):
    """Gives tabs their width, up to the next stop; step k: the k-th tab.

    Returns:
        `(advance, crowded)`; bool (B,), True where there were too many.
    """
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
    return tf.while_loop(go_on, widen, state)[1], count > _TABS
