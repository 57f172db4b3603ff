"""Folders that Hugging Face transformers loads.

Here: `to_hf` for ViT and ViTMAE, and with PIXEL's names for PIXEL's code. The
names are those of the tables that read them."""

import json
from pathlib import Path

from pixmodels import _lora
from pixmodels import _quantized
from pixmodels._optional import load
from pixmodels.presets import hf_vit
from pixmodels.presets import hf_vit_mae
from pixmodels.presets import pixel
from pixmodels.presets._own import check_finite
from pixmodels.presets._resize import backbone_of
from pixmodels.presets._table import Facts
from pixmodels.presets._table import arrays_of

ACTIVATIONS = {"gelu_approximate": "gelu_pytorch_tanh"}
# Options of ours that the other library's models do not have, and the values
# that mean it is not used.
PLAIN = {
    "attention": ("softmax",),
    "attention_options": ({},),
    "pixel_offset": (0, 0.0),
    "class_token": (True,),
    "num_registers": (0,),
    "layer_scale": (None,),
    "final_norm": (True,),
    "positions": ("learned", "sincos"),
}
_ENCODER = "vit."


def to_hf(model, folder, *, overwrite=False):
    """Writes a model as a folder that Hugging Face transformers loads.

    `ViTBackbone` becomes `ViTModel` (without pooler), `ImageClassifier` with
    pooling "cls" `ViTForImageClassification`, `MaskedAutoencoder` on a
    `ViTBackbone` `ViTMAEForPreTraining`; models on a `PIXELBackbone` get the
    names of PIXEL's own classes. preprocessor_config.json says that pixels
    stay in [0, 1].

    Args:
        model: a backbone, or one of the models above around one.
        folder: path; written are config.json, model.safetensors and
            preprocessor_config.json.
        overwrite: whether these may replace older ones.

    Raises:
        ImportError: safetensors is missing.
        ValueError: for a model that the other library cannot express, which
            names the option; LoRA or quantised weights; weights that are not
            finite; a folder with such files.
    """
    library = load("safetensors.numpy")
    _, backbone = backbone_of(model)
    _refuse_options(backbone)
    _lora.refuse(model, "to_hf")
    _quantized.refuse(model, "to_hf")
    check_finite(model, model.name)
    config, entries = _described(model, backbone)
    arrays = arrays_of(model, entries, Facts.of(backbone))
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": config,
        "preprocessor_config.json": _preprocessor(backbone),
    }
    weights = folder / "model.safetensors"
    present = [p for p in (*map(folder.joinpath, files), weights) if p.exists()]
    if present and not overwrite:
        raise ValueError(
            "Expected a folder without a model, or overwrite=True. Received: "
            f"folder={str(folder)!r} with {[p.name for p in present]}."
        )
    for name, content in files.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, "utf-8")
    library.save_file(arrays, weights, metadata={"format": "pt"})


def _refuse_options(backbone):
    for name, values in PLAIN.items():
        if hasattr(backbone, name) and getattr(backbone, name) not in values:
            raise ValueError(
                "Expected a model that transformers can express, with "
                f"{name}={values[0]!r}. Received: "
                f"{name}={getattr(backbone, name)!r}."
            )


def _described(model, backbone):
    """(config.json, entries) of a model."""
    drawn = type(backbone).__name__ == "PIXELBackbone"
    kind = type(model).__name__
    config = _config(backbone)
    encoder = hf_vit.encoder_entries(config)
    if model is backbone:
        name, form = ("PIXELModel", pixel) if drawn else ("ViTModel", hf_vit)
        return _named(config, name, form), encoder
    if kind == "MaskedAutoencoder":
        head = _autoencoder(model, config, drawn)
        slot = "encoder"
    elif kind == "ImageClassifier" and not drawn:
        head = _image_classifier(model, config)
        slot = "backbone"
    elif kind in pixel.HEADS and drawn:
        head = _pixel_head(model, config)
        slot = "backbone"
    else:
        raise ValueError(
            "Expected a backbone, a MaskedAutoencoder, an ImageClassifier on "
            f"a ViTBackbone, or {', '.join(pixel.HEADS)} on a PIXELBackbone. "
            f"Received: {kind} on {type(backbone).__name__}."
        )
    placed = [entry.placed(_ENCODER, f"{slot}.") for entry in encoder]
    return config, placed + head


def _named(config, architecture, form):
    config["architectures"] = [architecture]
    config["model_type"] = form.MODEL_TYPE
    return config


def _config(backbone):
    """What ViT, ViTMAE and PIXEL have in common."""
    activation = backbone.activation
    return {
        "image_size": _side(backbone.image_shape[:2]),
        "patch_size": _side(backbone.patch_size),
        "num_channels": backbone.image_shape[2],
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "hidden_size": backbone.hidden_dim,
        "intermediate_size": backbone.mlp_dim,
        "hidden_dropout_prob": backbone.dropout_rate,
        "attention_probs_dropout_prob": backbone.attention_dropout,
        "layer_norm_eps": backbone.layer_norm_epsilon,
        "hidden_act": ACTIVATIONS.get(activation, activation),
        "qkv_bias": getattr(backbone, "qkv_bias", True),
        "dtype": "float32",
    }


def _side(size):
    return size[0] if size[0] == size[1] else list(size)


def _preprocessor(backbone):
    height, width = backbone.image_shape[:2]
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
    }


def _autoencoder(model, config, drawn):
    epsilon = model.decoder_norm_epsilon
    expected = model.encoder.layer_norm_epsilon
    if drawn:
        expected = pixel.DECODER_NORM_EPSILON
    elif not isinstance(config["image_size"], int):
        raise ValueError(
            "Expected square images: ViTMAE takes no others. Received: "
            f"image_shape={model.encoder.image_shape}."
        )
    mixer = model.decoder_attention
    if epsilon != expected or mixer not in (None, "softmax"):
        raise ValueError(
            f"Expected decoder_norm_epsilon={expected} and a softmax decoder, "
            "the only ones of the other library. Received: "
            f"decoder_norm_epsilon={epsilon}, decoder_attention={mixer!r}."
        )
    config.update(
        decoder_num_hidden_layers=model.decoder_num_layers,
        decoder_num_attention_heads=model.decoder_num_heads,
        decoder_hidden_size=model.decoder_hidden_dim,
        decoder_intermediate_size=model.decoder_mlp_dim,
        mask_ratio=model.mask_ratio,
        norm_pix_loss=model.norm_pix_loss,
    )
    name = "PIXELForPreTraining" if drawn else "ViTMAEForPreTraining"
    _named(config, name, pixel if drawn else hf_vit_mae)
    return hf_vit_mae.decoder_entries(config)


def _image_classifier(model, config):
    width = getattr(model, "representation_dim", None)
    if model.pooling != "cls" or width is not None:
        raise ValueError(
            "Expected pooling='cls' without a hidden layer, the only form of "
            f"ViTForImageClassification. Received: pooling={model.pooling!r}, "
            f"representation_dim={width}."
        )
    _labels(config, model)
    _named(config, "ViTForImageClassification", hf_vit)
    return hf_vit.classifier_entries()


def _labels(config, model):
    count = model.num_classes
    labels = model.labels or [f"LABEL_{i}" for i in range(count)]
    config["id2label"] = {str(i): name for i, name in enumerate(labels)}
    config["label2id"] = {name: i for i, name in enumerate(labels)}


def _pixel_head(model, config):
    architecture, entries = pixel.HEADS[type(model).__name__]
    if getattr(model, "labels", None):
        _labels(config, model)
    _named(config, architecture, pixel)
    return [
        # The pooler of the class token is the encoder's.
        e.placed(_ENCODER) if e.theirs.startswith("pooler.dense") else e
        for e in entries(model)
    ]
