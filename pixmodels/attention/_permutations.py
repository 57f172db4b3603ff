"""Rows sorted in several rounds at once, and put back.

Here: the order, and moves of rows whose gradients are moves, too (a gather's
own gradient is a scatter, which takes much longer). Not here: what is sorted
for (reformer)."""

from keras import ops

_MOST = 2**31


def sorted_by(buckets, count):
    """Orders places by bucket, then by place.

    Args:
        buckets: (..., M) int32 in [0, count).
        count: int.

    Returns:
        Three (..., M) int32: `order`, the place that stands in each slot,
        `slot`, the slot of each place, and the buckets slot by slot.

    Raises:
        ValueError: if `count * M` does not fit into 31 bits.
    """
    length = buckets.shape[-1]
    if count * length >= _MOST:
        raise ValueError(
            f"Expected fewer than 2**31 pairs of a bucket and a token. "
            f"Received: {count} buckets, {length} tokens."
        )
    place = ops.arange(length, dtype="int32")
    keys = ops.sort(buckets * length + place, axis=-1)
    order = keys % length
    slot = ops.cast(ops.argsort(order, axis=-1), "int32")
    return order, slot, keys // length


def taken(x, order, slot):
    """Rows of x in the order of each round.

    Args:
        x: (B, A, M, E).
        order, slot: (B, A, R, M) int32, as `sorted_by`.

    Returns:
        (B, A, R, M, E).
    """

    @ops.custom_gradient
    def forward(x):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return ops.sum(_rows(upstream, slot), axis=2)

        return _rows(x, order), gradient

    return forward(x)


def returned(x, order, slot):
    """Rows of each round back in their places, (B, A, R, M, E) both.

    Args:
        order, slot: (B, A, R, M) int32, as `sorted_by`.
    """

    @ops.custom_gradient
    def forward(x):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return _rows(upstream, order)

        return _rows(x, slot), gradient

    return forward(x)


def _rows(x, places):
    """(B, A, M, E) or (B, A, R, M, E) at places (B, A, R, M)."""
    shape = ops.shape(x)
    axes = len(x.shape) - 2
    groups = 1
    for size in shape[:axes]:
        groups = groups * size
    length = x.shape[axes]
    start = ops.arange(groups, dtype="int32") * length
    start = ops.reshape(start, (*shape[:axes], *(1,) * (4 - axes)))
    flat = ops.reshape(x, (-1, x.shape[-1]))
    return ops.take(flat, places + start, axis=0)
