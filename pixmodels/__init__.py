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
_MODULES = ("attention", "layers", "models", "patches", "random")
_NUMPY_MODULES = ("masking", "positions")
__all__ = sorted([*_MODELS, *_MODULES, *_NUMPY_MODULES])


def __getattr__(name):
    if name in _NUMPY_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    models = importlib.import_module(f"{__name__}.models")
    if name in _MODELS:
        return getattr(models, name)
    return importlib.import_module(f"{__name__}.{name}")


def __dir__():
    return sorted({*globals(), *__all__})


@wrapt.when_imported("keras")
def _register(_):
    """Registers our classes with Keras as soon as both are imported.

    `keras.saving.load_model` must find them after a plain `import pixmodels`.
    When one of our own modules is what imports keras, the classes follow
    anyway: `attention`, `layers` and `models` import each other at their end.
    """
    ours = ("_registry", "layers", "models", "patches", "random")
    if not any(f"{__name__}.{module}" in sys.modules for module in ours):
        importlib.import_module(f"{__name__}.models")
