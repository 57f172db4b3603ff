"""`curves.png` of a run that is being trained.

Not here: how the figure looks (`plots`).
"""

import time
from pathlib import Path

from pixmodels.training import _whole_file
from pixmodels.training.observers import Observer

FILE = "curves.png"
# Seconds from one drawing to the next; more where drawing takes long.
_EVERY = 60.0
_SHARE = 0.01


class Curves(Observer):
    """Draws `curves.png` once a minute and at the end.

    It takes at most a hundredth of the time; a run goes on without it, after
    one note, where matplotlib is missing or the file cannot be written.
    """

    def on_start(self, trainer):
        self._trainer = trainer
        self._path = Path(trainer.workdir) / FILE
        self._broken = False
        self._next = time.perf_counter() + _EVERY

    def on_log(self, line):
        if time.perf_counter() >= self._next:
            self._draw()

    def on_end(self, result):
        self._draw()

    def _draw(self):
        if self._broken:
            return
        begin = time.perf_counter()
        try:
            draw(self._trainer.history.read(), self._path)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            self._broken = True
            self._trainer.progress.note(f"no {FILE}: {error}")
        end = time.perf_counter()
        self._next = end + max(_EVERY, (end - begin) / _SHARE)


def draw(lines, path):
    """Writes the curves of a history; nothing if it has no lines yet.

    Raises:
        ImportError: matplotlib is missing.
        OSError: the file cannot be written.
    """
    if not lines:
        return
    from pixmodels.training import plots

    name = path.resolve().parent.name
    figure = plots.curves(lines, f"{name}, step {lines[-1]['step']:,}")
    with _whole_file.replacing(path) as partial:
        figure.savefig(partial, format="png")
