"""Matrices of state-space systems that several features share; no more."""

from keras import ops


def count_of(num_systems, width):
    """How many different systems: `num_systems`, or `width` for None.

    Raises:
        ValueError: if they do not divide `width`.
    """
    if num_systems is None:
        return width
    if num_systems < 1 or width % num_systems:
        raise ValueError(
            "Expected num_systems to divide the width of the input. Received: "
            f"num_systems={num_systems}, width={width}."
        )
    return num_systems


def spread(x, width):
    """(S, ...) -> (D, ...): feature h has row h modulo S."""
    count = x.shape[0]
    if count == width:
        return x
    return ops.tile(x, (width // count, *(1,) * (len(x.shape) - 1)))
