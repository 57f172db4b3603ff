"""Freed memory stays in the process: steps on a CPU need the same amount again.

glibc gives large blocks back to the system when they are freed and takes new
ones a step later, which the kernel clears page by page. Not here: what a step
allocates.
"""

import ctypes
import os
import sys

# mallopt(3): its parameters, and the values that keep what was freed.
_SETTINGS = (
    (-8, 1),  # M_ARENA_MAX: heaps of other threads end at 64 MiB.
    (-4, 0),  # M_MMAP_MAX: no blocks of their own.
    (-1, -1),  # M_TRIM_THRESHOLD: never.
)
_SWITCH = "PIXMODELS_KEEP_MEMORY"


def keep_freed():
    """Tells the C library to use freed memory again; once is enough.

    It holds for the whole process: its peak stays the same, but memory does
    not shrink after the peak. The environment variable
    PIXMODELS_KEEP_MEMORY=0 turns it off. Best called before TensorFlow starts
    its threads.

    Returns:
        bool, False where it is off or the C library is not glibc.
    """
    if os.environ.get(_SWITCH) == "0" or not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    done = [library.mallopt(*pair) for pair in _SETTINGS]
    return all(done)
