"""Which script and font each character of a batch takes, in TensorFlow ops.

Here: what _itemise.py and `FontStack.font_for` do one character after another,
as operations on all characters of all texts at once. Not here: glyphs
(_graph_shape.py). Characters stand in one flat row of T, `row` is their text.
"""

import tensorflow as tf

_PASSES = 16  # Changes of font between two letters of one text.
_BRACKETS = 64  # Brackets of a text with several scripts.
_DEPTH = 16  # Of those, open at one time.


def right(values, bits):
    """`values >> bits` of int32, the sign kept."""
    return tf.bitwise.right_shift(values, tf.constant(bits, tf.int32))


def before(values):
    """The value of the character before; the first gets the last one's."""
    return tf.concat([values[-1:], values[:-1]], 0)


def behind(values):
    """The value of the next character; the last gets the first one's."""
    return tf.concat([values[1:], values[:1]], 0)


def fill(values, anchors):
    """At each place the value at the last anchor; the first is one.

    Args:
        values: int32 (T,).
        anchors: bool (T,).
    """
    rank = tf.cumsum(tf.cast(anchors, tf.int32)) - 1
    kept = tf.where(anchors, values, 0)
    known = tf.math.unsorted_segment_sum(kept, rank, tf.size(values))
    return tf.gather(known, rank)


def fonts(font, common, kept, first):
    """The font of every character.

    A letter has its own; a common one stays with the font before it if that
    font is in its mask `kept`, else it goes to its own. Each pass settles the
    first character behind a settled one that does not stay.

    Args:
        font: int32 (T,), the font without one before it.
        common: bool (T,).
        kept: int32 (T,), bit masks.
        first: bool (T,), True where a text begins.

    Returns:
        `(fonts, unsure)`: int32 (T,); bool (T,), True where the passes did
        not suffice.
    """
    places = tf.range(tf.size(font))

    def stray(settled):
        here = fill(font, settled)
        stays = tf.bitwise.right_shift(kept, here) & 1
        return here, ~settled & (stays == 0)

    def go_on(step, settled, here, strays):
        del settled, here
        return (step < _PASSES) & tf.reduce_any(strays)

    def settle(step, settled, here, strays):
        del here
        group = tf.cumsum(tf.cast(settled, tf.int32)) - 1
        candidates = tf.where(strays, places, tf.size(font))
        nearest = tf.math.unsorted_segment_min(candidates, group, tf.size(font))
        settled |= places == tf.gather(nearest, group)
        return (step + 1, settled, *stray(settled))

    settled = ~common | first
    state = (tf.constant(0), settled, *stray(settled))
    _, _, here, strays = tf.while_loop(go_on, settle, state)
    return here, strays


def scripts(script, bracket, first, row, rows):
    """The script of every character, common ones resolved.

    Args:
        script: int32 (T,), 0 for common characters.
        bracket: int32 (T,), number of a pair, negative where it opens.
        first: bool (T,), True where a text begins.
        row: int32 (T,), rising.
        rows: how many texts.

    Returns:
        `(scripts, unsure)`: int32 (T,); bool (B,), True where there were too
        many brackets.
    """
    size = tf.size(script)
    places = tf.range(size)
    letters = script > 0
    # Common characters at the start take the first letter's script.
    where = tf.math.unsorted_segment_min(
        tf.where(letters, places, size - 1), row, rows
    )
    leading = tf.gather(script, where)
    script = tf.where(first & ~letters, tf.gather(leading, row), script)
    anchors = letters | first
    plain = fill(script, anchors)

    def paired():
        return _brackets(plain, anchors, bracket, row, rows)

    def unpaired():
        return plain, tf.zeros([rows], bool)

    return tf.cond(tf.reduce_any(bracket != 0), paired, unpaired)


def _brackets(plain, anchors, bracket, row, rows):
    """Scripts where a closing bracket takes that of its opening one.

    Step k handles the k-th bracket of every text. `stack` and `saved` hold
    the open brackets and their scripts, innermost last.
    """
    size = tf.size(plain)
    places = tf.range(size)
    is_bracket = bracket != 0
    count = tf.math.unsorted_segment_sum(
        tf.cast(is_bracket, tf.int32), row, rows
    )
    rank = tf.cumsum(tf.cast(is_bracket, tf.int32), exclusive=True)
    listed = tf.math.unsorted_segment_sum(
        tf.where(is_bracket, places, 0), rank, size + 1
    )
    # Between two brackets the last character writes the same sum again, so
    # places that are no bracket add zero.
    start = tf.cumsum(count, exclusive=True)
    anchor = fill(places, anchors)
    depths = tf.range(_DEPTH)[None]

    def go_on(step, *_):
        return (step < _BRACKETS) & tf.reduce_any(step < count)

    def handle(step, found, last, current, stack, saved, depth, deep):
        live = step < count
        place = tf.gather(listed, tf.where(live, start + step, 0))
        kind = tf.where(live, tf.gather(bracket, place), 0)
        newer = tf.gather(anchor, place)
        current = tf.where(
            (newer > last) | (step == 0), tf.gather(plain, newer), current
        )
        opens = kind < 0
        slot = opens[:, None] & (depths == depth[:, None])
        deep |= opens & (depth >= _DEPTH)
        stack = tf.where(slot, -kind[:, None], stack)
        saved = tf.where(slot, current[:, None], saved)
        match = (stack == kind[:, None]) & (depths < depth[:, None])
        match = tf.reduce_max(tf.where(match, depths, -1), 1)
        closes = kind > 0
        partner = tf.gather(saved, tf.maximum(match, 0), batch_dims=1)
        matched = closes & (match >= 0) & (partner > 0)
        current = tf.where(matched, partner, current)
        depth = tf.where(closes, tf.maximum(match, 0), depth)
        depth += tf.cast(opens, tf.int32)
        found = tf.tensor_scatter_nd_max(
            found,
            tf.where(matched, place, size)[:, None],
            tf.where(matched, current, 0),
        )
        last = tf.where(live, place, last)
        return step + 1, found, last, current, stack, saved, depth, deep

    zeros = tf.zeros([rows], tf.int32)
    grid = tf.zeros([rows, _DEPTH], tf.int32)
    state = (
        tf.constant(0),
        tf.zeros([size + 1], tf.int32),
        *(zeros, zeros, grid, grid, zeros),
        tf.zeros([rows], bool),
    )
    _, found, _, _, _, _, _, deep = tf.while_loop(go_on, handle, state)
    found = found[:-1]
    values = tf.where(found > 0, found, plain)
    return fill(values, anchors | (found > 0)), deep | (count > _BRACKETS)
