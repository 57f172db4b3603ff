"""Locks that a forked child finds free.

Here: `lock`, which a fork waits for. Not here: what is locked. Without it a
child forked while another thread draws would wait for ever, or find a buffer
half filled: data loaders fork their workers from busy processes."""

import os
import threading
import weakref

_OUTER = weakref.WeakSet()
_INNER = weakref.WeakSet()
_HELD = []


def lock(inner=False):
    """A new `threading.RLock`; `os.fork` waits until no thread holds it.

    Args:
        inner: whether it is taken while another is held; never the reverse.
    """
    made = threading.RLock()
    (_INNER if inner else _OUTER).add(made)
    return made


def _acquire():
    # In the order in which a thread that draws takes them.
    for locks in (_OUTER, _INNER):
        for held in list(locks):
            held.acquire()
            _HELD.append(held)


def _release():
    while _HELD:
        _HELD.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_acquire, after_in_parent=_release, after_in_child=_release
    )
