"""Mixers: layers that mix positions, one contract, one registry.

`names()` lists them, `get(name)` returns the class; any encoder takes one by
`attention="name"`. Blocks, heads and whole models are elsewhere.
"""

# First: what mixers are made of. It loads the models, and they load mixers of
# `pixmodels.sequence`, before any module of ours is half there.
from pixmodels import layers  # noqa: F401
from pixmodels._registry import MIXERS
from pixmodels.attention.bigbird import BigBirdAttention
from pixmodels.attention.context_pool import ContextPoolAttention
from pixmodels.attention.fnet import FNetMixer
from pixmodels.attention.kernelized import KernelizedAttention
from pixmodels.attention.linear import LinearAttention
from pixmodels.attention.linformer import LinformerAttention
from pixmodels.attention.local import LocalAttention
from pixmodels.attention.long_short import LongShortAttention
from pixmodels.attention.longformer import LongformerAttention
from pixmodels.attention.luna import LunaAttention
from pixmodels.attention.mixer import Mixer
from pixmodels.attention.nystrom import NystromAttention
from pixmodels.attention.performer import PerformerAttention
from pixmodels.attention.reformer import ReformerAttention
from pixmodels.attention.sinkhorn import SinkhornAttention
from pixmodels.attention.sliding_window import SlidingWindowAttention
from pixmodels.attention.softmax import SoftmaxAttention
from pixmodels.attention.sparse import SparseAttention
from pixmodels.attention.synthesizer import SynthesizerAttention
from pixmodels.attention.wide import WideAttention

names = MIXERS.names
get = MIXERS.get

__all__ = [
    "BigBirdAttention",
    "ContextPoolAttention",
    "FNetMixer",
    "KernelizedAttention",
    "LinearAttention",
    "LinformerAttention",
    "LocalAttention",
    "LongShortAttention",
    "LongformerAttention",
    "LunaAttention",
    "Mixer",
    "NystromAttention",
    "PerformerAttention",
    "ReformerAttention",
    "SinkhornAttention",
    "SlidingWindowAttention",
    "SoftmaxAttention",
    "SparseAttention",
    "SynthesizerAttention",
    "WideAttention",
    "get",
    "names",
]

# Last, when every name above is there: one import registers all classes.
from pixmodels import models  # noqa: E402, F401
