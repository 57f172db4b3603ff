"""Optional packages of models, with an error that names the install line."""

import importlib

_EXTRAS = {
    "faiss": ("faiss-cpu", "memory"),
    "rouge_score": ("rouge-score", "translation"),
    "sacrebleu": ("sacrebleu", "translation"),
}


def load(module):
    """Imports a module of an optional package.

    Args:
        module: dotted name inside one of the packages of this file's table.

    Raises:
        ImportError: the package is missing; names it and the install line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, extra = _EXTRAS[module.split(".")[0]]
        raise ImportError(
            f"Expected the package {package!r}: pip install "
            f"pixmodels[{extra}]. Received: {error}"
        ) from error
