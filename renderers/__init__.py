"""Text to pixels: fonts, bidi, shaping, drawing, patches.

Here: `CairoRenderer`, its `FontStack`, the `RenderedBatch` it returns, and
pictures of them for people (`gallery`, `show`); `GraphRenderer`, which alone
needs TensorFlow and is imported when first asked for. Not here: models, tasks,
data sets. Cairo, HarfBuzz and FriBidi are loaded by the first renderer made.
Letters: B batch, H W pixels, N patches, P patch side in pixels."""

import importlib

from pixmodels.renderers.cairo_renderer import CairoRenderer
from pixmodels.renderers.corpus import Corpus
from pixmodels.renderers.corpus import check_corpus
from pixmodels.renderers.corpus import read_corpus
from pixmodels.renderers.font_stack import FontStack
from pixmodels.renderers.gallery import gallery
from pixmodels.renderers.offsets import Located
from pixmodels.renderers.offsets import Offsets
from pixmodels.renderers.pixel_reader import PixelReader
from pixmodels.renderers.read_text import ReadCharacter
from pixmodels.renderers.read_text import ReadText
from pixmodels.renderers.render_corpus import render_corpus
from pixmodels.renderers.rendered_batch import Cut
from pixmodels.renderers.rendered_batch import Measured
from pixmodels.renderers.rendered_batch import RenderedBatch
from pixmodels.renderers.show import show

__all__ = [
    "CairoRenderer",
    "Corpus",
    "Cut",
    "FontStack",
    "GraphRenderer",
    "Located",
    "Measured",
    "Offsets",
    "PixelReader",
    "ReadCharacter",
    "ReadText",
    "RenderedBatch",
    "check_corpus",
    "gallery",
    "read_corpus",
    "render_corpus",
    "show",
]


def __getattr__(name):
    if name != "GraphRenderer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.graph_renderer")
    return module.GraphRenderer
