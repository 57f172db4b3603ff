"""When a run saves its state, and the thread that writes it.

Not here: what is on disk (`checkpoint`), what the state is (`trainer`, the
drivers).
"""

import threading
import time

# Seconds of work that are saved before a compilation: it cannot be
# interrupted, and may last longer than what SIGTERM leaves until SIGKILL.
_BEFORE_COMPILATION = 60.0


class Saver:
    """Saves behind the step loop's back, one checkpoint at a time.

    The caller's thread only copies the state; hashing and writing happen in a
    thread. A save that comes while the one before is still being written
    waits for it: every checkpoint that was asked for is written, in order,
    and at most one copy of the state is held. A failed write is raised by
    the next `check`, `save` or `wait`, once.

    As a context manager it waits for the last write before it ends. For the
    state of a PIXEL-base under AdamW the loop stands still for the copy
    alone, see `docs/checkpoints.md`.

    Args:
        store: `CheckpointStore`; its `keep_best` says whether evaluations
            make checkpoints.
        every: steps from one checkpoint to the next.
        minutes: minutes after which one is written whatever the step, or
            None.
        step: the step that the run starts from.
        clock: function that gives seconds, for tests.

    Attributes:
        step: the step last saved.
        blocked: seconds that the last `save` held its caller up.
    """

    def __init__(self, store, every, minutes=None, step=0, clock=None):
        self._store = store
        self._every = every
        self._seconds = None if minutes is None else 60.0 * minutes
        self._clock = clock or time.monotonic
        self.step = step
        self._time = self._clock()
        self._scores = store.scores() if store.keep_best else {}
        self._thread = None
        self._error = None
        self.blocked = 0.0

    def due(self, step, scores=None):
        """Whether a step is one to save after.

        Args:
            step: updates done.
            scores: dict of metrics, if there was an evaluation.
        """
        if step // self._every > self.step // self._every:
            return True
        if self._seconds is not None and self.unsaved() >= self._seconds:
            return True
        return bool(self._store.keep_best and scores) and self._is_best(
            step, scores
        )

    def due_before_compiling(self, step):
        """Whether to save what is done before a compilation begins."""
        return step > self.step and self.unsaved() >= _BEFORE_COMPILATION

    def unsaved(self):
        """Seconds since the last save, or since the run began."""
        return self._clock() - self._time

    def save(self, step, snapshot, state, scores=None):
        """Copies the state and starts to write it.

        Args:
            step: updates done.
            snapshot: function that returns a dict of arrays; later steps
                may change those that do not own their memory, so these are
                copied.
            state: dict of JSON values.
            scores: dict of metrics of these very weights, if evaluated.

        Raises:
            OSError: if the write before this one failed.
        """
        begin = time.perf_counter()
        self.wait()
        arrays = {
            key: array if array.flags.owndata else array.copy()
            for key, array in snapshot().items()
        }
        self.step, self._time = step, self._clock()
        if scores and self._store.metric in scores:
            self._scores[step] = scores[self._store.metric]
        self._thread = threading.Thread(
            target=self._write,
            args=(step, arrays, state, scores),
            name="pixmodels-checkpoint",
        )
        self._thread.start()
        self.blocked = time.perf_counter() - begin

    def skip(self, step):
        """Takes note of a save that another process makes."""
        self.step, self._time = step, self._clock()

    def check(self):
        """Raises the error of a write that failed; does not wait."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self):
        """Waits until everything is on disk.

        Raises:
            OSError: if it could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"Besides, a checkpoint was not saved: {failure}")

    def _is_best(self, step, scores):
        known = {**self._scores, step: scores[self._store.metric]}
        return step in self._store.ranked(known)[: self._store.keep_best]

    def _write(self, step, arrays, state, scores):
        try:
            self._store.save(step, arrays, state, scores)
        except BaseException as error:  # for the step thread, not lost
            self._error = error
