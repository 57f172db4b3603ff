"""Keras layers, backbones, losses and masks for models that read patches.

Maths is in `keras.ops` and runs on every Keras backend; importing this package
loads keras and numpy only. Not here: drawing text (`.renderers`), data and
heads (`.tasks`), the step loop (`.training`), export (`.saved_models`).
Axes: B batch, H W pixels, R C grid, N patches, K kept, D width, A heads,
E head size, P values per patch."""

from pixmodels import attention
from pixmodels import layers
from pixmodels import masking
from pixmodels import patches
from pixmodels import positions
from pixmodels import random
from pixmodels.models import MaskedAutoencoder
from pixmodels.models import PIXELBackbone
from pixmodels.models import ViTBackbone

__all__ = [
    "MaskedAutoencoder",
    "PIXELBackbone",
    "ViTBackbone",
    "attention",
    "layers",
    "masking",
    "patches",
    "positions",
    "random",
]
__version__ = "0.1.0"
