"""Classes by name, those of the rooms above this one too.

Here: backbones and tasks of the registries, and the renderer. A preset names
classes as data; the room that registers them is loaded when they are asked
for, so that no import here points upwards."""

import importlib

import keras

from pixmodels import _registry

_TASKS = "pixmodels.tasks"
_RENDERER = ("pixmodels.renderers", "CairoRenderer")


def task_class(name):
    """The class registered as a task under `name`."""
    importlib.import_module(_TASKS)
    return _registry.TASKS.get(name)


def backbone_class(name):
    """The class registered as a backbone under `name`."""
    importlib.import_module("pixmodels.models")
    return _registry.BACKBONES.get(name)


def renderer_class():
    """`CairoRenderer`."""
    module, name = _RENDERER
    return getattr(importlib.import_module(module), name)


def registered(name):
    """The class with a Keras registration name, "pixmodels>TextClassifier".

    Raises:
        ValueError: if no class is registered under it.
    """
    if keras.saving.get_registered_object(name) is None:
        importlib.import_module(_TASKS)
    found = keras.saving.get_registered_object(name)
    if found is None:
        raise ValueError(
            "Expected a registered class; import the module that defines it "
            f"first. Received: registered_name={name!r}."
        )
    return found
