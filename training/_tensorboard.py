"""Event files for TensorBoard, by tensorboardX: no TensorFlow is loaded.

TensorBoard's own writer loads TensorFlow wherever it is installed. Not here:
the numbers (`workdir.History`), from which the files are made.
"""

import importlib.util
import time
from pathlib import Path

import numpy as np

from pixmodels.training import _run_pictures
from pixmodels.training.observers import Observer
from pixmodels.training.workdir import TIMES

FOLDER = "tensorboard"
_UNPLOTTED = ("step", "split", "time", "seconds")


def is_installed():
    """Whether the writer is there."""
    return importlib.util.find_spec("tensorboardX") is not None


def check():
    """Raises an ImportError with the pip line where the writer is missing."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Expected the package 'tensorboardX' for train.tensorboard=true: "
            f"pip install pixmodels[tensorboard]. Received: {error}"
        ) from error


class TensorBoard(Observer):
    """Writes `tensorboard/train` and `tensorboard/eval` in the workdir.

    Event files cannot be cut. When training begins they are therefore
    written anew from the history, which has been cut to the checkpoint; a
    TensorBoard that is looking on forgets the old ones.
    """

    def on_start(self, trainer):
        folder = Path(trainer.workdir) / FOLDER
        self._files = {n: _File(folder / n) for n in ("train", "eval")}
        config = Path(trainer.workdir) / "config.json"
        if config.is_file():
            self._files["train"].add_text("config", config.read_text())
        for line in trainer.history.read():
            self._add(line)
        for step, path in _run_pictures.written(trainer.workdir):
            self.on_picture(step, path)
        for file in self._files.values():
            file.flush()

    def on_log(self, line):
        self._add(line).flush()

    def on_evaluation(self, line):
        self._add(line).flush()

    def on_picture(self, step, path):
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._files["eval"].add_image("reconstruction", pixels, step)

    def on_end(self, result):
        for file in self._files.values():
            file.close()

    def _add(self, line):
        values = {
            f"speed/{name}" if name in TIMES else name: value
            for name, value in line.items()
            if name not in _UNPLOTTED and value is not None
        }
        file = self._files[line["split"]]
        file.add_scalars(values, line["step"], line.get("time"))
        return file


class _File:
    """One event file, the only one of its folder.

    tensorboardX's `SummaryWriter` sends each number through a queue to a
    thread: slow for a long history, and its `flush` does not wait for them.
    Its own files and protocol buffers are used here without it.
    """

    def __init__(self, folder):
        from tensorboardX import event_file_writer
        from tensorboardX import summary
        from tensorboardX.proto import event_pb2
        from tensorboardX.proto import summary_pb2

        self._make, self._proto = summary, summary_pb2
        self._event = event_pb2.Event
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = event_file_writer.EventsWriter(str(folder / "events"))
        # A second start, at step 0, tells a reader to drop all it has read.
        log = event_pb2.SessionLog
        self._write(0, session_log=log(status=log.START))

    def add_scalars(self, values, step, wall_time):
        """Adds a dict of numbers, of a Unix time."""
        scalars = [
            self._proto.Summary.Value(tag=tag, simple_value=value)
            for tag, value in values.items()
        ]
        self._write(step, wall_time, summary=self._proto.Summary(value=scalars))

    def add_image(self, tag, pixels, step):
        """Adds an image: (H, W, 3) uint8."""
        image = self._make.image(tag, pixels, dataformats="HWC")
        self._write(step, summary=image)

    def add_text(self, tag, text):
        """Adds a text, shown as it is."""
        made = self._make.text(tag, f"```\n{text}\n```")
        self._write(0, summary=made)

    def flush(self):
        """Brings all to the disk."""
        self._file.flush()

    def close(self):
        """Ends the file."""
        self._file.close()

    def _write(self, step, wall_time=None, **what):
        if wall_time is None:
            wall_time = time.time()
        self._file.write_event(
            self._event(step=step, wall_time=wall_time, **what)
        )
