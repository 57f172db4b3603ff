"""What every table of names is made of.

Here: entries, layouts of arrays, and both directions of a table. Not here:
the names (one file per format), files, and models."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
from keras import ops

from pixmodels.attention._copied_dense import copies
from pixmodels.presets.load_report import LoadReport


@dataclasses.dataclass(frozen=True)
class Facts:
    """What layouts need to know of a model.

    Attributes:
        patch: (height, width, channels).
        heads: A, of the encoder.
    """

    patch: tuple[int, int, int]
    heads: int

    @classmethod
    def of(cls, backbone):
        patch = (*backbone.patch_size, backbone.image_shape[-1])
        return cls(patch, backbone.num_heads)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How an array of theirs becomes one of ours, and back.

    Attributes:
        inward: (their array, Facts) -> our array.
        outward: (our array, Facts) -> their array, or None.
    """

    inward: Callable
    outward: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One weight.

    Attributes:
        theirs: name in the file.
        ours: attribute path from the model, "encoder.blocks.0.norm_1.gamma".
        layout: how the arrays correspond.
    """

    theirs: str
    ours: str
    layout: Layout

    def placed(self, theirs="", ours=""):
        """A copy with prefixes to both names."""
        return dataclasses.replace(
            self, theirs=theirs + self.theirs, ours=ours + self.ours
        )


def _same(x, facts):
    return x


def _transposed(x, facts):
    return x.T


def _conv_in(x, facts):  # (D, C, h, w) -> (h w C, D)
    return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])


def _conv_out(x, facts):
    return x.reshape(*facts.patch, -1).transpose(3, 2, 0, 1)


def _flat_in(x, facts):  # (h, w, C, D) -> (h w C, D)
    return x.reshape(-1, x.shape[-1])


def _flat_out(x, facts):
    return x.reshape(*facts.patch, -1)


def _heads_in(x, facts):  # (D, A, E) -> (D, A E)
    return x.reshape(x.shape[0], -1)


def _merge_in(x, facts):  # (A, E, D) -> (A E, D)
    return x.reshape(-1, x.shape[-1])


SAME = Layout(_same, _same)
LINEAR = Layout(_transposed, _transposed)
CONV = Layout(_conv_in, _conv_out)
FLAT = Layout(_flat_in, _flat_out)
ROWS = Layout(lambda x, facts: x[0], lambda x, facts: x[None])
HEADS = Layout(_heads_in)
MERGED = Layout(_merge_in)
VECTOR = Layout(lambda x, facts: x.reshape(-1))


def third(part):
    """Query, key or value of a fused linear layer: (3 D, D) or (3 D,)."""

    def cut(x, facts):
        return np.split(x, 3)[part].T

    return Layout(cut)


def expand(rows):
    """Entries of a table's rows, (theirs, ours, layout) each."""
    return [Entry(*row) for row in rows]


def norm(theirs, ours, weight="weight", bias="bias"):
    """Entries of a LayerNorm."""
    return [
        Entry(f"{theirs}{weight}", f"{ours}.gamma", SAME),
        Entry(f"{theirs}{bias}", f"{ours}.beta", SAME),
    ]


def variable_at(model, path):
    """The variable at an attribute path; None if some layer is absent."""
    found = model
    for part in path.split("."):
        if part.isdigit():
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = getattr(found, part, None)
        if found is None:
            return None
    return found


def assign(model, entries, tensors, facts, *, ignored=(), edits=None):
    """Sets a model's variables from a file.

    Args:
        model: built model.
        entries: list of `Entry`.
        tensors: `Tensors` in the table's spelling.
        facts: `Facts`.
        ignored: regular expressions of names that may be left over.
        edits: dict our path -> function of our array, applied last.

    Returns:
        `LoadReport`; nothing is raised.
    """
    edits = edits or {}
    missing, misshapen, not_finite = [], [], []
    used, covered = set(), set()
    for entry in entries:
        variable = variable_at(model, entry.ours)
        if variable is None:
            continue
        used.add(entry.theirs)
        covered.add(id(variable))
        if entry.theirs not in tensors:
            missing.append(f"{entry.ours} ({entry.theirs})")
            continue
        theirs = tensors[entry.theirs]
        if not np.isfinite(theirs).all():
            not_finite.append(entry.theirs)
        array = _inward(entry, theirs, variable, facts)
        if array is None:
            misshapen.append(_mismatch(entry, theirs, variable, facts))
            continue
        variable.assign(edits.get(entry.ours, _keep)(array))
    missing += [w.path for w in _without_a_file(model, covered)]
    left = [name for name in tensors if name not in used]
    known = [n for n in left if any(re.fullmatch(p, n) for p in ignored)]
    return LoadReport(
        source=tensors.source,
        loaded=len(model.weights) - len(missing) - len(misshapen),
        missing=tuple(missing),
        unexpected=tuple(n for n in left if n not in known),
        misshapen=tuple(misshapen),
        not_finite=tuple(not_finite),
        ignored=tuple(known),
    )


def _without_a_file(model, covered):
    """Weights that nothing has set; what begins as a copy is set here."""
    for layer in copies(model):
        if not any(id(weight) in covered for weight in layer.weights):
            layer.copy()
            covered.update(id(weight) for weight in layer.weights)
    return [weight for weight in model.weights if id(weight) not in covered]


def _keep(array):
    return array


def _inward(entry, theirs, variable, facts):
    """Our array, or None if it cannot have the variable's shape."""
    try:
        array = entry.layout.inward(theirs, facts)
    except (ValueError, IndexError):  # another number of axes
        return None
    return array if array.shape == tuple(variable.shape) else None


def _mismatch(entry, theirs, variable, facts):
    expected = tuple(variable.shape)
    if entry.layout.outward:
        empty = np.broadcast_to(np.float32(0), expected)
        expected = entry.layout.outward(empty, facts).shape
    return f"{entry.theirs}: {theirs.shape}, expected {tuple(expected)}"


def arrays_of(model, entries, facts):
    """A model's weights under their names: the way out.

    Returns:
        dict their name -> contiguous float32 array.

    Raises:
        ValueError: if the table has no name for a weight.
    """
    arrays, covered = {}, set()
    for entry in entries:
        variable = variable_at(model, entry.ours)
        if variable is None:
            continue
        covered.add(id(variable))
        ours = np.asarray(ops.convert_to_numpy(variable.value), "float32")
        theirs = entry.layout.outward(ours, facts)
        arrays[entry.theirs] = np.ascontiguousarray(theirs)
    left = [w.path for w in model.weights if id(w) not in covered]
    if left:
        raise ValueError(
            "Expected a model whose every weight has a name in the other "
            f"library. Received: a model with {', '.join(left)}."
        )
    return arrays
