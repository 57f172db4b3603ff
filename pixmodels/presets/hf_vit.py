"""Hugging Face ViT: names, layouts and config.

Here: the table of `ViTModel` and `ViTForImageClassification`, whose encoder
the tables of ViTMAE and PIXEL share. Spellings: the one on disk is the table's;
`canonical` turns that of transformers 5 in memory into it."""

import re

from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import CONV
from pixmodels.presets._table import LINEAR
from pixmodels.presets._table import ROWS
from pixmodels.presets._table import SAME
from pixmodels.presets._table import Entry
from pixmodels.presets._table import norm

MODEL_TYPE = "vit"
EMBEDDING = (
    ("embeddings.cls_token", "embedding.class_token", SAME),
    ("embeddings.position_embeddings", "position_embedding.table", ROWS),
    (
        "embeddings.patch_embeddings.projection.weight",
        "embedding.projection.kernel",
        CONV,
    ),
    (
        "embeddings.patch_embeddings.projection.bias",
        "embedding.projection.bias",
        SAME,
    ),
)
DENSE = (
    ("attention.attention.query", "mixer.query"),
    ("attention.attention.key", "mixer.key"),
    ("attention.attention.value", "mixer.value"),
    ("attention.output.dense", "mixer.output_dense"),
    ("intermediate.dense", "dense_1"),
    ("output.dense", "dense_2"),
)
NORMS = (("layernorm_before.", "norm_1"), ("layernorm_after.", "norm_2"))
SPELLINGS = (
    (r"^layers\.", "encoder.layer."),
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"\.attention\.([qkv])_proj\.", r".attention.attention.\1_proj."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
# What ViT files carry beside the encoder: the pooler over the class token,
# the mask token and pixel decoder of masked image modelling.
IGNORED = (
    r"pooler\.dense\.(weight|bias)",
    r"embeddings\.mask_token",
    r"decoder\.0\.(weight|bias)",
)
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_approximate",
    "gelu_fast": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def canonical(name):
    """A name in the table's spelling, without the `vit.` in front."""
    name = re.sub(r"^vit\.", "", name)
    for pattern, replacement in SPELLINGS:
        name = re.sub(pattern, replacement, name)
    return name


def dense(theirs, ours):
    """Entries of a linear layer."""
    return [
        Entry(f"{theirs}.weight", f"{ours}.kernel", LINEAR),
        Entry(f"{theirs}.bias", f"{ours}.bias", SAME),
    ]


def block_entries(count, theirs, ours):
    """Entries of `count` transformer blocks."""
    found = []
    for i in range(count):
        block = []
        for there, here in DENSE:
            block += dense(there, here)
        for there, here in NORMS:
            block += norm(there, here)
        found += [e.placed(f"{theirs}.{i}.", f"{ours}.{i}.") for e in block]
    return found


def encoder_entries(config):
    """Entries of the encoder, for a `PatchBackbone`."""
    entries = [Entry(*row) for row in EMBEDDING]
    count = config["num_hidden_layers"]
    entries += block_entries(count, "encoder.layer", "encoder.blocks")
    return entries + norm("layernorm.", "encoder.norm")


def classifier_entries():
    """Entries of the linear classifier."""
    return dense("classifier", "head_logits")


def size_of(value):
    """An int or a pair, as (height, width)."""
    return (value, value) if isinstance(value, int) else tuple(value)


def activation(name):
    """Our name of a `hidden_act`.

    Raises:
        ValueError: for a function that we do not have.
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"Expected hidden_act to be one of {sorted(ACTIVATIONS)}. "
            f"Received: hidden_act={name!r}."
        )
    return ACTIVATIONS[name]


def backbone_options(config):
    """Constructor arguments of the backbone from a `config.json`."""
    height, width = size_of(config["image_size"])
    options = {
        "image_shape": (height, width, config.get("num_channels", 3)),
        "patch_size": size_of(config["patch_size"]),
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "mlp_dim": config["intermediate_size"],
        "dropout_rate": config.get("hidden_dropout_prob", 0.0),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.0),
        "layer_norm_epsilon": config.get("layer_norm_eps", 1e-12),
        "activation": activation(config.get("hidden_act", "gelu")),
    }
    if not config.get("qkv_bias", True):
        options["qkv_bias"] = False
    return options


def labels_of(config, count):
    """Names of the classes, or None where they are only numbered."""
    labels = config.get("id2label") or {}
    names = [labels.get(str(i)) for i in range(count)]
    numbered = all(n in (None, f"LABEL_{i}") for i, n in enumerate(names))
    whole = None not in names and len(set(names)) == count
    return None if numbered or not whole else names


def normalization(preprocessor):
    """(mean, deviation) for pixels in [0, 1] of a `preprocessor_config.json`.

    Args:
        preprocessor: dict, or None.

    Returns:
        None where pixels stay in [0, 1].
    """
    if preprocessor is None:
        return None
    factor = 1.0
    if preprocessor.get("do_rescale", True):
        factor = 255 * preprocessor.get("rescale_factor", 1 / 255)
    mean, deviation = [0.0], [1.0]
    if preprocessor.get("do_normalize", True):
        mean = preprocessor.get("image_mean", [0.5])
        deviation = preprocessor.get("image_std", [0.5])
    return tuple(
        tuple(x / factor for x in (v if isinstance(v, list) else [v]))
        for v in (mean, deviation)
    )


def plan(config, tensors):
    """What a folder with `model_type` "vit" holds.

    Args:
        config: dict of `config.json`.
        tensors: `Tensors`, any spelling.

    Returns:
        `Plan`.
    """
    tensors = tensors.renamed(canonical)
    outer = None
    if "classifier.weight" in tensors:
        count = tensors.shape("classifier.weight")[0]
        outer = Outer(
            "image_classifier",
            "backbone",
            {"num_classes": count, "labels": labels_of(config, count)},
            classifier_entries(),
        )
    return Plan(
        "vit",
        backbone_options(config),
        encoder_entries(config),
        tensors,
        outer=outer,
        ignored=IGNORED,
    )
