"""What a published file holds, as every format's table says it.

Here: the record that a format's `plan` returns. Not here: names, files, and
building the models."""

import dataclasses

from pixmodels.presets._table import Entry
from pixmodels.presets._tensors import Tensors


@dataclasses.dataclass(frozen=True)
class Outer:
    """A model around a backbone: a masked autoencoder or a head.

    Attributes:
        name: in the registry of tasks.
        slot: the constructor argument that takes the backbone.
        options: the other constructor arguments.
        entries: weights that are not the backbone's.
        ignored: regular expressions of names without a place.
        unknown: option -> what it is, for those that no file says and that
            the caller must.
    """

    name: str
    slot: str
    options: dict
    entries: list[Entry]
    ignored: tuple[str, ...] = ()
    unknown: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A backbone, and what may stand around it.

    Attributes:
        name: of the backbone in its registry.
        options: constructor arguments of the backbone.
        entries: weights of the backbone.
        tensors: the file, in the table's spelling.
        outer: what stands around the backbone, or None.
        ignored: regular expressions of names without a place.
        normalization: (mean, deviation), each a float or C of them: the model
            was trained on (pixels - mean) / deviation; None for pixels in
            [0, 1] as they are.
        resampling: how the format's own code brings positions to another
            grid (`pixmodels.positions.resampling_matrix`).
    """

    name: str
    options: dict
    entries: list[Entry]
    tensors: Tensors
    outer: Outer | None = None
    ignored: tuple[str, ...] = ()
    normalization: tuple | None = None
    resampling: str = "bicubic"
