"""Name -> class tables: mixers, backbones and tasks.

Registering a class also registers it with Keras serialization. The shared
test harness runs over these tables, so a registered class is a tested one.
No class is defined here.
"""

import difflib

import keras

from pixmodels._preset import Preset


class Registry:
    """A table of named classes.

    Args:
        kind: what an entry is, used in error messages ("mixer").
        methods: a class whose public methods every entry gets, or None.
    """

    def __init__(self, kind, methods=None):
        self.kind = kind
        public = {} if methods is None else vars(methods)
        self._methods = {
            name: method
            for name, method in public.items()
            if not name.startswith("_")
        }
        self._classes = {}

    def register(self, name):
        """Class decorator: adds the class under `name` and to Keras."""

        def add(cls):
            if name in self._classes:
                raise ValueError(
                    f"Expected a new {self.kind} name. Received: "
                    f"name={name!r}, which names {self._classes[name]}."
                )
            cls = keras.saving.register_keras_serializable(package="pixmodels")(
                cls
            )
            for method, value in self._methods.items():
                setattr(cls, method, value)
            self._classes[name] = cls
            return cls

        return add

    def names(self):
        """Registered names in alphabetical order, a tuple of str."""
        return tuple(sorted(self._classes))

    def get(self, name):
        """The class registered under `name`.

        Raises:
            ValueError: if there is none; the nearest names are listed.
        """
        if name in self._classes:
            return self._classes[name]
        near = difflib.get_close_matches(str(name), self._classes, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"Expected the name of a {self.kind}, one of "
            f"{', '.join(self.names())}.{hint} Received: name={name!r}."
        )


MIXERS = Registry("mixer")
BACKBONES = Registry("backbone", Preset)
TASKS = Registry("task", Preset)
