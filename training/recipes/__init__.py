"""Named experiments: functions that return an `ExperimentConfig`.

Each docstring states command, hardware, time and expected metric, or "not
yet run"; a module holds a family. Not here: what the settings mean
(`config`).
"""

from pixmodels.training.recipes import cldr  # noqa: F401
from pixmodels.training.recipes import digits  # noqa: F401
from pixmodels.training.recipes import own_data  # noqa: F401
from pixmodels.training.recipes import pixel_finetune  # noqa: F401
from pixmodels.training.recipes import pixel_pretrain  # noqa: F401
from pixmodels.training.recipes import vit_mae  # noqa: F401
from pixmodels.training.recipes._registry import function
from pixmodels.training.recipes._registry import get
from pixmodels.training.recipes._registry import load
from pixmodels.training.recipes._registry import names
from pixmodels.training.recipes._registry import recipe
from pixmodels.training.recipes._registry import summary

__all__ = ["function", "get", "load", "names", "recipe", "summary"]
