"""White canvases, in the memory of earlier ones that nobody holds any more.

Here: `white`. Fresh memory costs more to get from the system than to draw
on. Not here: what is drawn (_raster.py)."""

import math
import sys
import threading

import numpy as np

_MOST = 3  # Arrays kept.
_LARGEST = 1 << 25  # Bytes of an array that is kept.
_LOCK = threading.Lock()
_kept = []


def white(shape):
    """uint8 array of 255, C order.

    It may lie in the memory of an array returned before, but only where no
    reference to that one or to a view of it is left.
    """
    size = math.prod(shape)
    if not 0 < size <= _LARGEST:
        return np.full(shape, 255, np.uint8)
    with _LOCK:
        array = _free(size)
        if array is None:
            array = np.empty(size, np.uint8)
            _kept.append(array)
            del _kept[:-_MOST]
    array.fill(255)
    return array.reshape(shape)


def _free(size):
    for index in range(len(_kept)):
        # Of the list, and of the call itself.
        if _kept[index].size == size and sys.getrefcount(_kept[index]) == 2:
            return _kept[index]
    return None
