"""Text to pixels: fonts, bidi, shaping, drawing, patches.

Here: `CairoRenderer`, its `FontStack`, the `RenderedBatch` it returns, and
pictures of them for people (`gallery`). Not here: models, tasks, data sets,
TensorFlow. Cairo, HarfBuzz and FriBidi are loaded by the first renderer made.
Letters: B batch, H W pixels, N patches, P patch side in pixels."""

from pixmodels.renderers.cairo_renderer import CairoRenderer
from pixmodels.renderers.font_stack import FontStack
from pixmodels.renderers.gallery import gallery
from pixmodels.renderers.rendered_batch import Cut
from pixmodels.renderers.rendered_batch import RenderedBatch

__all__ = ["CairoRenderer", "Cut", "FontStack", "RenderedBatch", "gallery"]
