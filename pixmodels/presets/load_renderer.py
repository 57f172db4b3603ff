"""The renderer with which texts for a preset are drawn.

Here: renderer.json of our presets and PIXEL's text_renderer_config.json.
Drawing itself is `pixmodels.renderers`."""

from pixmodels.presets import _own
from pixmodels.presets import _rooms
from pixmodels.presets._published import read_json
from pixmodels.presets.from_preset import local

PIXEL = "text_renderer_config.json"
_RENAMED = {
    "pixels_per_patch": "patch_size",
    "max_seq_length": "max_patches",
    "font_size": "font_size",
    "dpi": "dpi",
}
_FONTS = (".ttf", ".otf", ".ttc")


def load_renderer(path, **options):
    """The renderer of a preset.

    Args:
        path: as `from_preset`: a folder of ours, or one with PIXEL's
            `text_renderer_config.json` and font beside it.
        options: arguments of `CairoRenderer` that take the place of the
            preset's. `font_stack` needs no font in the preset.

    Returns:
        `pixmodels.renderers.CairoRenderer`.

    Raises:
        FileNotFoundError: a font is missing.
        ValueError: the preset has no renderer, or a font differs from the one
            that was recorded.
    """
    config = renderer_config(path)
    cls = _rooms.renderer_class()
    if "font_stack" in options:
        config.pop("font_stack")
        return cls(**{**config, **options})
    return cls.from_config({**config, **options})


def renderer_config(path):
    """A dict for `CairoRenderer.from_config`; see `load_renderer`.

    PIXEL's `font_color` and `background_color` are left out: its renderers
    draw black on white whatever they say. A config does not say whether text
    is cut into bigrams; a renderer type or a folder or repository with
    "bigrams" in its name does.
    """
    folder = local(path)
    folder = folder if folder.is_dir() else folder.parent
    if (folder / _own.RENDERER).exists():
        _own.read_metadata(folder)
        config = read_json(folder / _own.RENDERER)
        for font in config["font_stack"]["fonts"]:
            inside = folder / font["path"]
            if inside.is_file():
                font["path"] = str(inside)
        return config
    if not (folder / PIXEL).exists():
        raise ValueError(
            f"Expected a folder with {_own.RENDERER} or {PIXEL}. Received: "
            f"path={str(path)!r}."
        )
    return _from_pixel(folder, str(path), read_json(folder / PIXEL))


def _from_pixel(folder, name, config):
    fonts = [folder / config["font_file"]]
    fallback = config.get("fallback_fonts_dir")
    if fallback:
        files = sorted((folder / fallback).iterdir())
        fonts += [f for f in files if f.suffix.lower() in _FONTS]
    kind = str(config.get("text_renderer_type", ""))
    ours = {_RENAMED[k]: v for k, v in config.items() if k in _RENAMED}
    ours["font_stack"] = {
        "fonts": [{"path": str(f), "index": 0} for f in fonts]
    }
    ours["color_mode"] = "rgb" if config.get("rgb") else "grey"
    ours["baseline"] = "pygame" if "PyGame" in kind else "pangocairo"
    names = (kind, name.rstrip("/").rpartition("/")[2], str(folder.name))
    if any("bigrams" in n.lower() for n in names):
        ours["layout"] = "bigrams"
    return ours
