"""Layers that are not mixers: embeddings, dropout, transformer blocks.

Mechanisms that mix positions are in `pixmodels.attention`, whole models in
`pixmodels.models`.
"""

from pixmodels.layers.attention_pooling import AttentionPooling
from pixmodels.layers.biaffine import Biaffine
from pixmodels.layers.cross_attention import CrossAttention
from pixmodels.layers.decoder_block import DecoderBlock
from pixmodels.layers.decoder_stack import DecoderStack
from pixmodels.layers.drop_path import DropPath
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.hierarchy_level import HierarchyLevel
from pixmodels.layers.layer_scale import LayerScale
from pixmodels.layers.map_pooling import MAPPooling
from pixmodels.layers.patch_embedding import PatchEmbedding
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.layers.post_norm_block import PostNormBlock
from pixmodels.layers.reversible_stack import ReversibleStack
from pixmodels.layers.sequence_pooling import SequencePooling
from pixmodels.layers.token_embedding import TokenEmbedding
from pixmodels.layers.transformer_block import TransformerBlock
from pixmodels.layers.transformer_stack import TransformerStack

__all__ = [
    "AttentionPooling",
    "Biaffine",
    "CrossAttention",
    "DecoderBlock",
    "DecoderStack",
    "DropPath",
    "Dropout",
    "HierarchyLevel",
    "LayerScale",
    "MAPPooling",
    "PatchEmbedding",
    "PositionEmbedding",
    "PostNormBlock",
    "ReversibleStack",
    "SequencePooling",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerStack",
]

# Last, when every name above is there: one import registers all classes.
from pixmodels import models  # noqa: F401
