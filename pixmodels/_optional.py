"""Optional packages, with an error that names the package and its pip line.

Here: what models, weight files and scores need when they are used. Not here:
those of the renderers, which import nothing of ours; torch, which only reads
files (`presets._torch_file`)."""

import importlib

_INSTALL = {
    "faiss": ("faiss-cpu", "pixmodels[memory]"),
    "h5py": ("h5py", "h5py"),
    "huggingface_hub": ("huggingface_hub", "pixmodels[hub]"),
    "rouge_score": ("rouge-score", "pixmodels[translation]"),
    "sacrebleu": ("sacrebleu", "pixmodels[translation]"),
    "safetensors": ("safetensors", "pixmodels[hub]"),
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
        package, name = _INSTALL[module.split(".")[0]]
        raise ImportError(
            f"Expected the package {package!r}: pip install {name}. Received: "
            f"{error}"
        ) from error
