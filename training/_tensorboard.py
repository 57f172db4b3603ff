"""What TensorBoard shows of a run.

Not here: the numbers (`workdir.History`), from which the files are made, and
how these are written (`_event_file`).
"""

from pathlib import Path

from pixmodels.training import _run_pictures
from pixmodels.training._event_file import EventFile
from pixmodels.training.observers import Observer
from pixmodels.training.workdir import NOT_METRICS
from pixmodels.training.workdir import TIMES

FOLDER = "tensorboard"


class TensorBoard(Observer):
    """Writes `tensorboard/train` and `tensorboard/eval` in the workdir.

    Event files cannot be cut. When training begins they are therefore
    written anew from the history, which has been cut to the checkpoint.
    """

    def on_start(self, trainer):
        folder = Path(trainer.workdir) / FOLDER
        self._files = {n: EventFile(folder / n) for n in ("train", "eval")}
        config = Path(trainer.workdir) / "config.json"
        if config.is_file():
            text = f"```\n{config.read_text()}```"
            self._files["train"].add_text("config", text)
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
            size = image.size
        file = self._files["eval"]
        file.add_image("reconstruction", path.read_bytes(), size, step)
        file.flush()

    def on_end(self, result):
        for file in self._files.values():
            file.close()

    def _add(self, line):
        values = {
            f"speed/{name}" if name in TIMES else name: value
            for name, value in line.items()
            if name not in NOT_METRICS and value is not None
        }
        file = self._files[line["split"]]
        file.add_scalars(values, line["step"], line.get("time"))
        return file
