"""KerasHub ViT presets: names, layouts and config.

Here: `model.weights.h5` of `keras_hub>ViTBackbone` and `task.weights.h5` of
`keras_hub>ViTImageClassifier`, whose paths come from attribute names. The files
are read with h5py; keras-hub is not needed."""

from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import FLAT
from pixmodels.presets._table import HEADS
from pixmodels.presets._table import MERGED
from pixmodels.presets._table import SAME
from pixmodels.presets._table import VECTOR
from pixmodels.presets._table import Entry

BACKBONE = "keras_hub>ViTBackbone"
CLASSIFIER = "keras_hub>ViTImageClassifier"
TASK = "task/"  # put before the names of task.weights.h5
FRONT = "layers/vi_t_patching_and_embedding"
STACK = "layers/vi_t_encoder"
EMBEDDING = (
    ("vars/0", "embedding.class_token", SAME),
    ("patch_embedding/vars/0", "embedding.projection.kernel", FLAT),
    ("patch_embedding/vars/1", "embedding.projection.bias", SAME),
    ("position_embedding/vars/0", "position_embedding.table", SAME),
)
BLOCK = (
    ("layer_norm_1/vars/0", "norm_1.gamma", SAME),
    ("layer_norm_1/vars/1", "norm_1.beta", SAME),
    ("layer_norm_2/vars/0", "norm_2.gamma", SAME),
    ("layer_norm_2/vars/1", "norm_2.beta", SAME),
    ("mha/query_dense/vars/0", "mixer.query.kernel", HEADS),
    ("mha/query_dense/vars/1", "mixer.query.bias", VECTOR),
    ("mha/key_dense/vars/0", "mixer.key.kernel", HEADS),
    ("mha/key_dense/vars/1", "mixer.key.bias", VECTOR),
    ("mha/value_dense/vars/0", "mixer.value.kernel", HEADS),
    ("mha/value_dense/vars/1", "mixer.value.bias", VECTOR),
    ("mha/output_dense/vars/0", "mixer.output_dense.kernel", MERGED),
    ("mha/output_dense/vars/1", "mixer.output_dense.bias", SAME),
    ("mlp/dense_1/vars/0", "dense_1.kernel", SAME),
    ("mlp/dense_1/vars/1", "dense_1.bias", SAME),
    ("mlp/dense_2/vars/0", "dense_2.kernel", SAME),
    ("mlp/dense_2/vars/1", "dense_2.bias", SAME),
)
FINAL = (
    ("layer_norm/vars/0", "encoder.norm.gamma", SAME),
    ("layer_norm/vars/1", "encoder.norm.beta", SAME),
)
IGNORED = (
    r"(task/)?optimizer/.*",
    r"task/(?!layers/).*",
    r"seed_generators/.*",
)
# What our backbone cannot leave out.
FIXED = ("use_mha_bias", "use_mlp_bias", "use_patch_bias")


def entries(count):
    """Entries of a backbone with `count` blocks."""
    found = [Entry(*row).placed(f"{FRONT}/") for row in EMBEDDING]
    for i in range(count):
        number = f"_{i}" if i else ""
        theirs = f"{STACK}/encoder_layers/vi_t_encoder_block{number}/"
        ours = f"encoder.blocks.{i}."
        found += [Entry(*row).placed(theirs, ours) for row in BLOCK]
    return found + [Entry(*row).placed(f"{STACK}/") for row in FINAL]


def normalization(converter):
    """(mean, deviation) for pixels in [0, 1] of an `image_converter.json`.

    Args:
        converter: dict, or None.

    Returns:
        None where pixels stay in [0, 1].
    """
    if converter is None:
        return None
    scale = converter["config"].get("scale")
    offset = converter["config"].get("offset")
    scale = 1.0 if scale is None else scale
    offset = 0.0 if offset is None else offset
    many = next((x for x in (scale, offset) if isinstance(x, list)), [0.0])
    scales = scale if isinstance(scale, list) else [scale] * len(many)
    offsets = offset if isinstance(offset, list) else [offset] * len(many)
    # x * scale + offset for x in [0, 255].
    deviation = [1 / (255 * s) for s in scales]
    mean = [-o * d for o, d in zip(offsets, deviation, strict=True)]
    return tuple(mean), tuple(deviation)


def plan(config, tensors, task=None, converter=None):
    """What a preset folder holds.

    Args:
        config: dict of `config.json`.
        tensors: `Tensors` of the backbone, and of the task with `TASK` in
            front of the names.
        task: dict of `task.json`, or None.
        converter: dict of `image_converter.json`, or None.

    Returns:
        `Plan`.

    Raises:
        ValueError: for an option that our backbone does not have.
    """
    config = config["config"]
    for name in FIXED:
        if not config.get(name, True):
            raise ValueError(
                f"Expected a KerasHub ViT with {name}=True. Received: "
                f"{name}={config[name]!r}."
            )
    names = (
        "image_shape patch_size num_layers num_heads hidden_dim mlp_dim "
        "dropout_rate attention_dropout layer_norm_epsilon"
    )
    options = {name: config[name] for name in names.split()}
    if not config.get("use_class_token", True):
        options["class_token"] = False
    outer = None
    if task and task["registered_name"] == CLASSIFIER:
        outer = _classifier(task["config"], options)
    return Plan(
        "vit",
        options,
        entries(config["num_layers"]),
        tensors,
        outer=outer,
        ignored=IGNORED,
        normalization=normalization(converter),
    )


def _classifier(config, backbone):
    pooling = {"token": "cls", "gap": "mean"}.get(config["pooling"])
    token = backbone.get("class_token", True)
    if pooling is None or token != (pooling == "cls"):
        raise ValueError(
            "Expected a classifier that reads the class token, or the mean of "
            "a backbone without one (KerasHub's mean counts the class token). "
            f"Received: pooling={config['pooling']!r}."
        )
    options = {"num_classes": config["num_classes"], "pooling": pooling}
    layers = ["head_logits"]
    if config.get("intermediate_dim") is not None:
        options["representation_dim"] = config["intermediate_dim"]
        layers.insert(0, "head_hidden")
    found = []
    for i, ours in enumerate(layers):
        theirs = f"{TASK}layers/dense{f'_{i}' if i else ''}/vars"
        found += [
            Entry(f"{theirs}/0", f"{ours}.kernel", SAME),
            Entry(f"{theirs}/1", f"{ours}.bias", SAME),
        ]
    return Outer("image_classifier", "backbone", options, found)
