"""Writing our preset folders.

Here: `save_to_preset`. What stands in a folder, and reading it: `_own`."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from pixmodels import _lora
from pixmodels import _registry
from pixmodels.presets import _own
from pixmodels.presets._resize import backbone_of


def save_to_preset(
    model,
    folder,
    *,
    renderer=None,
    copy_fonts=False,
    licence=None,
    source=None,
    max_shard_size=10,
    overwrite=False,
):
    """Writes a model to a folder that `from_preset` reads.

    The folder holds config.json (the backbone), task.json (the model around
    it), model.weights.h5 (parts and model.weights.json if it is large),
    renderer.json and metadata.json with the number of parameters, the
    arguments below, versions, and the SHA-256 of every file. It appears
    whole or not at all. LoRA weights are added into the kernels; quantised
    layers stay so.

    Args:
        model: a backbone, or a model around one.
        folder: path; a new folder.
        renderer: `CairoRenderer`, or its config as a dict, with which texts
            for this model are drawn; None for none.
        copy_fonts: whether the renderer's fonts are copied into the folder
            (mind their licences); else they are found by path or name.
        licence: str, of the weights.
        source: str, where the weights come from: a paper, an address.
        max_shard_size: GB in one file of weights.
        overwrite: whether an older preset in the folder may be replaced.

    Raises:
        TypeError: for a model without a registered backbone.
        ValueError: if the folder is in the way, or weights are not finite.
    """
    slot, backbone = backbone_of(model)
    _check_model(model, backbone)
    folder = Path(folder).expanduser()
    _check_folder(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        new = Path(new) / folder.name
        new.mkdir()
        _write(new / _own.CONFIG, keras.saving.serialize_keras_object(backbone))
        if slot:
            _write(new / _own.TASK, _task(model, slot))
        if renderer is not None:
            _write(new / _own.RENDERER, _renderer(renderer, copy_fonts, new))
        _weights(model, new, max_shard_size)
        metadata = _metadata(model, new, licence, source)
        _write(new / _own.METADATA, metadata)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(new, folder)


def _check_model(model, backbone):
    known = tuple(map(_registry.BACKBONES.get, _registry.BACKBONES.names()))
    if not isinstance(backbone, known):
        raise TypeError(
            "Expected a backbone of pixmodels or a model with one as "
            f"{' or '.join(_own.SLOTS)}. Received: model={model!r}."
        )
    _own.check_finite(model, model.name)


def _check_folder(folder, overwrite):
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite or not (folder / _own.METADATA).exists():
        raise ValueError(
            "Expected a new folder, or overwrite=True for one that holds a "
            f"preset. Received: folder={str(folder)!r}, overwrite={overwrite}."
        )


def _write(path, content):
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, "utf-8")


def _task(model, slot):
    task = keras.saving.serialize_keras_object(model)
    task["config"] = {k: v for k, v in task["config"].items() if k != slot}
    return {**task, "slot": slot}


def _renderer(renderer, copy_fonts, folder):
    config = dict(
        renderer.get_config() if hasattr(renderer, "get_config") else renderer
    )
    if not copy_fonts:
        return config
    fonts = []
    (folder / "fonts").mkdir()
    for font in config["font_stack"]["fonts"]:
        name = f"fonts/{Path(font['path']).name}"
        shutil.copyfile(font["path"], folder / name)
        fonts.append({**font, "path": name})
    return {**config, "font_stack": {"fonts": fonts}}


def _weights(model, folder, max_shard_size):
    size = sum(
        int(np.prod(w.shape)) * np.dtype(_stored(w)).itemsize
        for w in model.weights
    )
    if size > max_shard_size * 1024**3:
        path = folder / _own.SHARDS
        model.save_weights(path, max_shard_size=max_shard_size)
    else:
        model.save_weights(folder / _own.WEIGHTS)


def _stored(weight):
    name = keras.backend.standardize_dtype(weight.dtype)
    return "uint16" if name == "bfloat16" else name


def _parameters(model):
    """Their number in a file, where LoRA's are part of the kernels."""
    return sum(
        int(np.prod(w.shape)) for w in model.weights if not _lora.is_lora(w)
    )


def _metadata(model, folder, licence, source):
    import pixmodels

    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = {
                "bytes": path.stat().st_size,
                "sha256": _own.sha256(path),
            }
    return {
        "format": _own.FORMAT,
        "format_version": _own.VERSION,
        "class": keras.saving.get_registered_name(type(model)),
        "parameters": _parameters(model),
        "licence": licence,
        "source": source,
        "pixmodels_version": pixmodels.__version__,
        "keras_version": keras.__version__,
        "files": files,
    }
