"""Layers that are not mixers: embeddings, dropout, transformer blocks.

Mechanisms that mix positions are in `pixmodels.attention`, whole models in
`pixmodels.models`.
"""

from pixmodels.layers.attention_pooling import AttentionPooling
from pixmodels.layers.biaffine import Biaffine
from pixmodels.layers.drop_path import DropPath
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.layer_scale import LayerScale
from pixmodels.layers.map_pooling import MAPPooling
from pixmodels.layers.patch_embedding import PatchEmbedding
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.layers.reversible_stack import ReversibleStack
from pixmodels.layers.transformer_block import TransformerBlock
from pixmodels.layers.transformer_stack import TransformerStack

__all__ = [
    "AttentionPooling",
    "Biaffine",
    "DropPath",
    "Dropout",
    "LayerScale",
    "MAPPooling",
    "PatchEmbedding",
    "PositionEmbedding",
    "ReversibleStack",
    "TransformerBlock",
    "TransformerStack",
]

# Last, when every name above is there: one import registers all classes.
from pixmodels import models  # noqa: F401
