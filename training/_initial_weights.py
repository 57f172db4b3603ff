"""Where the weights of a backbone come from: a run or a preset.

Here: what `init` names, which architecture that has, copying. Not here:
formats of presets (`pixmodels.presets`), checkpoints (`checkpoint`).
"""

import functools
from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training import variables as variables_lib
from pixmodels.training._model_config import ARCHITECTURE

# Weights of the final LayerNorm, which a head may do without.
_NORM = "encoder/norm/"


def is_run(init):
    """Whether `init` is the workdir of a run."""
    path = Path(init) / "config.json"
    return path.is_file() and "train" in _settings.load_json(path)


def check(init):
    """Raises FileNotFoundError unless `init` is a run or may be a preset."""
    if is_run(init) or init.startswith("hf://"):
        return
    found = Path(init)
    if found.is_file() or (found / "config.json").is_file():
        return
    raise FileNotFoundError(
        "Expected the workdir of a run, a preset's folder or file, or "
        f"hf://org/name. Received: init={init!r}, "
        f"workdir={init!r} has no config.json"
    )


def architecture(init):
    """What a model that starts from `init` shares with it.

    Returns:
        dict with the keys of `ARCHITECTURE`.
    """
    check(init)
    if is_run(init):
        from pixmodels.training.config import ExperimentConfig

        values = _settings.load_json(Path(init) / "config.json")
        config = _settings.from_dict(ExperimentConfig, values).model.filled()
        return {name: getattr(config, name) for name in ARCHITECTURE}
    return dict(_preset_architecture(init))


@functools.lru_cache(maxsize=2)
def _preset_architecture(init):
    import pixmodels

    backbone = encoder_of(pixmodels.from_preset(init, load_weights=False))
    found = {
        name: getattr(backbone, name)
        for name in ARCHITECTURE
        if name != "channels"
    }
    height, width = found["patch_size"]
    found["patch_size"] = height if height == width else (height, width)
    return {**found, "channels": backbone.image_shape[-1]}


def check_settings(model, init):
    """Raises ValueError if settings say another model than `init` holds.

    Args:
        model: `ModelConfig`.
        init: a run or a preset.
    """
    different = model.contradictions(architecture(init))
    if different:
        pairs = ", ".join(
            f"model.{name}={here!r} (there: {there!r})"
            for name, (here, there) in different.items()
        )
        raise ValueError(
            "Expected the settings of the model that the weights are from; "
            f"leave them out or set them so. Received: init={init!r} with "
            f"{pairs}"
        )


def encoder_of(model):
    """The backbone of a model: its `encoder` or `backbone`, or itself.

    Raises:
        ValueError: if it has none.
    """
    for name in ("encoder", "backbone"):
        found = getattr(model, name, None)
        if hasattr(found, "image_shape"):
            return found
    if hasattr(model, "image_shape"):
        return model
    raise ValueError(
        "Expected a model with an encoder or a backbone. "
        f"Received: model={model!r}"
    )


def load_encoder(model, init):
    """Gives a model's backbone the weights of a run's encoder or a preset's.

    Args:
        model: model with a `backbone` or `encoder`.
        init: folder of a run, whose latest checkpoint is used; or what
            `pixmodels.from_preset` takes. Positions are resampled where the
            images have another size.

    Returns:
        str, what was loaded from where.

    Raises:
        FileNotFoundError: if there is no run, no checkpoint or no file.
        ValueError: if the encoders differ; all missing, unexpected and
            misshapen weights are listed.
    """
    import keras

    target = encoder_of(model)
    source, words = _source(init)
    if source.grid != target.grid and (
        source.position_grid != target.position_grid
    ):
        source = source.with_image_shape(
            (*target.image_shape[:2], source.image_shape[-1])
        )
    found = {
        key: keras.ops.convert_to_numpy(value)
        for key, value in zip(_keys(source), source.weights)
    }
    if source.final_norm and not target.final_norm:
        found = {k: v for k, v in found.items() if not k.startswith(_NORM)}
    variables_lib.assign_all(
        target.weights, _keys(target), found, f"encoder in {init}"
    )
    values = sum(array.size for array in found.values())
    return (
        f"loaded {len(found)} encoder weights ({values:,} values) from "
        f"{words}; all others start afresh"
    )


def _source(init):
    """(backbone, words for where it is from)."""
    check(init)
    if is_run(init):
        from pixmodels.training import experiment

        run = experiment.load_run(init)
        return encoder_of(run.model), f"step {run.step} of {init}"
    import pixmodels

    return encoder_of(pixmodels.from_preset(init)), str(init)


def _keys(model):
    return variables_lib.variable_keys(model.weights, model.name)
