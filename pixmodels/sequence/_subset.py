"""Subsets of patches at their true places, for mixers that go by place.

Here: zeros where no token is, and the way back. Not here: the mechanisms."""

from keras import ops

from pixmodels.attention import _blocks
from pixmodels.attention import _places


def placed(x, mask, positions, prefix, grid):
    """The whole sequence, of which a subset is given.

    Args:
        x, mask, positions, prefix, grid: as `Mixer`.

    Returns:
        (x, mask, places): with `positions` of R C + prefix tokens, of which
        those that are not given are padding, and (B, N) int32, where the
        given ones are; else as they came, and None.

    Raises:
        ValueError: for positions without a grid.
    """
    if positions is None:
        return x, mask, None
    if grid is None:
        raise ValueError(
            "Expected a grid with positions: the tokens that are left out "
            "take their places, too. Received: grid=None."
        )
    places = _places.places(positions, prefix)
    length = prefix + grid[0] * grid[1]
    real = ops.ones_like(x[..., :1])
    if mask is not None:
        real = ops.where(mask[..., None], real, ops.zeros_like(real))
        x = zeroed(x, mask)
    whole = _blocks.scattered(x, places, length)
    real = _blocks.scattered(real, places, length)[..., 0] > 0
    return whole, real, places


def taken(x, places):
    """The way back: (B, R C + prefix, D) -> (B, N, D)."""
    if places is None:
        return x
    return ops.take_along_axis(x, places[..., None], axis=1)


def zeroed(x, mask):
    """`x` with 0 in the place of padding, whatever stands there."""
    if mask is None:
        return x
    return ops.where(mask[..., None], x, ops.zeros_like(x))
