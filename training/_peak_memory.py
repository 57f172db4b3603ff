"""How much a call makes the process grow, on Linux."""

import ctypes
import gc
import pathlib

_STATUS = pathlib.Path("/proc/self/status")
_RESET = pathlib.Path("/proc/self/clear_refs")
_MEMORY = pathlib.Path("/proc/meminfo")


def grown_by(function):
    """Runs a function once.

    Freed memory goes back to the system first, and so that small allocations
    of before are not counted the function should have run already.

    Returns:
        int, bytes of resident memory at the peak above those before the call;
        None where the system does not tell.
    """
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _RESET.write_text("5")  # The peak begins anew.
        before = _field(_STATUS, "VmRSS")
    except OSError:
        return None
    function()
    return max(0, _field(_STATUS, "VmHWM") - before)


def free():
    """Bytes that processes may still have, or None."""
    try:
        return _field(_MEMORY, "MemAvailable")
    except OSError:
        return None


def _field(path, name):
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in {path}")
