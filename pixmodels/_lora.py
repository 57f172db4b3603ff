"""Low-rank adaptation (LoRA) of a backbone's projections.

Here: turning it on, and what presets ask of it. The arithmetic is that of
`keras.layers.Dense.enable_lora`, which adds it into the kernels on saving."""

import keras

TARGETS = ("query", "value")
_WEIGHTS = ("lora_kernel_a", "lora_kernel_b")


def enable(model, backbone, rank, alpha, targets):
    """Gives Dense layers of a backbone LoRA weights and freezes the rest.

    Args, Raises: as the method `enable_lora`, see `_preset`.
    """
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"Expected an int rank >= 1. Received: rank={rank!r}.")
    if not backbone.trainable:
        raise ValueError(
            "Expected a backbone that is trained, not a linear probe's. "
            f"Received: {model.name!r} with a frozen backbone."
        )
    if any(map(is_lora, backbone.weights)):
        raise ValueError(
            "Expected a model without LoRA weights. Received: "
            f"{model.name!r}, which has some."
        )
    dense = [
        layer
        for layer in backbone._flatten_layers()
        if isinstance(layer, keras.layers.Dense)
    ]
    names = sorted({layer.name for layer in dense})
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    if not targets or set(targets) - set(names):
        raise ValueError(
            f"Expected targets among the Dense layers {names} of "
            f"{backbone.name!r}. Received: targets={targets}."
        )
    for layer in dense:
        if layer.name in targets:
            layer.enable_lora(rank, lora_alpha=alpha)
    for weight in backbone.weights:
        weight.trainable = is_lora(weight)


def is_lora(weight):
    """Whether a weight is one of LoRA's."""
    return weight.name in _WEIGHTS


def refuse(model, what):
    """Raises a ValueError for a model with LoRA weights."""
    if any(map(is_lora, model.weights)):
        raise ValueError(
            f"Expected a model without LoRA weights for {what}: save_to_preset "
            "and from_preset add them into the kernels. Received: "
            f"{model.name!r}, which has some."
        )
