"""PIXEL (xplip/pixel): names, layouts and config.

Here: the tables of `PIXELForPreTraining` and of the fine-tuned heads. Encoder
and decoder have the names of `hf_vit` and `hf_vit_mae`. The pooling of a
sequence head is not in its files: mean unless the weights say otherwise."""

import math

from pixmodels.presets import hf_vit
from pixmodels.presets import hf_vit_mae
from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import norm

MODEL_TYPE = "pixel"
DEFAULTS = {  # of PIXELConfig, for what a config.json leaves out
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "image_size": (16, 8464),
    "patch_size": 16,
    "decoder_num_attention_heads": 16,
    "decoder_hidden_size": 512,
    "decoder_num_hidden_layers": 8,
    "decoder_intermediate_size": 2048,
    "mask_ratio": 0.25,
    "norm_pix_loss": True,
}
DECODER_NORM_EPSILON = 1e-5  # torch's default; not in the config
# Every head carries `classifier`; parser and QA do not use it. Sequence heads
# carry the layers of all poolings.
UNUSED_CLASSIFIER = (r"classifier\.(weight|bias)",)
UNUSED_POOLER = (r"pooler\.(dense|linear|ln)\.(weight|bias)",)


def position_grid(rows):
    """The grid of a table with so many rows: the square, or one line."""
    side = math.isqrt(rows)
    return (side, side) if side * side == rows else (1, rows)


def sequence_entries(pooling):
    """Entries of the sequence head."""
    entries = hf_vit.dense("classifier", "head_logits")
    if pooling == "cls":
        return entries + hf_vit.dense("pooler.dense", "head_dense")
    entries += hf_vit.dense("pooler.linear", "head_dense")
    return entries + norm("pooler.ln.", "head_norm")


# Our class -> (architecture, function of the model that gives the entries).
HEADS = {
    "TextClassifier": (
        "PIXELForSequenceClassification",
        lambda model: sequence_entries(model.pooling),
    ),
}


def _sequence(tensors):
    """Sequence classification or regression."""
    pooling = "cls" if "pooler.dense.weight" in tensors else "mean"
    options = {
        "num_classes": tensors.shape("classifier.weight")[0],
        "pooling": pooling,
    }
    entries = sequence_entries(pooling)
    return Outer("text_classifier", "backbone", options, entries, UNUSED_POOLER)


def plan(config, tensors):
    """What a folder with `model_type` "pixel" holds: `Plan`."""
    config = {**DEFAULTS, **config}
    tensors = tensors.renamed(hf_vit.canonical)
    rows = tensors.shape("embeddings.position_embeddings")[1] - 1
    options = {
        **hf_vit.backbone_options(config),
        "positions": "sincos",
        "position_grid": position_grid(rows),
    }
    outer = None
    if hf_vit_mae.has_decoder(tensors):
        outer = hf_vit_mae.autoencoder(config, DECODER_NORM_EPSILON, True)
    elif "classifier.weight" in tensors:
        outer = _sequence(tensors)
    return Plan(
        "pixel",
        options,
        hf_vit.encoder_entries(config),
        tensors,
        outer=outer,
        ignored=UNUSED_POOLER,
    )
