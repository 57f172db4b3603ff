"""Pictures of what a masked autoencoder reconstructs, while it is trained.

Not here: how a picture looks (`_pictures`), what the model predicts
(`MaskedAutoencoder.reconstruct`).
"""

import re
from pathlib import Path

import numpy as np

from pixmodels.training import _whole_file
from pixmodels.training.observers import Observer

FOLDER = "pictures"
# Examples of a picture: texts in one row of patches, other images.
_ROWS, _IMAGES = 8, 4
# Patches of a row that are shown: more would make each too small.
_LONGEST = 64


class Pictures(Observer):
    """Writes `pictures/reconstruction_<step>.png`, always of the same examples.

    They are from the evaluation source (or that of training, if there is
    none), with the masks that they have there. Where no picture can be made,
    a run goes on without, after one note.

    Args:
        every: steps from one picture to the next; 0: at the end only.
    """

    def __init__(self, every):
        self._every = every

    def on_start(self, trainer):
        self._trainer = trainer
        self._step = self._drawn = trainer.step
        self._batch = None
        self._wanted = hasattr(trainer.model, "reconstruct")
        for step, path in written(trainer.workdir):
            if step > trainer.step:
                path.unlink()

    def on_step(self, step):
        before, self._step = self._step, step
        if self._every and step // self._every > before // self._every:
            self._draw(step)

    def on_end(self, result):
        ended = result is not None and not result.interrupted
        if ended and result.step > self._drawn:
            self._draw(result.step)

    def _draw(self, step):
        if not self._wanted:
            return
        self._trainer.wait()
        path = path_of(self._trainer.workdir, step)
        try:
            self._write(path)
        except Exception as error:
            # Whatever a device or a source may bring up: no picture is worth
            # a run.
            self._wanted = False
            words = f"{type(error).__name__}: {error}"
            self._trainer.progress.note(f"no pictures: {words}")
            return
        self._drawn = step
        self._trainer.observers.tell("on_picture", step, path)

    def _write(self, path):
        from pixmodels.training import _pictures

        if self._batch is None:
            self._batch = examples(self._trainer)
        found = self._trainer.model.reconstruct(self._batch)
        height, width = self._trainer.model.encoder.patch_size
        found = {
            name: images[:, :, : _LONGEST * width]
            if images.shape[1] == height
            else images
            for name, images in found.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with _whole_file.replacing(path) as partial:
            _pictures.sheet(found).save(partial, format="PNG", optimize=True)


def examples(trainer):
    """A batch of a few examples, the same for every picture of a run.

    They are spread evenly over those that are not shorter than most and fit
    the largest bucket.
    """
    source = trainer.eval_source
    if source is None:
        source = trainer.pipeline.source
    places, longest = np.arange(len(source)), None
    lengths = getattr(source, "lengths", None)
    if lengths is not None:
        lengths = np.asarray(lengths)
        buckets = trainer.pipeline.bucket_lengths
        fits = np.flatnonzero(lengths <= buckets[-1])
        if fits.size:
            places = fits[lengths[fits] >= np.median(lengths[fits])]
    encoder = trainer.model.encoder
    row = encoder.image_shape[0] == encoder.patch_size[0]
    count = min(_ROWS if row else _IMAGES, len(places))
    chosen = places[np.linspace(0, len(places) - 1, count).astype(int)]
    if lengths is not None:
        # A length at which the model is trained.
        most = lengths[chosen].max()
        longest = min((n for n in buckets if n >= most), default=buckets[-1])
    return source.get_batch(chosen, longest, trainer.config.seed, 0)


def path_of(workdir, step):
    """The file of a step's picture."""
    return Path(workdir) / FOLDER / f"reconstruction_{step:08d}.png"


def written(workdir):
    """[(step, path)] of the pictures that there are, in order."""
    found = []
    for path in (Path(workdir) / FOLDER).glob("reconstruction_*.png"):
        match = re.fullmatch(r"reconstruction_(\d+)", path.stem)
        if match:
            found.append((int(match[1]), path))
    return sorted(found)
