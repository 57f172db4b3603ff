"""Models with published weights: presets in and out.

Here: `from_preset`, `save_to_preset`, `to_hf`, renderers of presets; one table
of names per format. Not here: architectures (`pixmodels.models`), heads
(`pixmodels.tasks`), drawing (`pixmodels.renderers`)."""

from pixmodels.presets.from_preset import from_preset
from pixmodels.presets.load_renderer import load_renderer
from pixmodels.presets.load_renderer import renderer_config
from pixmodels.presets.load_report import LoadReport
from pixmodels.presets.save_to_preset import save_to_preset
from pixmodels.presets.to_hf import to_hf

__all__ = [
    "LoadReport",
    "from_preset",
    "load_renderer",
    "renderer_config",
    "save_to_preset",
    "to_hf",
]
