"""Seeded attacks on text: typos, look-alikes, swaps, misspellings.

Here: the attacks of Zeroé and PIXEL by name (`names`, `get`, `attack`), their
classes, readers of the user's own tables. Not here: drawing, tasks. A result
is a pure function of (text, p, seed, index); grapheme clusters stay whole."""

from pixmodels.renderers.noise._attack import Attack
from pixmodels.renderers.noise._registry import attack
from pixmodels.renderers.noise._registry import get
from pixmodels.renderers.noise._registry import names
from pixmodels.renderers.noise._registry import parse
from pixmodels.renderers.noise.confusable import Confusable
from pixmodels.renderers.noise.disemvowel import Disemvowel
from pixmodels.renderers.noise.full_swap import FullSwap
from pixmodels.renderers.noise.inner_swap import InnerSwap
from pixmodels.renderers.noise.intrude import Intrude
from pixmodels.renderers.noise.keyboard_typo import KeyboardTypo
from pixmodels.renderers.noise.natural_typo import NaturalTypo
from pixmodels.renderers.noise.phonetic import Phonetic
from pixmodels.renderers.noise.segmentation import Segmentation
from pixmodels.renderers.noise.tables import read_confusables
from pixmodels.renderers.noise.tables import read_embedding
from pixmodels.renderers.noise.tables import read_neighbours
from pixmodels.renderers.noise.tables import read_typos
from pixmodels.renderers.noise.truncate import Truncate
from pixmodels.renderers.noise.visual import Visual

__all__ = [
    "Attack",
    "Confusable",
    "Disemvowel",
    "FullSwap",
    "InnerSwap",
    "Intrude",
    "KeyboardTypo",
    "NaturalTypo",
    "Phonetic",
    "Segmentation",
    "Truncate",
    "Visual",
    "attack",
    "get",
    "names",
    "parse",
    "read_confusables",
    "read_embedding",
    "read_neighbours",
    "read_typos",
]
