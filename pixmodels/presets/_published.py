"""Models out of published files.

Here: which format a folder or file has, and a model or its backbone built and
filled from it. Not here: names (one file per format), our own presets."""

import dataclasses
import json

import numpy as np

from pixmodels.presets import _rooms
from pixmodels.presets import _tensors
from pixmodels.presets import facebook_mae
from pixmodels.presets import google_vit
from pixmodels.presets import hf_vit
from pixmodels.presets import hf_vit_mae
from pixmodels.presets import keras_hub
from pixmodels.presets import pixel
from pixmodels.presets._table import Facts
from pixmodels.presets._table import assign

# Names of files that an error lists.
_SHOWN = 5
HUGGING_FACE = {f.MODEL_TYPE: f for f in (hf_vit, hf_vit_mae, pixel)}
BARE = {".npz": google_vit, ".pth": facebook_mae, ".pt": facebook_mae}
# In the order of preference; an index names the parts of a checkpoint.
FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)


class Published:
    """A file or folder in a format of another library.

    Args:
        plan: `Plan`.
    """

    def __init__(self, plan):
        self.plan = plan
        self.backbone_class = _rooms.backbone_class(plan.name)
        self.outer_class = None
        self.resampling = plan.resampling
        if plan.outer:
            self.outer_class = _rooms.task_class(plan.outer.name)

    def backbone(self, options, load_weights, strict, fold):
        """The backbone alone."""
        made = self.backbone_class(**{**self.plan.options, **options})
        if load_weights:
            outer = self.plan.outer
            left = [] if outer is None else [e.theirs for e in outer.entries]
            ignored = [
                *map(_literally, left),
                *(outer.ignored if outer else ()),
            ]
            self._fill(made, "", self.plan.entries, ignored, strict, fold)
        return made

    def whole(self, backbone_options, options, load_weights, strict, fold):
        """The model around the backbone."""
        outer = self.plan.outer
        for name, what in outer.unknown.items():
            if name not in options:
                raise ValueError(
                    f"Expected {name}, {what}: the file does not say it. "
                    f"Received: {sorted(options)} for "
                    f"{self.plan.tensors.source}."
                )
        backbone = self.backbone(backbone_options, False, strict, fold)
        options = {**outer.options, **options}
        made = self.outer_class(backbone, **options)
        if load_weights:
            at = f"{outer.slot}."
            entries = [e.placed(ours=at) for e in self.plan.entries]
            entries += outer.entries
            self._fill(made, at, entries, outer.ignored, strict, fold)
            if fold and self.plan.normalization and hasattr(made, "prediction"):
                fold_prediction(made, *self.plan.normalization)
        return made

    def _fill(self, model, at, entries, ignored, strict, fold):
        plan = self.plan
        backbone = getattr(model, at[:-1]) if at else model
        report = assign(
            model,
            entries,
            plan.tensors,
            Facts.of(backbone),
            ignored=(*plan.ignored, *ignored),
        )
        report.check(strict)
        if fold and plan.normalization:
            fold_normalization(backbone, *plan.normalization)


def _literally(name):
    return name.replace(".", r"\.")


def fold_normalization(backbone, mean, deviation):
    """Lets a backbone take pixels in [0, 1] that was trained on others.

    `(x - mean) / deviation` before a linear projection is another linear
    projection of x.

    Args:
        backbone: `PatchBackbone`; its patch projection is changed.
        mean, deviation: a float, or one for each channel.
    """
    mean, deviation = _per_value(backbone, mean, deviation)
    projection = backbone.embedding.projection
    kernel, bias = (np.float64(w) for w in projection.get_weights())
    kernel = kernel / deviation[:, None]
    projection.set_weights([kernel, bias - mean @ kernel])


def fold_prediction(model, mean, deviation):
    """Lets a masked autoencoder predict pixels in [0, 1].

    Args:
        model: `MaskedAutoencoder` that predicts `(x - mean) / deviation`; its
            last layer is changed. Where every patch is normalised for itself
            (`norm_pix_loss`) and the channels have one mean and deviation,
            there is nothing to change.

    Raises:
        ValueError: where patches are normalised over channels of different
            means or deviations: that is no linear map.
    """
    mean, deviation = _per_value(model.encoder, mean, deviation)
    if model.norm_pix_loss:
        if np.ptp(mean) or np.ptp(deviation):
            raise ValueError(
                "Expected normalization='none', and pixels that the caller "
                "normalises: with norm_pix_loss, targets made of channels "
                "with different means or deviations have no form for pixels "
                "in [0, 1]. Or take the encoder alone, "
                "ViTBackbone.from_preset. Received: normalization='fold'."
            )
        return
    kernel, bias = (np.float64(w) for w in model.prediction.get_weights())
    model.prediction.set_weights([kernel * deviation, bias * deviation + mean])


def _per_value(backbone, *parts):
    """Values for channels as values for the P values of a patch."""
    channels = backbone.image_shape[-1]
    height, width = backbone.patch_size
    return [
        np.tile(np.broadcast_to(np.float64(x), (channels,)), height * width)
        for x in parts
    ]


def of_file(path, known):
    """The plan of one file: `.npz` (Google) or `.pth` (MAE).

    Args:
        path: `Path`.
        known: dict of what the caller says of it (`image_shape`, heads).

    Raises:
        ValueError: for a file of another kind.
    """
    form = BARE.get(path.suffix)
    if form is None:
        raise ValueError(
            "Expected a folder, a Google ViT .npz, an MAE .pth, or a file "
            f"beside its config.json. Received: path={str(path)!r}."
        )
    return Published(form.plan(known, _tensors.read([path])))


def of_folder(folder, config, weights=None):
    """What a folder with a `config.json` of another library holds.

    Args:
        folder: `Path`.
        config: dict of its `config.json`.
        weights: `Path` of one file that is to be read, or None for the
            folder's own.

    Raises:
        ValueError: for an architecture that we do not have, or no weights.
    """
    if str(config.get("registered_name", "")).startswith("keras_hub>"):
        return Published(_keras_hub(folder, config))
    kind = config.get("model_type")
    if kind not in HUGGING_FACE:
        raise ValueError(
            f"Expected a model_type among {sorted(HUGGING_FACE)}, a pixmodels "
            "or a KerasHub ViT preset. Received: "
            f"{str(folder / 'config.json')!r} with model_type={kind!r}, "
            f"architectures={config.get('architectures')!r}."
        )
    tensors = _tensors.read([weights] if weights else _checkpoint(folder))
    plan = HUGGING_FACE[kind].plan(config, tensors)
    preprocessor = folder / "preprocessor_config.json"
    if kind != pixel.MODEL_TYPE and preprocessor.exists():
        pixels = hf_vit.normalization(read_json(preprocessor))
        plan = dataclasses.replace(plan, normalization=pixels)
    return Published(plan)


def read_json(path):
    """A JSON file as a dict.

    Raises:
        ValueError: if it is not one; names the file.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected a JSON file. Received: {str(path)!r} ({error})"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected a JSON object. Received: {str(path)!r} with a "
            f"{type(content).__name__}."
        )
    return content


def _checkpoint(folder):
    """The files of a checkpoint."""
    for name in FILES:
        path = folder / name
        if not path.exists():
            continue
        if path.suffix != ".json":
            return [path]
        names = sorted(set(read_json(path)["weight_map"].values()))
        return [folder / part for part in names]
    raise ValueError(
        f"Expected a folder with {' or '.join(FILES)}. Received: "
        f"path={str(folder)!r}, {contents(folder)}."
    )


def contents(folder):
    """What lies in a folder, for errors: a few names and a number."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "which is empty"
    more = len(names) - _SHOWN
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"which holds {shown}" + (f" and {more} more" if more > 0 else "")


def _keras_hub(folder, config):
    name = config["registered_name"]
    if name != keras_hub.BACKBONE:
        raise ValueError(
            f"Expected a KerasHub preset of {keras_hub.BACKBONE!r}. Received: "
            f"registered_name={name!r}."
        )
    files = {
        part: read_json(folder / f"{part}.json")
        for part in ("task", "image_converter")
        if (folder / f"{part}.json").exists()
    }
    weights = sorted(folder.glob("model*.weights.h5"))
    tensors = _tensors.read(weights)
    head = folder / "task.weights.h5"
    if head.exists():
        task = _tensors.read([head]).renamed(keras_hub.TASK.__add__)
        tensors = tensors.joined(task)
    else:
        files.pop("task", None)
    return keras_hub.plan(
        config, tensors, files.get("task"), files.get("image_converter")
    )
