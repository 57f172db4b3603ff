"""Layer-wise learning-rate decay: a multiplier for each variable.

The trainer honours it (`TrainConfig.layer_decay`); nothing is trained here."""


def layer_lr_multipliers(model, decay):
    """How much slower the variables of lower layers shall learn.

    Source: Bao et al. 2021, "BEiT", appendix; He et al. 2021
    (`util/lr_decay.py`): the embedding is layer 0, block i layer i + 1, all
    else (the final norm and the head) layer L + 1 of L blocks; layer l learns
    at `decay ** (L + 1 - l)` of the rate.

    Args:
        model: a task with a `backbone`, or a backbone.
        decay: float in (0, 1]; 1 changes nothing.

    Returns:
        dict from the path of each trainable variable to a float.

    Raises:
        TypeError: for a model without a backbone of blocks.
        ValueError: for a decay outside (0, 1].

    Example:
        >>> backbone = pixmodels.ViTBackbone(
        ...     (8, 8, 1), 2, num_layers=2, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.ImageClassifier(backbone, 10)
        >>> rates = pixmodels.tasks.layer_lr_multipliers(model, 0.5)
        >>> sorted(set(rates.values()))
        [0.125, 0.25, 0.5, 1.0]
    """
    if not 0 < decay <= 1:
        raise ValueError(f"Expected 0 < decay <= 1. Received: decay={decay}.")
    backbone = getattr(model, "backbone", model)
    encoder = getattr(backbone, "encoder", None)
    if not hasattr(encoder, "blocks"):
        raise TypeError(
            "Expected a task with a backbone of blocks, or such a backbone. "
            f"Received: model={model!r}."
        )
    top = len(encoder.blocks) + 1
    layer_of = {id(v): 0 for v in backbone.trainable_variables}
    for place, block in enumerate(encoder.blocks, 1):
        layer_of.update({id(v): place for v in block.trainable_variables})
    norm = getattr(encoder, "norm", None)
    if norm is not None:
        layer_of.update({id(v): top for v in norm.trainable_variables})
    return {
        v.path: decay ** (top - layer_of.get(id(v), top))
        for v in model.trainable_variables
    }
