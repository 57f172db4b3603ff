"""State-space, gated and moving-average mixers for very long sequences.

They keep the contract of `pixmodels.attention.Mixer` and stand in the same
registry, so any encoder takes them by `attention="name"`. Whole models are in
`pixmodels.models`.
"""

__all__ = []
