"""Locks that a forked child finds free.

Here: `lock`, which a fork waits for. Not here: what is locked. Without it a
child forked while another thread draws would wait for ever, or find a buffer
half filled: data loaders fork their workers from busy processes."""

import os
import threading
import weakref

_OUTER, _INNER = [], []  # Weak references.
_HELD = []


def lock(*, inner=False):
    """A new `threading.RLock`; `os.fork` waits until no thread holds it.

    Args:
        inner: bool, True for a lock that is taken while another of these is
            held. A fork takes the outer ones first, as all others do.
    """
    made = threading.RLock()
    known = _INNER if inner else _OUTER
    known.append(weakref.ref(made, known.remove))
    return made


def _acquire():
    for reference in (*_OUTER, *_INNER):
        held = reference()
        if held is not None:
            held.acquire()
            _HELD.append(held)


def _release():
    while _HELD:
        _HELD.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_acquire, after_in_parent=_release, after_in_child=_release
    )
