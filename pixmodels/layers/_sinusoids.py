"""Sinusoidal positions inside a graph; used by levels and token embeddings."""

import numpy as np
from keras import ops


def sinusoids(places, width):
    """Sine and cosine in turn (Vaswani et al. 2017, section 3.5).

    Args:
        places: (...) ints, positions from 0.
        width: D.

    Returns:
        (..., D) float32: `sin(p w)` at even, `cos(p w)` at odd i, with
        `w = 10000 ** (-2 (i // 2) / D)`. Angles are float32: position 10,000
        is off by at most 1e-3.
    """
    i = np.arange(width)
    frequencies, shift = (
        ops.convert_to_tensor(x, "float32")
        for x in (10000.0 ** (-2 * (i // 2) / width), np.pi / 2 * (i % 2))
    )
    places = ops.cast(places, "float32")[..., None]
    return ops.sin(places * frequencies + shift)
