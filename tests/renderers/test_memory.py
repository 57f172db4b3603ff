"""Memory is used again only when nobody can see it."""

import numpy as np

from pixmodels.renderers import _memory


def test_memory_is_used_again():
    first = _memory.white((3, 5, 7))
    address = first.ctypes.data
    first[...] = 0
    del first
    second = _memory.white((3, 5, 7))
    assert second.ctypes.data == address
    assert np.all(second == 255)


def test_what_is_held_is_left_alone():
    view = _memory.white((3, 5, 11))[1, :, 2:3]
    memory = memoryview(_memory.white((3, 5, 11)))
    view[...] = 7
    others = [_memory.white((3, 5, 11)) for _ in range(7)]
    addresses = {other.ctypes.data for other in others}
    assert len(addresses) == 7
    assert np.all(view == 7)
    assert bytes(memory) == b"\xff" * 165
    assert all(np.all(other == 255) for other in others)


def test_sizes():
    assert _memory.white((0, 5, 7)).shape == (0, 5, 7)
    assert _memory.white((2, 1 << 25)).shape == (2, 1 << 25)
    assert len(_memory._kept) <= 3
