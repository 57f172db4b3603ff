"""Models out of files, folders and repositories.

Here: where a preset lies, which of its parts is wanted, options. Not here:
formats (`_own`, `_published` and a table each), fetching (`_hub`)."""

import inspect
from pathlib import Path

from pixmodels.presets import _hub
from pixmodels.presets import _own
from pixmodels.presets import _published
from pixmodels.presets import _resize


def from_preset(
    path,
    cls=None,
    *,
    image_shape=None,
    resampling=None,
    load_weights=True,
    strict=True,
    normalization="fold",
    dtype=None,
    backbone_options=None,
    **options,
):
    """A model with published weights.

    Formats: our own presets (`save_to_preset`); Hugging Face ViT, ViTMAE and
    PIXEL (`config.json` beside safetensors or `.bin`); KerasHub ViT presets;
    Google's ViT `.npz`; MAE's `.pth`. Sizes, epsilon and GELU form come from
    the files. `.bin` and `.pth` need torch and are read as weights only,
    never unpickled.

    Args:
        path: a folder, a file, or "hf://org/name" (with "@revision" and
            "/file" if wanted), which needs `pip install pixmodels[hub]`.
        cls: the class that is wanted; None: whatever the preset holds. A
            backbone is taken out of a larger model; a model around a backbone
            (a head, a masked autoencoder) that the preset does not hold is
            made new on the preset's backbone, with `options`.
        image_shape: (H, W, C) for another resolution or length than the
            preset's; learned positions are resampled.
        resampling: how, as `pixmodels.positions.resampling_matrix`. None: as
            the format's own code does, "zoom" for Google's files, else
            "bicubic".
        load_weights: False for the architecture with new weights.
        strict: every weight of model and file must have its partner. False:
            what does not fit is reported as a UserWarning. NaN and infinity
            are refused either way.
        normalization: "fold": models trained on normalised pixels
            (preprocessor_config.json, Google, MAE) get a patch projection
            that takes pixels in [0, 1], as ours do; "none": weights as they
            are in the file.
        dtype: dtype policy of the model.
        backbone_options: dict of constructor arguments of the backbone that
            take the place of the preset's.
        options: likewise of the model that is returned.

    Returns:
        A model, built.

    Raises:
        TypeError: `path` is no path.
        ValueError: weights for another architecture, with a report of
            missing, unexpected and misshapen names; weights with NaN; a file
            that is cut or altered; an unknown format or option.
        FileNotFoundError: there is no such file or folder.
        ImportError: a package that the format needs is missing.

    Example:
        >>> import tempfile
        >>> vit = pixmodels.ViTBackbone(
        ...     (8, 8, 1), 2, num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> folder = tempfile.mkdtemp() + "/tiny"
        >>> vit.save_to_preset(folder)
        >>> pixmodels.from_preset(folder).image_shape
        (8, 8, 1)
    """
    if normalization not in ("fold", "none"):
        raise ValueError(
            "Expected normalization to be 'fold' or 'none'. Received: "
            f"normalization={normalization!r}."
        )
    backbone_options = dict(backbone_options or {})
    if dtype is not None:
        backbone_options["dtype"] = options["dtype"] = dtype
    known = {**options, **backbone_options, "image_shape": image_shape}
    preset = opened(path, known)
    how = (load_weights, strict, normalization == "fold")
    model = _model(preset, path, cls, backbone_options, options, how)
    if not image_shape:
        return model
    return _resize.resized(model, image_shape, resampling or preset.resampling)


def opened(path, known=None):
    """What lies at a path: `OwnPreset` or `Published`.

    Args:
        path: as `from_preset`.
        known: dict of what the caller says of a file without a config.
    """
    path = local(path)
    if path.is_dir():
        folder, weights = path, None
    else:
        folder, weights = path.parent, path
    config = folder / _own.CONFIG
    bare = weights is not None and weights.suffix in _published.BARE
    if bare or (weights is not None and not config.exists()):
        return _published.of_file(weights, known or {})
    if not config.exists():
        raise ValueError(
            "Expected a folder with a config.json. Received: "
            f"path={str(path)!r}, {_published.contents(folder)}."
        )
    config = _published.read_json(config)
    if _is_ours(folder, config):
        return _own.OwnPreset(folder, config)
    return _published.of_folder(folder, config, weights)


def local(path):
    """`path` on this machine, fetched if it is an address."""
    if not isinstance(path, str | Path):
        raise TypeError(
            "Expected a path or an address as str or Path. Received: "
            f"path={path!r}."
        )
    if str(path).startswith(_hub.PREFIX):
        return _hub.fetch(str(path))
    found = Path(path).expanduser()
    if not found.exists():
        raise FileNotFoundError(
            "Expected a folder, a file, or an address 'hf://org/name'. "
            f"Received: path={str(path)!r}, which does not exist."
        )
    return found


def _is_ours(folder, config):
    other = str(config.get("registered_name", "")).startswith("keras_hub>")
    return "registered_name" in config and not other


def _model(preset, path, cls, backbone_options, options, how):
    outer, backbone = preset.outer_class, preset.backbone_class
    if cls is None:
        cls = outer or backbone
    if outer is not None and issubclass(outer, cls):
        _check(outer, options, "options")
        _check(backbone, backbone_options, "backbone_options")
        return preset.whole(backbone_options, options, *how)
    if issubclass(backbone, cls):
        options = {**backbone_options, **options}
        _check(backbone, options, "options")
        return preset.backbone(options, *how)
    if not _takes_backbone(cls):
        holds = f"{outer.__name__} on a " if outer else ""
        raise ValueError(
            f"Expected a preset of a {cls.__name__}. Received: "
            f"path={str(path)!r}, which holds a {holds}{backbone.__name__}."
        )
    _check(cls, options, "options")
    _check(backbone, backbone_options, "backbone_options")
    return cls(preset.backbone(backbone_options, *how), **options)


def _takes_backbone(cls):
    first = list(inspect.signature(cls).parameters)[:1]
    return first and first[0] in _own.SLOTS


def _check(cls, options, argument):
    """Misspelt options are refused with the names that exist."""
    known = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("pixmodels"):
            known.update(inspect.signature(base).parameters)
    known = (known | {"name", "dtype", "trainable"}) - {"kwargs", *_own.SLOTS}
    wrong = sorted(set(options) - known)
    if wrong and any(
        base.__module__.startswith("pixmodels") for base in cls.__mro__
    ):
        raise ValueError(
            f"Expected {argument} of {cls.__name__} among {sorted(known)}. "
            f"Received: {', '.join(wrong)}."
        )
