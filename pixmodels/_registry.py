"""Name -> class tables: mixers, backbones and tasks.

Registering a class also registers it with Keras serialization. The shared
test harness runs over these tables, so a registered class is a tested one.
No class is defined here.
"""

import difflib

import keras


class Registry:
    """A table of named classes.

    Args:
        kind: what an entry is, used in error messages ("mixer").
    """

    def __init__(self, kind):
        self.kind = kind
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
BACKBONES = Registry("backbone")
TASKS = Registry("task")
