"""Event files for TensorBoard, by tensorboardX: no TensorFlow is loaded.

TensorBoard's own writer loads TensorFlow wherever it is installed. Not here:
the numbers (`workdir.History`), from which the files are made.
"""

import importlib.util
import json
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
    TensorBoard that is looking on is told to forget the old ones.
    """

    def on_start(self, trainer):
        import tensorboardX

        folder = Path(trainer.workdir) / FOLDER
        self._writers = {}
        for split in ("train", "eval"):
            old = list((folder / split).glob("events.out.tfevents.*"))
            for path in old:
                path.unlink()
            self._writers[split] = tensorboardX.SummaryWriter(
                str(folder / split), purge_step=0 if old else None
            )
        config = Path(trainer.workdir) / "config.json"
        if config.is_file():
            text = json.dumps(json.loads(config.read_text()), indent=2)
            self._writers["train"].add_text("config", f"```\n{text}\n```", 0)
        for line in trainer.history.read():
            self._add(line)
        for step, path in _run_pictures.written(trainer.workdir):
            self.on_picture(step, path)
        self._flush()

    def on_log(self, line):
        self._add(line)
        self._flush()

    def on_evaluation(self, line):
        self._add(line)
        self._flush()

    def on_picture(self, step, path):
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writers["eval"].add_image(
            "reconstruction", pixels, step, dataformats="HWC"
        )

    def on_end(self, result):
        for writer in self._writers.values():
            writer.close()

    def _add(self, line):
        writer = self._writers.get(line["split"])
        for name, value in line.items():
            if name in _UNPLOTTED or value is None or writer is None:
                continue
            tag = f"speed/{name}" if name in TIMES else name
            writer.add_scalar(tag, value, line["step"], line.get("time"))

    def _flush(self):
        for writer in self._writers.values():
            writer.flush()
