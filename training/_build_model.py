"""From the settings of a model to the model.

Here: which class gets which settings. Not here: weights
(`_initial_weights`), dtype policies and data (`experiment`).
"""

import inspect

_BACKBONE = (
    "num_layers num_heads hidden_dim mlp_dim attention attention_options "
    "dropout_rate attention_dropout layer_norm_epsilon activation positions "
    "position_grid trainable_positions pixel_offset class_token num_registers "
    "qkv_bias layer_scale drop_path_rate final_norm rotary_base "
    "resample_positions"
).split()
_AUTOENCODER = (
    "decoder_num_layers decoder_num_heads decoder_hidden_dim decoder_mlp_dim "
    "mask_ratio norm_pix_loss decoder_norm_epsilon"
).split()
# Settings of heads, and the values that say nothing.
_HEAD = {
    "pooling": "mean",
    "pooling_heads": None,
    "leaky": False,
    "linear_probe": False,
    "probe_norm": True,
    "pooled_norm": False,
    "representation_dim": None,
}


def build_model(config):
    """The model of a `ModelConfig` whose `image_shape` is known.

    Raises:
        ValueError: if a setting is wrong, or the head does not have it.
    """
    from pixmodels import tasks

    config = config.filled()
    backbone = build_backbone(config)
    if config.kind == "masked_autoencoder":
        return _autoencoder(config, backbone)
    classes = {
        "text_classifier": tasks.TextClassifier,
        "text_regressor": tasks.TextRegressor,
        "token_classifier": tasks.TokenClassifier,
        "dependency_parser": tasks.DependencyParser,
        "question_answerer": tasks.QuestionAnswerer,
        "image_classifier": tasks.ImageClassifier,
    }
    return _head(classes[config.kind], config, backbone)


def build_backbone(config):
    """The backbone of a `ModelConfig` whose `image_shape` is known."""
    import pixmodels

    config = config.filled()
    classes = {
        "pixel": pixmodels.PIXELBackbone,
        "vit": pixmodels.ViTBackbone,
    }
    options = {name: getattr(config, name) for name in _BACKBONE}
    return classes[config.backbone](
        config.image_shape, config.patch_size, name="backbone", **options
    )


def _autoencoder(config, backbone):
    import pixmodels

    _refuse_head_settings(config, ())
    return pixmodels.MaskedAutoencoder(
        backbone,
        decoder_attention=config.decoder_attention,
        decoder_attention_options=config.decoder_attention_options or None,
        **{name: getattr(config, name) for name in _AUTOENCODER},
    )


def _head(cls, config, backbone):
    known = inspect.signature(cls).parameters
    _refuse_head_settings(config, known)
    options = {name: getattr(config, name) for name in _HEAD if name in known}
    if "dropout_rate" in known:
        rate = config.head_dropout
        options["dropout_rate"] = config.dropout_rate if rate is None else rate
    if "num_classes" in known:
        options["num_classes"] = config.num_classes
        options["labels"] = config.labels or None
    return cls(backbone, **options)


def _refuse_head_settings(config, known):
    for name, nothing in _HEAD.items():
        value = getattr(config, name)
        if name not in known and value != nothing:
            raise ValueError(
                f"Expected model.{name}={nothing!r} for model.kind="
                f"{config.kind!r}, which does not have it. "
                f"Received: model.{name}={value!r}"
            )
