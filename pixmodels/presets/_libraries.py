"""Optional packages, loaded when a file needs them.

Here: imports with an error that names the package and the install line. Not
here: what is done with them; torch has a module of its own (`_torch_file`)."""

import importlib

_INSTALL = {
    "h5py": ("h5py", "pip install h5py"),
    "huggingface_hub": ("huggingface_hub", "pip install pixmodels[hub]"),
    "huggingface_hub.errors": (
        "huggingface_hub",
        "pip install pixmodels[hub]",
    ),
    "safetensors": ("safetensors", "pip install pixmodels[hub]"),
    "safetensors.numpy": ("safetensors", "pip install pixmodels[hub]"),
}


def load(module):
    """Imports a module that weights are read or written with.

    Args:
        module: one of the names in this file's table, e.g. `"safetensors"`.

    Raises:
        ImportError: the package is missing; names it and the install line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, line = _INSTALL[module]
        raise ImportError(
            f"expected the package {package!r}, which this file needs: "
            f"{line}. Received: {error}"
        ) from error
