"""Freed memory is used again: counted in page faults, in a new process."""

import os
import subprocess
import sys

import pytest

_CHILD = """
import resource, threading
import numpy as np
from pixmodels.training import _malloc

kept = _malloc.keep_freed()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for size in (97, 61):  # MiB
        np.ones(size << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = []
faults()
for _ in range(3):
    thread = threading.Thread(target=lambda: found.append(faults()))
    thread.start()
    thread.join()
print(kept, *found)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize("switch", ["1", "0"])
def test_freed_memory_is_kept(switch):
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**os.environ, "PIXMODELS_KEEP_MEMORY": switch},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, *faults = done.stdout.split()
    assert kept == str(switch == "1")
    pages = (97 << 20) // os.sysconf("SC_PAGE_SIZE")
    for count in map(int, faults):
        # Python touches a page or two of its own; NumPy asks for pages of
        # 2 MiB, 512 of the ordinary ones.
        assert count < 100 if switch == "1" else count > pages / 600
