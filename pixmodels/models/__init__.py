"""Whole models without a head: backbones, the masked autoencoder, sizes.

Layers are in `pixmodels.layers`, mechanisms in `pixmodels.attention`; heads
and data belong to `pixmodels.tasks`.
"""

from pixmodels import attention  # noqa: F401 (registers the mixers)
from pixmodels import sequence  # noqa: F401 (registers the mixers)
from pixmodels.models.attention_picture import plot_attention
from pixmodels.models.block_recurrent_stack import BlockRecurrentStack
from pixmodels.models.causal_decoder import CausalDecoder
from pixmodels.models.datastore import Datastore
from pixmodels.models.encoder_decoder import EncoderDecoder
from pixmodels.models.hierarchical_encoder import HierarchicalEncoder
from pixmodels.models.long_memory import LongMemory
from pixmodels.models.masked_autoencoder import MaskedAutoencoder
from pixmodels.models.memory_bits import bits_with_memories
from pixmodels.models.memory_bits import fill_datastore
from pixmodels.models.patch_decoder import PatchDecoder
from pixmodels.models.perceiver_ar_stack import PerceiverARStack
from pixmodels.models.pixel_backbone import PIXELBackbone
from pixmodels.models.sizes import MAE_DECODER
from pixmodels.models.sizes import SIZES
from pixmodels.models.sizes import size
from pixmodels.models.token_decoder import TokenDecoder
from pixmodels.models.token_encoder import TokenEncoder
from pixmodels.models.translation import TRANSLATION
from pixmodels.models.translation import translation_model
from pixmodels.models.trime import trime_log_probs
from pixmodels.models.trime import trime_probabilities
from pixmodels.models.trime_decoder import TRIMEDecoder
from pixmodels.models.vit_backbone import ViTBackbone

__all__ = [
    "BlockRecurrentStack",
    "CausalDecoder",
    "Datastore",
    "EncoderDecoder",
    "HierarchicalEncoder",
    "LongMemory",
    "MAE_DECODER",
    "MaskedAutoencoder",
    "PIXELBackbone",
    "PatchDecoder",
    "PerceiverARStack",
    "SIZES",
    "TRANSLATION",
    "TRIMEDecoder",
    "TokenDecoder",
    "TokenEncoder",
    "ViTBackbone",
    "bits_with_memories",
    "fill_datastore",
    "plot_attention",
    "size",
    "translation_model",
    "trime_log_probs",
    "trime_probabilities",
]
