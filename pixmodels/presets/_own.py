"""Our own preset folders: reading them, and what stands in them.

config.json (backbone), task.json (what stands around it), model.weights.h5 or
its parts, renderer.json, and metadata.json with the SHA-256 of every other
file. Writing is in `save_to_preset`."""

import hashlib

import keras
import numpy as np
from keras import ops

from pixmodels.attention._copied_dense import copies
from pixmodels.presets import _rooms
from pixmodels.presets._published import read_json

FORMAT, VERSION = "pixmodels preset", 1
CONFIG, TASK = "config.json", "task.json"
WEIGHTS, SHARDS = "model.weights.h5", "model.weights.json"
RENDERER, METADATA = "renderer.json", "metadata.json"
# Constructor arguments that take a backbone.
SLOTS = ("backbone", "encoder")


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder, metadata):
    """Checks every file against its checksum.

    Raises:
        ValueError: names the first file that is missing, cut or altered.
    """
    for name, known in metadata["files"].items():
        path = folder / name
        found = _found(path, known["bytes"])
        if found != known["sha256"]:
            raise ValueError(
                f"Expected the file {str(path)!r} with {known['bytes']} bytes "
                f"and SHA-256 {known['sha256']} ({METADATA}). Received: "
                f"{found}."
            )


def _found(path, size):
    if not path.is_file():
        return "no such file"
    if path.stat().st_size != size:
        return f"{path.stat().st_size} bytes"
    return sha256(path)


def read_metadata(folder):
    """metadata.json of a preset, checked.

    Raises:
        ValueError: if it is absent, of a newer version, or does not fit the
            other files.
    """
    path = folder / METADATA
    if not path.exists():
        raise ValueError(
            f"Expected a whole preset, {METADATA} included. Received: "
            f"path={str(folder)!r}."
        )
    metadata = read_json(path)
    version = metadata.get("format_version")
    if metadata.get("format") != FORMAT or version != VERSION:
        raise ValueError(
            f"Expected {METADATA} of a {FORMAT}, version {VERSION}. Received: "
            f"{str(path)!r} with format={metadata.get('format')!r}, "
            f"format_version={version!r}."
        )
    verify(folder, metadata)
    return metadata


class OwnPreset:
    """A folder that `save_to_preset` wrote.

    Args:
        folder: `Path`.
        config: dict of its config.json.
    """

    resampling = "bicubic"

    def __init__(self, folder, config):
        self.folder = folder
        self.metadata = read_metadata(folder)
        self.config = config
        self.backbone_class = _rooms.registered(config["registered_name"])
        self.outer_class = self.task = None
        if (folder / TASK).exists():
            self.task = read_json(folder / TASK)
            self.outer_class = _rooms.registered(self.task["registered_name"])

    def backbone(self, options, load_weights, strict, fold):
        """The backbone alone."""
        if self.task is not None:
            whole = self.whole(options, {}, load_weights, strict, fold)
            return getattr(whole, self.task["slot"])
        made = _made(self.config, options)
        if load_weights:
            self._fill(made, strict)
        return made

    def whole(self, backbone_options, options, load_weights, strict, fold):
        """The model around the backbone."""
        backbone = _with(self.config, backbone_options)
        slot = {self.task["slot"]: backbone}
        made = _made(self.task, {**options, **slot})
        if load_weights:
            self._fill(made, strict)
        return made

    def _fill(self, model, strict):
        shards = self.folder / SHARDS
        path = shards if shards.exists() else self.folder / WEIGHTS
        count, found = self.metadata["parameters"], model.count_params()
        # What begins as a copy need not be in the file.
        copied = sum(layer.count_params() for layer in copies(model))
        if strict and count not in (found, found - copied):
            raise ValueError(
                "Expected options that leave the architecture as it is, or "
                f"strict=False. Received: {count} parameters in "
                f"{str(self.folder)!r} for a model of {found}."
            )
        model.load_weights(path, skip_mismatch=not strict)
        check_finite(model, self.folder)


def check_finite(model, source):
    """Raises a ValueError that names weights with NaN or infinity."""
    bad = [
        w.path
        for w in model.weights
        if not np.isfinite(ops.convert_to_numpy(w.value)).all()
    ]
    if bad:
        raise ValueError(
            "Expected weights that are finite numbers. Received: "
            f"{str(source)!r} with NaN or infinity in {', '.join(bad)}."
        )


def _with(config, options):
    return {**config, "config": {**config["config"], **options}}


def _made(config, options):
    config = _with(config, options)
    fields = ("module", "class_name", "config", "registered_name")
    return keras.saving.deserialize_keras_object({k: config[k] for k in fields})
