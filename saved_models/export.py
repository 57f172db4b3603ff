"""Tasks to SavedModels that need nothing but tensorflow.

One signature for pixels, under two names. Signatures that take strings and
models other than tasks are not here.
"""

import json
import pathlib
import shutil
import uuid

import keras
import numpy as np

import pixmodels
from pixmodels.patches import grid_shape
from pixmodels.tasks import Task
from pixmodels.tasks import TextTask

METADATA = "assets.extra/pixmodels.json"
SIGNATURES = ("serving_default", "pixels")


def export(model, path, *, num_patches=None, renderer=None, overwrite=False):
    """Writes a task as a SavedModel for TF Serving and `tf.saved_model`.

    The graph takes pixels as they are stored (uint8) and knows no Python. Its
    signatures "serving_default" and "pixels" are the same:

    - tasks on text: `pixels` (B, H, W) uint8 grey, white is 255, any W that
      is a multiple of the patch width up to the position table;
      `num_patches` (B,) int32, patches without the end patch; a
      `DependencyParser` also takes `word_starts` (B, W + 1) int32;
    - `ImageClassifier`: `images` (B, H, W) uint8, or (B, H, W, C) for a
      backbone with C > 1 channels;
    - classifiers return `logits` and `probabilities`, the others what their
      call returns, by name; all float32.

    Beside the graph stands `assets.extra/pixmodels.json` (see
    `read_metadata`), which TF Serving leaves alone.

    Args:
        model: any `pixmodels.tasks.Task`. A masked autoencoder is refused: it
            is a training objective. Put its `encoder` under a classifier, or
            save it with `model.save`.
        path: folder of the SavedModel. It appears whole or not at all.
        num_patches: int, to fix the width of texts to this many patches, for
            a mixer that needs a static length; None leaves it free.
        renderer: the renderer whose texts the model reads; its config is
            written to the metadata.
        overwrite: whether a SavedModel at `path` may be replaced.

    Returns:
        `pathlib.Path` of the SavedModel.

    Raises:
        TypeError: for a model that is no task.
        ValueError: for `num_patches` out of range or given with images, or a
            text model that cannot be traced with a free width.
        FileExistsError: if `path` exists and `overwrite` is False, or is not
            a SavedModel.
        RuntimeError: under another Keras backend than tensorflow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Expected the Keras backend tensorflow for export (weights load "
            "under any backend). Received: "
            f"backend={keras.backend.backend()!r}."
        )
    serve, specs, inputs = _signature(model, num_patches)
    path = pathlib.Path(path)
    _check_path(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and moved: a reader never sees half a model.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write(model, serve, specs, part)
        extra = part / METADATA
        extra.parent.mkdir(exist_ok=True)
        extra.write_text(
            json.dumps(_metadata(model, inputs, renderer), indent=1) + "\n",
            encoding="utf-8",
        )
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def read_metadata(path):
    """What `export` wrote beside the graph.

    Args:
        path: folder of the SavedModel.

    Returns:
        dict: `class_name`, `labels` (list of str or None), `inputs` (name ->
        shape and dtype), `outputs`, `config` (of the model, in Keras'
        serialization), `renderer` (config or None), `num_parameters`,
        `versions`.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    file = pathlib.Path(path) / METADATA
    if not file.is_file():
        raise FileNotFoundError(
            "Expected a SavedModel written by pixmodels.saved_models.export. "
            f"Received: path={str(path)!r}, without {METADATA}."
        )
    return json.loads(file.read_text(encoding="utf-8"))


def _check_path(path, overwrite):
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(
            "Expected a path where nothing is, or overwrite=True. Received: "
            f"path={str(path)!r}."
        )
    if not (path / "saved_model.pb").is_file():
        raise FileExistsError(
            "Expected a SavedModel to overwrite. Received: "
            f"path={str(path)!r}, which is something else."
        )


def _signature(model, num_patches):
    """(function, its TensorSpecs, name -> (shape, dtype))."""
    height, width, channels = _image_shape(model)
    if isinstance(model, TextTask):
        inputs = {
            "pixels": ((None, height, _width(model, num_patches)), "uint8"),
            "num_patches": ((None,), "int32"),
            **model.word_inputs,
        }
        return _of_names(model.serve, list(inputs)), _specs(inputs), inputs
    if num_patches is not None:
        raise ValueError(
            "Expected num_patches=None for images. Received: "
            f"num_patches={num_patches}."
        )

    def serve(images):
        return model.serve(images)

    grey = () if channels == 1 else (channels,)
    inputs = {"images": ((None, height, width, *grey), "uint8")}
    return serve, _specs(inputs), inputs


def _of_names(serve, names):
    """A function of tensors in this order, which a signature needs."""

    def call(*tensors):
        return serve(dict(zip(names, tensors, strict=True)))

    return call


def _image_shape(model):
    if not isinstance(model, Task):
        raise TypeError(
            "Expected a task such as TextClassifier (a masked autoencoder's "
            "encoder can be put under one). Received: "
            f"model={type(model).__name__}."
        )
    return model.backbone.image_shape


def _width(model, num_patches):
    if num_patches is None:
        _check_any_length(model.backbone)
        return None
    backbone = model.backbone
    rows, columns = grid_shape(backbone.image_shape, backbone.patch_size)
    if not 2 <= num_patches <= rows * columns:
        raise ValueError(
            f"Expected 2 <= num_patches <= {rows * columns}, the backbone's "
            f"length. Received: num_patches={num_patches}."
        )
    return num_patches * backbone.patch_size[1]


def _specs(inputs):
    import tensorflow as tf

    return [
        tf.TensorSpec(shape, dtype, name=name)
        for name, (shape, dtype) in inputs.items()
    ]


def _check_any_length(backbone):
    name = getattr(backbone, "attention", None)
    known = name in pixmodels.attention.names()
    if known and not pixmodels.attention.get(name).any_length:
        raise ValueError(
            "Expected a mechanism that takes any length, or num_patches to "
            f"fix one. Received: num_patches=None, attention={name!r}."
        )


def _write(model, serve, specs, folder):
    archive = keras.export.ExportArchive()
    # `archive.track(model)` is not called: the archive takes the variables
    # from the endpoint, and tracking would trace the model with a guessed
    # float32 input of unknown rank (keras 3.15).
    try:
        # Keras adds the first endpoint as "serving_default".
        archive.add_endpoint("pixels", serve, input_signature=specs)
    except (TypeError, ValueError) as error:
        free = any(None in spec.shape.as_list()[1:] for spec in specs)
        if not free:
            raise
        raise ValueError(
            "Expected a backbone that can be traced for any width, or "
            "num_patches to fix one. Received: num_patches=None, "
            f"attention={model.backbone.attention!r} ({error})."
        ) from error
    archive.write_out(str(folder), verbose=False)


def _metadata(model, inputs, renderer):
    import tensorflow as tf

    outputs = {k: (v, "float32") for k, v in model.serve_shapes().items()}
    labels = getattr(model, "labels", None)
    return {
        "class_name": type(model).__name__,
        "signatures": list(SIGNATURES),
        "labels": None if labels is None else list(labels),
        "inputs": {name: list(spec) for name, spec in inputs.items()},
        "outputs": outputs,
        "config": keras.saving.serialize_keras_object(model),
        "renderer": None if renderer is None else renderer.get_config(),
        "num_parameters": int(model.count_params()),
        "versions": {
            "pixmodels": pixmodels.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
    }
