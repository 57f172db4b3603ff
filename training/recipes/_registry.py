"""The table of recipes: functions that return an `ExperimentConfig`, by name.

Not here: the recipes (the modules beside this one).
"""

import inspect
from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training.config import ExperimentConfig

_RECIPES = {}


def recipe(function):
    """Decorator: adds a recipe under its function's name."""
    _RECIPES[function.__name__] = function
    return function


def names(task=None):
    """The names of all recipes, or of those of a task.

    Args:
        task: "pretrain", "finetune" or None for both.
    """
    if task is None:
        return tuple(_RECIPES)
    return tuple(name for name in _RECIPES if get(name).task == task)


def function(name):
    """The function of a recipe, whose docstring describes it."""
    if name not in _RECIPES:
        raise ValueError(
            f"Expected a recipe: {', '.join(_RECIPES)}."
            f"{_settings.nearest(name, _RECIPES)} Received: config={name!r}"
        )
    return _RECIPES[name]


def summary(name):
    """The first line of a recipe's docstring."""
    return inspect.getdoc(function(name)).splitlines()[0]


def get(name):
    """The config of a recipe.

    Raises:
        ValueError: if there is no such recipe; the nearest are named.
    """
    return function(name)()


def load(name_or_path):
    """A recipe by name, or a config from a JSON file.

    Args:
        name_or_path: a name, or the path of a JSON file (as
            `<workdir>/config.json`); settings that it lacks have defaults.

    Returns:
        An `ExperimentConfig`.

    Raises:
        FileNotFoundError: if a path ends in `.json` and is not a file.
        TypeError, ValueError: see `get` and `config.from_dict`.
    """
    path = Path(name_or_path)
    if name_or_path in _RECIPES or not (
        path.suffix == ".json" or path.is_file()
    ):
        return get(name_or_path)
    return _settings.from_dict(ExperimentConfig, _settings.load_json(path))
