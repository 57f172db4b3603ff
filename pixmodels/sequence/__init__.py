"""State-space, gated and moving-average mixers for very long sequences.

They keep the contract of `pixmodels.attention.Mixer` and stand in the same
registry, so any encoder takes them by `attention="name"`. Whole models are in
`pixmodels.models`.
"""

from pixmodels.sequence import settings
from pixmodels.sequence.dss import DSS
from pixmodels.sequence.ema import EMA
from pixmodels.sequence.gss import GSS
from pixmodels.sequence.mega import Mega
from pixmodels.sequence.mega_block import MegaBlock
from pixmodels.sequence.recurrent_block import RecurrentBlock
from pixmodels.sequence.s4 import S4
from pixmodels.sequence.s4d import S4D
from pixmodels.sequence.s5 import S5
from pixmodels.sequence.scale_norm import ScaleNorm
from pixmodels.sequence.sliding_window_block import SlidingWindowBlock
from pixmodels.sequence.spade import SPADE
from pixmodels.sequence.state_space_block import StateSpaceBlock

__all__ = [
    "DSS",
    "EMA",
    "GSS",
    "Mega",
    "MegaBlock",
    "RecurrentBlock",
    "S4",
    "S4D",
    "S5",
    "SPADE",
    "ScaleNorm",
    "SlidingWindowBlock",
    "StateSpaceBlock",
    "settings",
]
