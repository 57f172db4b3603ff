"""Keras layers, backbones, losses and masks for models that read patches.

Maths is in `keras.ops` and runs on every Keras backend. Not here: drawing text
(`.renderers`), data and heads (`.tasks`), the step loop (`.training`), export
(`.saved_models`). Axes: B batch, H W pixels, R C grid, N patches, K kept,
D width, A heads, E head size, P values per patch."""

import importlib
import sys

import wrapt

__version__ = "0.1.0"

# Loaded when first used, so that processes which only draw text import neither
# keras nor its backend.
_MODELS = ("MaskedAutoencoder", "PIXELBackbone", "ViTBackbone")
_MODULES = (
    "attention",
    "layers",
    "learning",
    "models",
    "patches",
    "presets",
    "random",
    "remat",
    "sequence",
)
_FUNCTIONS = {"from_preset": "presets"}
_NUMPY_MODULES = ("masking", "positions")
__all__ = sorted([*_MODELS, *_MODULES, *_FUNCTIONS, *_NUMPY_MODULES])


def _register():
    """Loads every class, unless one of our modules is doing so already.

    `keras.saving.load_model` finds registered classes only. `attention`,
    `layers` and `models` load each other at their end, so one is enough.
    """
    ours = ("_registry", "layers", "models", "patches", "random")
    if not any(f"{__name__}.{module}" in sys.modules for module in ours):
        importlib.import_module(f"{__name__}.models")


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _NUMPY_MODULES:
        _register()
    home = _FUNCTIONS.get(name, "models" if name in _MODELS else None)
    if home:
        return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return importlib.import_module(f"{__name__}.{name}")


def __dir__():
    return sorted({*globals(), *__all__})


@wrapt.when_imported("keras")
def _register_with(_):
    """Whichever comes first, pixmodels or keras: the classes are found."""
    _register()
