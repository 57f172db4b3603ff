"""Refusals of call arguments that all mixers share; nothing else."""

import keras


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
