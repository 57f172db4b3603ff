"""The native libraries, loaded when first needed.

Here: imports of cairo, uharfbuzz and FriBidi with an error that names what to
install. Not here: what is done with them."""

import ctypes
import functools
import importlib

_INSTALL = {
    "cairo": (
        "pycairo",
        "apt-get install libcairo2-dev pkg-config && pip install pycairo",
    ),
    "uharfbuzz": ("uharfbuzz", "pip install uharfbuzz"),
    "fontTools.ttLib": ("fonttools", "pip install fonttools"),
    "fontTools.unicodedata": ("fonttools", "pip install fonttools"),
    "regex": ("regex", "pip install regex"),
    "PIL.Image": ("pillow", "pip install pillow"),
    "matplotlib.figure": ("matplotlib", "pip install pixmodels[plots]"),
    "matplotlib.lines": ("matplotlib", "pip install pixmodels[plots]"),
    "matplotlib.patches": ("matplotlib", "pip install pixmodels[plots]"),
    "PIL.ImageColor": ("pillow", "pip install pillow"),
    "array_record.python.array_record_module": (
        "array-record",
        "pip install array-record",
    ),
    "rich.console": ("rich", "pip install rich"),
    "rich.progress": ("rich", "pip install rich"),
}
_FRIBIDI = ("libfribidi.so.0", "libfribidi.0.dylib", "libfribidi-0.dll")


def load(module):
    """Imports a module that the renderers need.

    Args:
        module: one of the names in this file's table, e.g. `"cairo"`.

    Raises:
        ImportError: the package is missing; names it and the install line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, line = _INSTALL[module]
        raise ImportError(
            f"expected the package {package!r}, which the renderers need: "
            f"{line}. Received: {error}"
        ) from error


@functools.cache
def fribidi():
    """Opens FriBidi; ImportError with the apt line where it is missing."""
    for name in _FRIBIDI:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ImportError(
        "expected the library FriBidi, which the renderers need: "
        f"apt-get install libfribidi0. Received: none of {_FRIBIDI}"
    )
