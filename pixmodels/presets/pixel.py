"""PIXEL (xplip/pixel): names, layouts and config.

Here: the tables of `PIXELForPreTraining` and of the fine-tuned heads. Encoder
and decoder have the names of `hf_vit` and `hf_vit_mae`. The pooling of a
sequence head is not in its files: mean unless the weights say otherwise."""

import math

from pixmodels.presets import hf_vit
from pixmodels.presets import hf_vit_mae
from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import SAME
from pixmodels.presets._table import Entry
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
# Every head carries `classifier`; parser and question answering do not use
# it. Sequence heads carry the layers of several poolings.
UNUSED = (
    r"classifier\.(weight|bias)",
    r"pooler\.(dense|linear|ln)\.(weight|bias)",
)
ATTENTION = "pooler.pooling.pooler"
# PIXEL's parts of attention pooling -> ours.
ATTENTION_PARTS = {
    "fc_q": "query",
    "fc_k": "key",
    "fc_v": "value",
    "fc_o": "output_dense",
}


def position_grid(rows):
    """The grid of a table with so many rows: the square, or one line."""
    side = math.isqrt(rows)
    return (side, side) if side * side == rows else (1, rows)


def sequence_entries(pooling):
    """Entries of the sequence head."""
    entries = hf_vit.dense("classifier", "head_logits")
    if pooling == "cls":
        return entries + hf_vit.dense("pooler.dense", "head_dense")
    entries += norm("pooler.ln.", "head_norm")
    if pooling != "attention":  # its files carry a `linear` that nobody reads
        entries += hf_vit.dense("pooler.linear", "head_dense")
    else:
        entries.append(Entry(f"{ATTENTION}.S", "head_pooling.seed", SAME))
        for there, here in ATTENTION_PARTS.items():
            theirs = f"{ATTENTION}.mab.{there}"
            entries += hf_vit.dense(theirs, f"head_pooling.{here}")
    return entries


def parser_entries():
    """Entries of the dependency parser; the root is the pooled class token."""
    return [
        *hf_vit.dense("pooler.dense", "head_root"),
        Entry("biaffine_arcs.weight", "head_arcs.kernel", SAME),
        Entry("biaffine_rels.weight", "head_relations.kernel", SAME),
    ]


def answer_entries():
    """Entries of question answering."""
    return hf_vit.dense("qa_outputs", "head_logits")


# Our class -> (architecture, function of the model that gives the entries).
HEADS = {
    "TextClassifier": (
        "PIXELForSequenceClassification",
        lambda model: sequence_entries(model.pooling),
    ),
    "TextRegressor": (
        "PIXELForSequenceClassification",
        lambda model: sequence_entries(model.pooling),
    ),
    "TokenClassifier": (
        "PIXELForTokenClassification",
        lambda model: hf_vit.classifier_entries(),
    ),
    "QuestionAnswerer": (
        "PIXELForQuestionAnswering",
        lambda model: answer_entries(),
    ),
    "DependencyParser": (
        "PIXELForBiaffineParsing",
        lambda model: parser_entries(),
    ),
}


def _head(config, tensors):
    """The fine-tuned head in a file, by its weights; None without one."""
    if "biaffine_arcs.weight" in tensors:
        count = tensors.shape("biaffine_rels.weight")[0]
        return _outer("dependency_parser", parser_entries(), config, count)
    if "qa_outputs.weight" in tensors:
        return _outer("question_answerer", answer_entries())
    if "classifier.weight" not in tensors:
        return None
    pooled = ("pooler.dense.weight", "pooler.linear.weight", f"{ATTENTION}.S")
    if not any(name in tensors for name in pooled):
        count = tensors.shape("classifier.weight")[0]
        entries = hf_vit.classifier_entries()
        return _outer("token_classifier", entries, config, count)
    return _sequence(config, tensors)


def _sequence(config, tensors):
    count = tensors.shape("classifier.weight")[0]
    name = "text_classifier" if count > 1 else "text_regressor"
    pooling = "cls" if "pooler.dense.weight" in tensors else "mean"
    if f"{ATTENTION}.S" in tensors:
        pooling = "attention"
    entries = sequence_entries(pooling)
    outer = _outer(name, entries, config, count if count > 1 else None)
    outer.options["pooling"] = pooling
    if pooling == "attention":
        outer.options["leaky"] = True
        outer.unknown["pooling_heads"] = "the number of heads k of PMA{k}"
    return outer


def _outer(name, entries, config=None, count=None):
    """A head with the numbers of PIXEL's: padding is where PIXEL leaves it."""
    options = {}
    if count is not None:
        labels = hf_vit.labels_of(config, count)
        options.update(num_classes=count, labels=labels)
    if name in ("dependency_parser", "question_answerer"):
        options["leaky"] = True
    return Outer(name, "backbone", options, entries)


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
    if hf_vit_mae.has_decoder(tensors):
        outer = hf_vit_mae.autoencoder(config, DECODER_NORM_EPSILON, True)
    else:
        outer = _head(config, tensors)
    return Plan(
        "pixel",
        options,
        hf_vit.encoder_entries(config),
        tensors,
        outer=outer,
        ignored=UNUSED,
    )
