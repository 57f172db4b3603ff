"""Rematerialisation: blocks computed anew for their gradients.

Inside `remat_scope`, a block keeps its input and not what is inside it. Not
here: which blocks do so (the models), when it is worth its time (the user).
"""

import contextlib
import contextvars

import keras

from pixmodels import random

_SCOPE = contextvars.ContextVar("pixmodels_remat_scope", default=False)


@contextlib.contextmanager
def remat_scope(active=True):
    """Models called inside the block rematerialise when they train.

    The gradient of a block then costs one more forward pass of it (about a
    third more time a step) and the memory of one block instead of all (Chen
    et al. 2016, arXiv 1604.06174). Results are the same: dropout inside
    `pixmodels.random.key_scope` draws the same numbers again.

    Args:
        active: False switches it off inside.
    """
    token = _SCOPE.set(active)
    try:
        yield
    finally:
        _SCOPE.reset(token)


def rematerialized(layer, training=True):
    """A layer's call, or inside `remat_scope` one that keeps only its input.

    For models with blocks of their own: call `rematerialized(block,
    training)(x, mask=mask)` instead of `block(x, mask=mask)`.

    Args:
        layer: callable with one tensor in front; what else it takes is
            keyword arguments. There are gradients of that tensor and of
            `state`.
        training: falsy: the layer itself.

    Returns:
        A function with the layer's arguments.
    """
    if not training or not _SCOPE.get():
        return layer

    def run(x, state=None, **arguments):
        # The second call comes when gradients are computed, outside the key
        # scope of the first.
        @random.in_this_scope
        def call(x, *state):
            carried = {"state": state[0]} if state else {}
            with remat_scope(False):  # what is inside is computed twice at most
                return layer(x, **carried, **arguments)

        return keras.remat(call)(*([x] if state is None else [x, state]))

    return run
