"""Which blocks BigBird attends to at random.

Here: the table, a pure function of its arguments on any machine. Not here:
attention by it (bigbird)."""

import functools

import numpy as np


@functools.lru_cache(maxsize=64)
def random_blocks(seed, salt, heads, blocks, count):
    """Random key blocks of the middle query blocks.

    Args:
        seed, salt: ints >= 0.
        heads: A.
        blocks: n, at least count + 6.
        count: r.

    Returns:
        (A, n - 2, r) int32, not writable. Row i - 1 belongs to query block i
        and holds r distinct blocks, each as likely as the other, among those
        that are neither its window (i - 1, i, i + 1) nor global (0, n - 1).
    """
    row = np.arange(1, blocks - 1)
    taken = np.stack([0 * row, row - 1, row, row + 1, 0 * row + blocks - 1])
    # The first and the last row have a global block for a neighbour: a block
    # beyond all others takes the place of the repetition.
    taken[1, 0] = taken[3, -1] = blocks
    free = blocks - (taken < blocks).sum(0)
    taken = np.sort(taken, axis=0)
    taken = np.broadcast_to(taken[:, None], (5, heads, len(row)))
    source = np.random.SeedSequence((seed, salt, blocks))
    # Raw numbers: those of numpy's distributions may change with its version.
    raw = np.random.PCG64(source).random_raw((count, heads, len(row)))
    shares = (raw >> np.uint64(11)) * 2.0**-53
    table = np.empty((heads, len(row), count), "int32")
    for number, share in enumerate(shares):
        chosen = (share * (free - number)).astype(np.int64)  # among the free
        for block in taken:
            chosen += chosen >= block
        table[..., number] = chosen
        taken = np.sort(np.concatenate([taken, chosen[None]]), axis=0)
    table.flags.writeable = False
    return table
