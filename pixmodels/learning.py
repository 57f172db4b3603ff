"""What a layer asks for when its variables are trained.

A note on a `keras.Variable`, which `pixmodels.training` heeds and plain `fit`
does not know. Not here: optimizers, schedules.
"""

import dataclasses

# The attribute of a `keras.Variable` that holds its `LearningRequest`.
_ATTRIBUTE = "pixmodels_learning_request"


@dataclasses.dataclass(frozen=True)
class LearningRequest:
    """How one variable wishes to be trained.

    Attributes:
        multiplier: factor of the learning rate.
        max_learning_rate: the variable's peak learning rate is at most this;
            its rate keeps the shape of the schedule. None: no bound.
        weight_decay: True or False: decayed or not; None: by the trainer's
            rule (matrices and kernels are, biases and norms are not).
    """

    multiplier: float = 1.0
    max_learning_rate: float | None = None
    weight_decay: bool | None = None

    def __post_init__(self):
        if not self.multiplier >= 0:
            raise ValueError(
                "Expected multiplier to be at least 0. Received: "
                f"multiplier={self.multiplier}."
            )
        bound = self.max_learning_rate
        if bound is not None and not bound > 0:
            raise ValueError(
                "Expected max_learning_rate to be above 0, or None. Received: "
                f"max_learning_rate={bound}."
            )


def request(variable, **wishes):
    """Notes on a variable how it wishes to be trained; returns the variable.

    Call it in `build`, so that a layer made from its config asks again.
    State-space layers ask for a low rate and no decay of their time steps
    and transition matrices, as `register` in `models/s4/s4d.py` of
    state-spaces/s4 does.

    Args:
        variable: a `keras.Variable`.
        wishes: fields of `LearningRequest`.

    Raises:
        ValueError: for values outside their limits.

    Example:
        >>> import keras
        >>> step = keras.Variable(0.1, name="log_dt")
        >>> _ = pixmodels.learning.request(
        ...     step, max_learning_rate=1e-3, weight_decay=False)
        >>> pixmodels.learning.request_of(step).max_learning_rate
        0.001
    """
    setattr(variable, _ATTRIBUTE, LearningRequest(**wishes))
    return variable


def request_of(variable):
    """The variable's `LearningRequest`, or None if it has asked for nothing."""
    return getattr(variable, _ATTRIBUTE, None)
