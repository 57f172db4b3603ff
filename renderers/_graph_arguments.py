"""Arguments of the in-graph renderer.

Here: checks with their messages. Not here: what is done with them
(graph_renderer.py)."""

import inspect

import numpy as np
import tensorflow as tf

from pixmodels.renderers._atlas_charset import SCRIPTS
from pixmodels.renderers.cairo_renderer import CairoRenderer

# Settings of CairoRenderer that the tables take up; a square patch, too.
_KNOWN = ("max_patches", "font_size", "dpi", "language", "font_stack")


def as_strings(texts):
    """The batch as a str tensor (B,) or (B, 2).

    Raises:
        ValueError: it has another shape.
    """
    if isinstance(texts, str | bytes):
        texts = [texts]
    texts = tf.convert_to_tensor(texts, tf.string)
    shape = texts.shape
    if shape.rank != 1 and not (shape.rank == 2 and shape[1] == 2):
        raise ValueError(
            "expected a tensor or list of texts, shape (B,), or of pairs, "
            f"shape (B, 2). Received: shape={shape}"
        )
    return texts


def check_width(num_patches, most):
    """ValueError unless it is None or a legal number of patches."""
    if num_patches is None:
        return
    whole = isinstance(num_patches, int | np.integer)
    if not whole or isinstance(num_patches, bool):
        raise ValueError(
            "expected a Python number or None. "
            f"Received: num_patches={num_patches!r}"
        )
    if not 2 <= num_patches <= most:
        raise ValueError(
            f"expected 2 to max_patches={most}. "
            f"Received: num_patches={num_patches!r}"
        )


def checked_renderer(renderer):
    """The CairoRenderer; ValueError where it draws what a table cannot."""
    if renderer is None:
        return CairoRenderer()
    if not isinstance(renderer, CairoRenderer):
        raise TypeError(
            f"expected a CairoRenderer or None. Received: renderer={renderer!r}"
        )
    parameters = inspect.signature(CairoRenderer).parameters
    for name, value in renderer.get_config().items():
        if name in _KNOWN or (name == "patch_size" and isinstance(value, int)):
            continue
        known_as = parameters.get(name)
        if known_as is None or value != known_as.default:
            raise ValueError(
                "expected a renderer with a square patch and no settings but "
                f"{', '.join(_KNOWN)}: others have no in-graph form. "
                f"Received: {name}={value!r}"
            )
    stack = renderer.font_stack
    for place in range(len(stack)):
        path, face = stack.entry(place)
        if not isinstance(face, int):
            raise ValueError(
                f"expected fonts at their default axes. Received: {path}#{face}"
            )
    return renderer


def checked_scripts(scripts):
    """Known ISO codes as a tuple in one order; None stands for all."""
    if scripts is None:
        return SCRIPTS
    if isinstance(scripts, str) or not hasattr(scripts, "__iter__"):
        raise TypeError(
            "expected a list of ISO 15924 codes, or None. "
            f"Received: scripts={scripts!r}"
        )
    scripts = tuple(scripts)
    unknown = [name for name in scripts if name not in SCRIPTS]
    if unknown:
        raise ValueError(
            f"expected scripts of {', '.join(SCRIPTS)}. "
            f"Received: scripts={unknown!r}"
        )
    # One order, so that the same set shares its tables.
    return tuple(name for name in SCRIPTS if name in scripts)
