"""Which examples share a window: lengths in, groups out.

The pattern of a packing (how many windows, which lengths in each) follows
from the lengths alone, so that every epoch has as many batches; which example
takes which place of its length is drawn anew in each epoch. Not here: batches
(`pipeline`), drawing several texts into one window (sources).
"""

import numpy as np


class Packing:
    """Windows of `capacity` patches, each with the lengths that it holds.

    Longest first, each example goes to the window that it fills best (best
    fit decreasing); examples of one length are placed together, which may
    differ from placing one at a time.

    Args:
        lengths: (n,) int, at least 1; longer ones count as `capacity`, to
            which the source cuts them.
        capacity: patches of a window.

    Attributes:
        num_examples: int, n.
        num_windows: int, W.
    """

    def __init__(self, lengths, capacity):
        lengths = np.minimum(np.asarray(lengths, np.int64), capacity)
        self._lengths = lengths
        self.num_examples = len(lengths)
        windows, sizes = _places(lengths, capacity)
        self.num_windows = int(windows.max()) + 1
        # Places by length, for the examples by length to go to.
        self._window_of_place = windows[np.argsort(sizes, kind="stable")]
        self._counts = np.bincount(windows, minlength=self.num_windows)

    def groups(self, examples_key, windows_key):
        """The packing of one epoch.

        Args:
            examples_key: (n,) numbers; examples of one length are put in
                their order.
            windows_key: (W,) numbers; windows are put in their order.

        Returns:
            `(members, starts)`: window k holds the examples
            `members[starts[k]:starts[k + 1]]`.
        """
        by_length = np.lexsort((examples_key, self._lengths))
        rank = np.empty(self.num_windows, np.int64)
        order = np.argsort(windows_key, kind="stable")
        rank[order] = np.arange(self.num_windows)
        # In a window, too, texts stand in the order of their keys.
        place = np.lexsort(
            (examples_key[by_length], rank[self._window_of_place])
        )
        starts = np.concatenate([[0], np.cumsum(self._counts[order])])
        return by_length[place], starts


def _places(lengths, capacity):
    """(window, length) of every place, as two (n,) arrays."""
    open_windows = [np.zeros(0, np.int64) for _ in range(capacity + 1)]
    windows, sizes, count = [], [], 0

    def put(where, size, free):
        windows.append(where)
        sizes.append(np.full(len(where), size, np.int64))
        open_windows[free] = np.concatenate([open_windows[free], where])

    found, left_of = np.unique(lengths, return_counts=True)
    for size, left in zip(found[::-1].tolist(), left_of[::-1].tolist()):
        free = size
        while left and free <= capacity:
            here = open_windows[free][:left]
            if not len(here):
                free += 1
                continue
            open_windows[free] = open_windows[free][len(here) :]
            left -= len(here)
            put(here, size, free - size)
            free = min(free, max(size, free - size))
        each = capacity // size
        while left:
            # As many new windows as can be filled, then one with the rest.
            new = max(1, left // each)
            many = min(each, left)
            here = np.arange(count, count + new)
            count += new
            left -= new * many
            windows.append(np.repeat(here, many - 1))
            sizes.append(np.full(new * (many - 1), size, np.int64))
            put(here, size, capacity - size * many)
    return np.concatenate(windows), np.concatenate(sizes)
