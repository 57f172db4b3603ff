"""Google's ViT `.npz` files: names, layouts and config.

Here: vision_transformer's files (pre-Linen and today's Flax names) and
big_vision's (`params/`, positions without a row for the class token, scanned
blocks with a depth axis). Kernels need no transpose; the MLP's GELU is the tanh
form, pixels are in [-1, 1]."""

import math
import re

import numpy as np

from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import FLAT
from pixmodels.presets._table import HEADS
from pixmodels.presets._table import MERGED
from pixmodels.presets._table import ROWS
from pixmodels.presets._table import SAME
from pixmodels.presets._table import VECTOR
from pixmodels.presets._table import Entry
from pixmodels.presets._table import norm
from pixmodels.presets._tensors import Tensors

EPSILON = 1e-6
NORMALIZATION = (0.5, 0.5)
BLOCK = "Transformer/encoderblock"
SPELLINGS = (
    (r"^opt/target/", ""),
    (r"^params/", ""),
    (r"^img/", ""),
    (r"(encoderblock_\d+/)MultiHeadDotProductAttention_1/", r"\1@/"),
    (r"(encoderblock_\d+/)MultiHeadDotProductAttention_0/", r"\1@/"),
    (r"@/", "MultiHeadDotProductAttention_0/"),
    (r"(encoderblock_\d+/)MlpBlock_3/", r"\1MlpBlock_0/"),
    (r"(encoderblock_\d+/)LayerNorm_2/", r"\1LayerNorm_1/"),
)
POSITIONS = ("Transformer/posembed_input/pos_embedding", "pos_embedding")
EMBEDDING = (
    ("embedding/kernel", "embedding.projection.kernel", FLAT),
    ("embedding/bias", "embedding.projection.bias", SAME),
)
ATTENTION = "MultiHeadDotProductAttention_0"
DENSE = (("MlpBlock_0/Dense_0", "dense_1"), ("MlpBlock_0/Dense_1", "dense_2"))
NORMS = (("LayerNorm_0/", "norm_1"), ("LayerNorm_1/", "norm_2"))
MAP = "MAPHead_0"


def canonical(name):
    """A name in today's spelling; None for what is not a weight."""
    if re.match(r"opt/state/", name):
        return None
    for pattern, replacement in SPELLINGS:
        name = re.sub(pattern, replacement, name)
    return name


def dense(theirs, ours):
    """Entries of a Dense layer."""
    return [
        Entry(f"{theirs}/kernel", f"{ours}.kernel", SAME),
        Entry(f"{theirs}/bias", f"{ours}.bias", SAME),
    ]


def attention_entries(theirs, ours):
    """Entries of multi-head attention."""
    entries = [
        Entry(f"{theirs}/out/kernel", f"{ours}.output_dense.kernel", MERGED),
        Entry(f"{theirs}/out/bias", f"{ours}.output_dense.bias", SAME),
    ]
    for part in ("query", "key", "value"):
        entries += [
            Entry(f"{theirs}/{part}/kernel", f"{ours}.{part}.kernel", HEADS),
            Entry(f"{theirs}/{part}/bias", f"{ours}.{part}.bias", VECTOR),
        ]
    return entries


def block_entries(count):
    """Entries of the encoder's blocks."""
    block = attention_entries(ATTENTION, "mixer")
    for there, here in NORMS:
        block += norm(there, here, "scale")
    for there, here in DENSE:
        block += dense(there, here)
    return [
        entry.placed(f"{BLOCK}_{i}/", f"encoder.blocks.{i}.")
        for i in range(count)
        for entry in block
    ]


def map_entries():
    """Entries of big_vision's attention pooling."""
    entries = [Entry(f"{MAP}/probe", "head_pooling.probe", SAME)]
    entries += attention_entries(f"{MAP}/{ATTENTION}", "head_pooling")
    entries += norm(f"{MAP}/LayerNorm_0/", "head_pooling.norm", "scale")
    for there, here in DENSE:
        entries += dense(f"{MAP}/{there}", f"head_pooling.{here}")
    return entries


def unscanned(tensors):
    """Blocks with a leading depth axis, as blocks with numbers."""
    scanned = f"{BLOCK}/"
    if not any(scanned in name for name in tensors):
        return tensors
    readers = {}
    for name in tensors:
        shape = tensors.shape(name)
        if scanned not in name:
            readers[name] = (shape, lambda n=name: tensors[n])
            continue
        for i in range(shape[0]):
            new = name.replace(scanned, f"{BLOCK}_{i}/")
            readers[new] = (shape[1:], lambda n=name, i=i: tensors[n][i])
    return Tensors(readers, tensors.source)


def _with_class_row(tensors, name):
    """Positions that are added before the class token: its row is zero."""
    _, count, width = tensors.shape(name)
    readers = {n: (tensors.shape(n), lambda n=n: tensors[n]) for n in tensors}

    def get():
        rows = tensors[name]
        return np.concatenate([np.zeros_like(rows[:, :1]), rows], axis=1)

    readers[name] = ((1, count + 1, width), get)
    return Tensors(readers, tensors.source)


def _positions(tensors):
    """The name of the position table, and the file with a row for `cls`."""
    names = [name for name in POSITIONS if name in tensors]
    if len(names) != 1:
        raise ValueError(
            "Expected a Google ViT file with one position table, "
            f"{' or '.join(map(repr, POSITIONS))}. Received: "
            f"{tensors.source} with the names {sorted(tensors)[:8]}."
        )
    [name] = names
    if name == "pos_embedding" and "cls" in tensors:
        tensors = _with_class_row(tensors, name)
    return name, tensors


def _shape(config, tensors, rows):
    height, width, channels, _ = tensors.shape("embedding/kernel")
    patch = (height, width, channels)
    return image_shape(config.get("image_shape"), patch, rows, tensors.source)


def image_shape(asked, patch, rows, source):
    """The image size that a table without a grid stands for.

    Args:
        asked: (H, W, C) that the caller wants, or None.
        patch: (height, width, channels).
        rows: positions in the table, without the class token's.
        source: shown in the error.

    Returns:
        (H, W, C): `asked` if its patches are as many as the rows; else the
        square.

    Raises:
        ValueError: if neither fits.
    """
    height, width, channels = patch
    if asked and (asked[0] // height) * (asked[1] // width) == rows:
        return tuple(asked)
    side = math.isqrt(rows)
    if side * side != rows:
        raise ValueError(
            f"Expected image_shape=(H, W, C) with {rows} patches: the file "
            "holds no image size, and its table is not a square. Received: "
            f"image_shape={asked} for {source}."
        )
    return side * height, side * width, channels


def plan(config, tensors):
    """What a file holds.

    Args:
        config: dict of what the caller knows: `image_shape`.
        tensors: `Tensors`, any spelling.

    Returns:
        `Plan`.
    """
    tensors = unscanned(tensors.renamed(canonical))
    table, tensors = _positions(tensors)
    query = tensors.shape(f"{BLOCK}_0/{ATTENTION}/query/kernel")
    mlp = tensors.shape(f"{BLOCK}_0/MlpBlock_0/Dense_0/kernel")
    token = "cls" in tensors
    rows = tensors.shape(table)[1] - token
    count = len({n.split("/")[1] for n in tensors if n.startswith(f"{BLOCK}_")})
    options = {
        "image_shape": _shape(config, tensors, rows),
        "patch_size": tensors.shape("embedding/kernel")[:2],
        "num_layers": count,
        "num_heads": query[1],
        "hidden_dim": query[0],
        "mlp_dim": mlp[1],
        "layer_norm_epsilon": EPSILON,
        "activation": "gelu_approximate",
    }
    if not token:
        options["class_token"] = False
    entries = [Entry(*row) for row in EMBEDDING]
    entries.append(Entry(table, "position_embedding.table", ROWS))
    if token:
        entries.append(Entry("cls", "embedding.class_token", SAME))
    entries += block_entries(count)
    entries += norm("Transformer/encoder_norm/", "encoder.norm", "scale")
    outer = _classifier(tensors, token) if "head/kernel" in tensors else None
    return Plan(
        "vit",
        options,
        entries,
        tensors,
        outer=outer,
        normalization=NORMALIZATION,
        resampling="zoom",  # vit_jax/checkpoint.py, big_vision's too
    )


def _classifier(tensors, token):
    options = {
        "num_classes": tensors.shape("head/kernel")[1],
        "pooling": "cls" if token else "mean",
    }
    entries = dense("head", "head_logits")
    if f"{MAP}/probe" in tensors:
        options["pooling"] = "map"
        entries += map_entries()
    if "pre_logits/kernel" in tensors:
        width = tensors.shape("pre_logits/kernel")[1]
        options["representation_dim"] = width
        entries += dense("pre_logits", "head_hidden")
    return Outer("image_classifier", "backbone", options, entries)
