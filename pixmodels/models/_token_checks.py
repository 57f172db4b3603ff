"""Refuses ids and masks of tokens that do not fit; shapes only."""


def check_ids(name, ids, mask=None):
    """Raises a ValueError unless `ids` are (B, N >= 1) and `mask` fits."""
    shape = tuple(ids.shape)
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(
            f"Expected {name} of shape (B, N) with N >= 1. Received: "
            f"{name}.shape={shape}."
        )
    if mask is None:
        return
    given = tuple(mask.shape)
    same = all(a == b or None in (a, b) for a, b in zip(given, shape))
    if len(given) != 2 or not same:
        raise ValueError(
            f"Expected a mask of the shape of {name}, {shape}. Received: "
            f"mask.shape={given}."
        )
