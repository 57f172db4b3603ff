"""Whole models without a head: backbones, the masked autoencoder, sizes.

Layers are in `pixmodels.layers`, mechanisms in `pixmodels.attention`; heads
and data belong to `pixmodels.tasks`.
"""

from pixmodels import attention  # noqa: F401 (registers the mixers)
from pixmodels import sequence  # noqa: F401 (registers the mixers)
from pixmodels.models.attention_picture import plot_attention
from pixmodels.models.hierarchical_encoder import HierarchicalEncoder
from pixmodels.models.masked_autoencoder import MaskedAutoencoder
from pixmodels.models.pixel_backbone import PIXELBackbone
from pixmodels.models.sizes import MAE_DECODER
from pixmodels.models.sizes import SIZES
from pixmodels.models.sizes import size
from pixmodels.models.token_encoder import TokenEncoder
from pixmodels.models.vit_backbone import ViTBackbone

__all__ = [
    "HierarchicalEncoder",
    "MAE_DECODER",
    "MaskedAutoencoder",
    "PIXELBackbone",
    "SIZES",
    "TokenEncoder",
    "ViTBackbone",
    "plot_attention",
    "size",
]
