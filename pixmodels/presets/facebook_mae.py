"""MAE's own checkpoints (facebookresearch/mae): names, layouts and config.

Here: `models_mae.py` with decoder, `mae_pretrain_*.pth` without, and the
classifiers of `models_vit.py`: fine-tuned and linear probes. The files hold no
config: sizes are read off the shapes, heads off the width, what is left from
the command line that training checkpoints carry, else MAE's."""

from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import CONV
from pixmodels.presets._table import LINEAR
from pixmodels.presets._table import ROWS
from pixmodels.presets._table import SAME
from pixmodels.presets._table import Entry
from pixmodels.presets._table import norm
from pixmodels.presets._table import third
from pixmodels.presets.google_vit import image_shape

EMBEDDING = (
    ("cls_token", "embedding.class_token", SAME),
    ("pos_embed", "position_embedding.table", ROWS),
    ("patch_embed.proj.weight", "embedding.projection.kernel", CONV),
    ("patch_embed.proj.bias", "embedding.projection.bias", SAME),
)
DENSE = (
    ("attn.proj", "mixer.output_dense"),
    ("mlp.fc1", "dense_1"),
    ("mlp.fc2", "dense_2"),
)
PARTS = ("query", "key", "value")
EPSILON = 1e-6
# Width of the published models (B, L, H) -> heads; of their decoder too.
HEADS = {768: 12, 1024: 16, 1280: 16, 512: 16}
# The LayerNorm of global pooling, which takes the place of the final one.
POOLED_NORM = "fc_norm.weight"
PROBE_NORM = "head.0.running_mean"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _linear(theirs, ours):
    return [
        Entry(f"{theirs}.weight", f"{ours}.kernel", LINEAR),
        Entry(f"{theirs}.bias", f"{ours}.bias", SAME),
    ]


def block_entries(count, theirs, ours):
    """Entries of `count` timm blocks."""
    block = norm("norm1.", "norm_1") + norm("norm2.", "norm_2")
    for part, name in enumerate(PARTS):
        layout = third(part)
        block += [
            Entry("attn.qkv.weight", f"mixer.{name}.kernel", layout),
            Entry("attn.qkv.bias", f"mixer.{name}.bias", layout),
        ]
    for there, here in DENSE:
        block += _linear(there, here)
    return [
        entry.placed(f"{theirs}.{i}.", f"{ours}.{i}.")
        for i in range(count)
        for entry in block
    ]


def decoder_entries(count):
    """Entries of the decoder, for a `MaskedAutoencoder`."""
    return [
        Entry("mask_token", "mask_token", SAME),
        Entry("decoder_pos_embed", "decoder_positions.table", ROWS),
        *_linear("decoder_embed", "decoder_embedding"),
        *block_entries(count, "decoder_blocks", "decoder.blocks"),
        *norm("decoder_norm.", "decoder.norm"),
        *_linear("decoder_pred", "prediction"),
    ]


def _count(tensors, blocks):
    """Number of blocks whose names begin with `blocks.`."""
    return len({n.split(".")[1] for n in tensors if n.startswith(blocks + ".")})


def _heads(width, what):
    if width not in HEADS:
        raise ValueError(
            f"Expected the number of heads: the file does not say it, and MAE "
            f"published none of this width ({sorted(HEADS)}). Pass "
            f"{what}. Received: a width of {width}."
        )
    return HEADS[width]


def plan(config, tensors):
    """What a checkpoint holds.

    Args:
        config: dict of what the caller knows: `image_shape`, `num_heads`,
            `decoder_num_heads`, `mask_ratio`, `norm_pix_loss`.
        tensors: `Tensors` of the file; `extra` may hold `args`.

    Returns:
        `Plan`. Published files were trained with ImageNet's mean and
        deviation.
    """
    arguments = vars(tensors.extra["args"]) if "args" in tensors.extra else {}
    config = {**arguments, **config}
    width, channels, height, across = tensors.shape("patch_embed.proj.weight")
    rows = tensors.shape("pos_embed")[1] - 1
    patch = (height, across, channels)
    asked = config.get("image_shape")
    options = {
        "image_shape": image_shape(asked, patch, rows, tensors.source),
        "patch_size": (height, across),
        "num_layers": _count(tensors, "blocks"),
        "num_heads": config.get("num_heads") or _heads(width, "num_heads"),
        "hidden_dim": width,
        "mlp_dim": tensors.shape("blocks.0.mlp.fc1.weight")[0],
        "layer_norm_epsilon": EPSILON,
        "positions": "sincos",
    }
    entries = [Entry(*row) for row in EMBEDDING]
    entries += block_entries(options["num_layers"], "blocks", "encoder.blocks")
    outer = None
    if "decoder_pred.weight" in tensors:
        outer = _autoencoder(config, tensors)
    elif any(name.startswith("head.") for name in tensors):
        outer = _classifier(tensors)
        options["positions"] = "learned"  # parameters when fine-tuned
    if POOLED_NORM in tensors:
        options["final_norm"] = False
    else:
        entries += norm("norm.", "encoder.norm")
    return Plan(
        "vit", options, entries, tensors, outer=outer, normalization=IMAGENET
    )


def _autoencoder(config, tensors):
    width = tensors.shape("decoder_embed.weight")[0]
    count = _count(tensors, "decoder_blocks")
    heads = config.get("decoder_num_heads")
    options = {
        "decoder_num_layers": count,
        "decoder_num_heads": heads or _heads(width, "decoder_num_heads"),
        "decoder_hidden_dim": width,
        "decoder_mlp_dim": tensors.shape("decoder_blocks.0.mlp.fc1.weight")[0],
        "mask_ratio": config.get("mask_ratio", 0.75),
        "norm_pix_loss": bool(config.get("norm_pix_loss", False)),
        "decoder_norm_epsilon": EPSILON,
    }
    entries = decoder_entries(count)
    return Outer("masked_autoencoder", "encoder", options, entries)


def _classifier(tensors):
    """The head of a fine-tuned model, or a linear probe's with its norm."""
    pooled = POOLED_NORM in tensors
    options = {"pooling": "mean" if pooled else "cls", "pooled_norm": pooled}
    entries, ignored, name = [], (), "head"
    if pooled:
        entries += norm("fc_norm.", "head_pooled_norm")
    if PROBE_NORM in tensors:
        name, ignored = "head.1", (r"head\.0\.num_batches_tracked",)
        options["linear_probe"] = True
        entries += [
            Entry(PROBE_NORM, "head_norm.moving_mean", SAME),
            Entry("head.0.running_var", "head_norm.moving_variance", SAME),
        ]
    entries += _linear(name, "head_logits")
    options["num_classes"] = tensors.shape(f"{name}.weight")[0]
    return Outer(
        "image_classifier", "backbone", options, entries, ignored=ignored
    )
