"""Which variables learn how fast, and which are decayed.

Decided once, before the first step: a factor of the learning rate and a yes or
no for each trainable variable. Backend-neutral.
"""

import dataclasses
import re

from pixmodels.learning import LearningRequest
from pixmodels.learning import request_of
from pixmodels.training._settings import nearest
from pixmodels.training.variables import variable_keys

_NO_DECAY_NAMES = ("bias", "gamma", "beta", "scale")
_NO_DECAY_PARTS = ("position", "token", "norm")
_FIELDS = tuple(field.name for field in dataclasses.fields(LearningRequest))


def takes_decay(variable):
    """Whether weight decay applies: True for matrices and kernels only.

    False for variables of rank 0 or 1, for biases and norms of any rank, and
    for position tables and class or mask tokens.
    """
    *parents, name = variable.path.lower().split("/")
    near = "/".join([*parents[-1:], name])
    return (
        len(variable.shape) > 1
        and name not in _NO_DECAY_NAMES
        and not any(part in near for part in _NO_DECAY_PARTS)
    )


def check(groups):
    """Checks the setting `train.groups`.

    Args:
        groups: dict from a regular expression to a dict of fields of
            `pixmodels.learning.LearningRequest`.

    Raises:
        ValueError: if a pattern does not compile, a field is unknown or has
            a value outside its limits.
    """
    for pattern, wishes in groups.items():
        where = f"train.groups[{pattern!r}]"
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                "Expected train.groups with regular expressions as keys. "
                f"Received: {pattern!r}: {error}"
            ) from error
        if not isinstance(wishes, dict):
            raise ValueError(
                f"Expected {where} to be a dict with {', '.join(_FIELDS)}. "
                f"Received: {wishes!r}"
            )
        for name, value in wishes.items():
            if name not in _FIELDS:
                raise ValueError(
                    f"Expected {where} with {', '.join(_FIELDS)}."
                    f"{nearest(name, _FIELDS)} Received: {name}={value!r}"
                )
            _check_value(where, name, value)


def plan(model, config):
    """How each trainable variable of a model is trained.

    What a variable asks for itself (`pixmodels.learning.request`) comes
    first; each pattern of `config.groups` that is found in its key then
    replaces the fields that it names. `config.layer_decay` multiplies in.

    Args:
        model: a built Keras model.
        config: `TrainConfig`.

    Returns:
        (multipliers, decays): lists of float and of bool, in the order of
        `model.trainable_variables`.

    Raises:
        ValueError: if a pattern is found in no key; some keys are listed.
    """
    variables = list(model.trainable_variables)
    keys = dict(
        zip(
            map(id, model.variables),
            variable_keys(model.variables, model.name),
        )
    )
    keys = [keys[id(variable)] for variable in variables]
    _check_used(config.groups, keys)
    layers = _layer_multipliers(model, variables, config.layer_decay)
    multipliers, decays = [], []
    for variable, key, factor in zip(variables, keys, layers):
        asked = request_of(variable) or LearningRequest()
        for pattern, wishes in config.groups.items():
            if re.search(pattern, key):
                asked = dataclasses.replace(asked, **wishes)
        factor = factor * asked.multiplier
        if asked.max_learning_rate is not None:
            bound = asked.max_learning_rate / config.learning_rate
            factor = min(factor, bound)
        decay = asked.weight_decay
        decay = takes_decay(variable) if decay is None else decay
        multipliers.append(factor)
        decays.append(decay and config.weight_decay > 0)
    return multipliers, decays


def _check_value(where, name, value):
    boolean = isinstance(value, bool)
    if name == "weight_decay":
        ok = boolean or value is None
    else:
        ok = isinstance(value, int | float) and not boolean
        ok = ok or (name == "max_learning_rate" and value is None)
    if not ok:
        raise ValueError(
            f"Expected {where} with numbers, and True or False for "
            f"weight_decay. Received: {name}={value!r}"
        )
    try:
        LearningRequest(**{name: value})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_used(groups, keys):
    for pattern in groups:
        if not any(re.search(pattern, key) for key in keys):
            raise ValueError(
                "Expected each pattern of train.groups to be found in the key "
                f"of a variable, such as {', '.join(map(repr, keys[:5]))}. "
                f"Received: {pattern!r}"
            )


def _layer_multipliers(model, variables, decay):
    if decay is None:
        return [1.0] * len(variables)
    from pixmodels.tasks import layer_lr_multipliers

    found = layer_lr_multipliers(model, decay)
    return [found[variable.path] for variable in variables]
