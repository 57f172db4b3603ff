"""Memory is used again only when nobody can see it."""

import numpy as np

from pixmodels.renderers import _memory


def white(shape):
    return _memory.filled(shape, np.full(1, 255, np.uint8))


def test_memory_is_used_again():
    first = white((3, 5, 7))
    address = first.ctypes.data
    first[...] = 0
    del first
    second = white((3, 5, 7))
    assert second.ctypes.data == address
    assert np.all(second == 255)


def test_what_is_held_is_left_alone():
    view = white((3, 5, 11))[1, :, 2:3]
    memory = memoryview(white((3, 5, 11)))
    view[...] = 7
    others = [white((3, 5, 11)) for _ in range(7)]
    addresses = {other.ctypes.data for other in others}
    assert len(addresses) == 7
    assert np.all(view == 7)
    assert bytes(memory) == b"\xff" * 165
    assert all(np.all(other == 255) for other in others)


def test_sizes():
    assert white((0, 5, 7)).shape == (0, 5, 7)
    assert white((2, 1 << 25)).shape == (2, 1 << 25)
    assert len(_memory._kept) <= 3


def test_colours():
    rgb = np.array([1, 2, 3], np.uint8)
    assert _memory.filled((2, 5), rgb)[1, 4].tolist() == [1, 2, 3]
    assert _memory.filled((2, 5), rgb[:1]).tolist() == [[1] * 5] * 2
