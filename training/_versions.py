"""What a run was made with, for its checkpoints."""

import importlib.metadata
import platform


def versions():
    """dict from name to version: Python, NumPy, Keras and its backend."""
    import keras
    import numpy as np

    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "keras": keras.__version__,
        backend: importlib.metadata.version(backend),
    }
