"""A thread that makes batches ahead of the step loop and times the waiting."""

import queue
import threading
import time

_END = object()


class Placed(dict):
    """A batch with its copy on the device.

    Args:
        batch: dict of arrays, which this object equals.
        on_device: what the driver's step takes instead of them.
    """

    def __init__(self, batch, on_device):
        super().__init__(batch)
        self.on_device = on_device


class Prefetcher:
    """Iterates over `fetch(step)` for a range of steps, worked out ahead.

    Args:
        fetch: function from a step to its batch; it runs in one thread, in
            the order of the steps. An object may have `stop()`, which makes
            a call in progress end early, and `close()`; both are called when
            the prefetcher closes.
        start, stop: the range of steps.
        depth: batches kept ready.
        put: function of a batch, or None: what it returns is handed on
            instead. It runs in the thread, too: the place to copy a batch to
            the device.

    Attributes:
        waited: seconds that the last `next()` waited for its batch.

    Yields:
        `(step, batch)`. An exception raised by `fetch` is raised by `next()`
        at the step it belongs to. Use as a context manager, or call
        `close()`: it stops the thread, also in the middle of the range.
    """

    def __init__(self, fetch, start, stop, depth=2, put=None):
        self.waited = 0.0
        self._fetch = fetch
        self._put = put
        self._steps = range(start, stop)
        self._queue = queue.Queue(maxsize=depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="pixmodels-prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        if self._closed.is_set():
            raise StopIteration
        begin = time.perf_counter()
        step, batch, error = self._queue.get()
        self.waited = time.perf_counter() - begin
        if error is not None:
            self.close()
            raise error
        if step is _END:
            self.close()
            raise StopIteration
        return step, batch

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        """Stops the thread and waits for it; safe to call twice."""
        first = not self._closed.is_set()
        self._closed.set()
        if first and hasattr(self._fetch, "stop"):
            self._fetch.stop()
        while self._thread.is_alive():
            # The thread may be blocked on a full queue: make room.
            try:
                self._queue.get_nowait()
            except queue.Empty:
                pass
            self._thread.join(timeout=0.02)
        if first and hasattr(self._fetch, "close"):
            self._fetch.close()

    def _work(self):
        try:
            for step in self._steps:
                if self._closed.is_set():
                    return
                batch = self._fetch(step)
                if self._put is not None:
                    batch = self._put(batch)
                self._queue.put((step, batch, None))
            self._queue.put((_END, None, None))
        except BaseException as error:  # handed to the reader, not lost
            self._queue.put((_END, None, error))
