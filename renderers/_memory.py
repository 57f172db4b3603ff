"""Canvases, in the memory of earlier ones that nobody holds any more.

Here: `filled`. Fresh memory costs more to get from the system than to draw
on. Not here: what is drawn (_raster.py)."""

import math
import sys

import numpy as np

from pixmodels.renderers._forks import lock

_MOST = 3  # Arrays kept.
_LARGEST = 1 << 25  # Bytes of an array that is kept.
_LOCK = lock(inner=True)
_kept = []


def filled(shape, color):
    """uint8 array of one colour, C order.

    It may lie in the memory of an array returned before, but only where no
    reference to that one or to a view of it is left.

    Args:
        shape: tuple of int.
        color: uint8 (channels,); for one channel the array has the shape
            given, for more they are its last axis.
    """
    if len(color) > 1:
        shape = (*shape, len(color))
    array = _memory(math.prod(shape)).reshape(shape)
    array[...] = color
    return array


def _memory(size):
    """uint8 (size,) that nobody else holds."""
    if not 0 < size <= _LARGEST:
        return np.empty(size, np.uint8)
    with _LOCK:
        array = _free(size)
        if array is None:
            array = np.empty(size, np.uint8)
            _kept.append(array)
            del _kept[:-_MOST]
    return array


def _free(size):
    for index in range(len(_kept)):
        # Of the list, and of the call itself.
        if _kept[index].size == size and sys.getrefcount(_kept[index]) == 2:
            return _kept[index]
    return None
