"""Signals that end a run in an orderly way."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def on_sigterm(act):
    """Inside, SIGTERM calls a function and does nothing else.

    Only the main thread can handle signals; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
