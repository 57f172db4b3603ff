"""Refusals that mixers share, of options and of call arguments."""

import keras


def check_counts(*, least=1, optional=(), **values):
    """Refuses options that are too small.

    Args:
        least: int.
        optional: names of those that may be None.
        values: the options by name.

    Raises:
        ValueError: naming the first one below `least`.
    """
    for name, value in values.items():
        if value is None and name in optional:
            continue
        if value is None or value < least:
            raise ValueError(
                f"Expected {name} >= {least}. Received: {name}={value}."
            )


def check_call(x, mask, positions, prefix):
    """Refuses masks and positions that do not belong to `x`.

    Args:
        As `Mixer.call`. Sizes that are not known yet fit anything.

    Raises:
        ValueError: if `mask` is not bool, or one of them has another shape.
    """
    batch, length = x.shape[:2]
    if mask is not None:
        dtype = keras.backend.standardize_dtype(mask.dtype)
        if dtype != "bool":
            raise ValueError(
                "Expected a bool mask, True = real (numbers may mean the "
                f"opposite, or be added). Received: mask.dtype={dtype}."
            )
        _check_shape("mask", mask, (batch, length), x, prefix)
    if positions is not None:
        rest = None if length is None else length - prefix
        _check_shape("positions", positions, (None, rest), x, prefix)


def _check_shape(name, value, expected, x, prefix):
    shape = tuple(value.shape)
    if len(shape) == 2 and all(
        found == size or None in (found, size)
        for found, size in zip(shape, expected, strict=True)
    ):
        return
    raise ValueError(
        f"Expected {name} of shape (B, {expected[1] or 'N'}) for x of "
        f"shape {tuple(x.shape)} and prefix={prefix}. Received: "
        f"{name}.shape={shape}."
    )
