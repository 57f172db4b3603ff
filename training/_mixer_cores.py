"""Mixers without their projections, for times of what is between them.

Here: which Dense layers are projections, and what takes their place. Not here:
times (`_attention_benchmark`)."""

import functools

# Projections of mixers that have others than `Mixer`, by class, mixers in which
# there are more, and the names of those that make the result.
_PROJECTIONS = {
    "Mega": ("dense_value", "dense_gates"),
    "GSS": ("u_dense", "v_dense"),
}
_INNER = {"SPADE": ("near", "far")}
_RESULTS = ("output_dense", "dense_output", "dense", "gate_dense")


def projections(layer):
    """Dense layers whose results are given when the core alone is measured.

    Args:
        layer: a built mixer.

    Returns:
        list of (mixer, attribute, units); the mixer is `layer` or one in it.
    """
    kind = type(layer).__name__
    names = _PROJECTIONS.get(kind, ("query", "key", "value"))
    found = [
        (layer, name, getattr(layer, name).units)
        for name in names
        if hasattr(layer, name)
    ]
    for part in _inner(layer):
        found += projections(part)
    return found


def _inner(layer):
    """Mixers inside of which projections are left out, too."""
    names = _INNER.get(type(layer).__name__, ())
    return [x for x in (getattr(layer, n, None) for n in names) if x]


def leave_out(layer, parts, given):
    """Puts tensors in the place of what a layer's projections make."""
    for (mixer, name, _), tensor in zip(parts, given, strict=True):
        object.__setattr__(mixer, name, lambda _, tensor=tensor: tensor)
    for mixer in (layer, *_inner(layer)):
        for name in _RESULTS:
            dense = getattr(mixer, name, None)
            if dense is not None:
                units = getattr(dense, "units", None)
                fold = functools.partial(_folded, units=units)
                object.__setattr__(mixer, name, fold)


def _folded(x, units):
    """In the place of a projection of results: all of them, added up or said
    again, as many as it makes."""
    import tensorflow as tf

    width = x.shape[-1]
    if units is None or width == units:
        return x
    if width < units:
        times = -(-units // width)
        return tf.tile(x, (1, 1, times))[..., :units]
    return sum(
        x[..., start : start + units]
        for start in range(0, width - units + 1, units)
    )
