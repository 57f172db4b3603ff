"""The Unicode bidirectional algorithm, by FriBidi.

Here: embedding levels of a paragraph and the visual order of its runs. Not
here: classes and brackets of characters (_bidi_classes.py), splitting into
runs (_itemise.py). Base direction is that of the first strong character
(rules P2, P3), left to right where there is none."""

import ctypes
import functools
import itertools
import re

import numpy as np

from pixmodels.renderers._bidi_classes import BRACKETS
from pixmodels.renderers._bidi_classes import CLASSES
from pixmodels.renderers._libraries import fribidi

_AUTO = 0x40  # FRIBIDI_PAR_ON
_LTR = 0x110
_RTL = 0x111

# Every block whose characters are right to left by class or by default, and
# the directional controls. A text without them has level 0 throughout.
_NEEDS_BIDI = re.compile(
    "[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefe"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


@functools.cache
def _functions():
    library = fribidi()
    pointer = ctypes.c_void_p
    length = ctypes.c_int
    library.fribidi_get_par_embedding_levels_ex.argtypes = [
        pointer,
        pointer,
        length,
        ctypes.POINTER(ctypes.c_uint32),
        pointer,
    ]
    library.fribidi_get_par_embedding_levels_ex.restype = ctypes.c_int8
    library.fribidi_reorder_line.argtypes = [
        ctypes.c_uint32,
        pointer,
        length,
        length,
        ctypes.c_uint32,
        pointer,
        pointer,
        pointer,
    ]
    library.fribidi_reorder_line.restype = ctypes.c_int8
    return library


def levels(text, base=None):
    """Embedding levels of a one-line paragraph, rule L1 applied.

    Args:
        text: str without paragraph separators.
        base: base level, 0 or 1; None takes the first strong character's.

    Returns:
        `(levels, base)`: levels int8 (len(text),), or None where all are 0;
        base level, 0 or 1.

    Raises:
        RuntimeError: FriBidi ran out of memory.
    """
    if base != 1 and (text.isascii() or _NEEDS_BIDI.search(text) is None):
        return None, 0
    count = len(text)
    types = np.fromiter(map(CLASSES.__getitem__, text), np.uint32, count)
    brackets = map(BRACKETS.get, text, itertools.repeat(0))
    brackets = np.fromiter(brackets, np.uint32, count)
    result = np.zeros(count, np.int8)
    direction = ctypes.c_uint32({None: _AUTO, 0: _LTR, 1: _RTL}[base])
    library = _functions()
    highest = library.fribidi_get_par_embedding_levels_ex(
        types.ctypes.data,
        brackets.ctypes.data,
        count,
        ctypes.byref(direction),
        result.ctypes.data,
    )
    if highest and count:
        highest = library.fribidi_reorder_line(
            0, types.ctypes.data, count, 0, direction, result.ctypes.data, 0, 0
        )
        if highest == 0:
            raise RuntimeError("FriBidi could not allocate memory")
    return result, direction.value & 1


def visual_order(run_levels):
    """Indices of runs from left to right (rule L2 over whole runs).

    Args:
        run_levels: list of int, one level per run in logical order.
    """
    order = list(range(len(run_levels)))
    odd = [level for level in run_levels if level & 1]
    if not odd:
        return order
    for level in range(max(run_levels), min(odd) - 1, -1):
        start = None
        for position in range(len(order) + 1):
            inside = (
                position < len(order) and run_levels[order[position]] >= level
            )
            if inside and start is None:
                start = position
            elif not inside and start is not None:
                order[start:position] = order[start:position][::-1]
                start = None
    return order
