"""Quantised models in configs: which layers are, so that they are remade so.

Here: the key "quantization" of `get_config`, and what makes replacing weights
quick. The work is done by keras
(`Model.quantize`), whose own record is the dtype of each layer; ours are made
by their models, which have one dtype."""

import contextlib
import gc

KEY = "quantization"
_MODES = ("int8", "int4", "float8")


def recorded(model):
    """What a config must say of a model.

    Returns:
        {}, or {"quantization": mode -> list of ints}: the layers of this mode
        by their place in the model.

    Raises:
        ValueError: for modes that are calibrated on data ("gptq", "awq").
    """
    found = {}
    for number, layer in enumerate(model._flatten_layers(include_self=False)):
        mode = getattr(layer, "quantization_mode", None)
        if mode is None:
            continue
        if mode not in _MODES:
            raise ValueError(
                f"Expected a model that is quantised as {_MODES} to save it. "
                f"Received: {layer.path!r} with mode={mode!r}."
            )
        found.setdefault(mode, []).append(number)
    return {KEY: found} if found else {}


def remade(make, config):
    """A model whose layers are quantised as a config says.

    Args:
        make: config without our key -> model.
        config: dict.
    """
    config = dict(config)
    quantization = config.pop(KEY, None)
    model = make(config)
    if not quantization:
        return model
    layers = list(model._flatten_layers(include_self=False))
    with quick_collections():
        for mode, numbers in quantization.items():
            for number in numbers:
                # A backbone inside comes quantised already.
                if layers[number].quantization_mode is None:
                    layers[number].quantize(mode)
    return model


@contextlib.contextmanager
def quick_collections():
    """Collections of garbage pass over what is there already.

    keras collects whenever a layer gives up a weight, 0.2 s each time beside
    a million objects of TensorFlow's: most of the time of a load.
    """
    if gc.get_freeze_count():  # the caller's own; there is one for all
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def refuse(model, what):
    """Raises a ValueError for a quantised model."""
    if recorded(model):
        raise ValueError(
            f"Expected weights that are floating point for {what}. Received: "
            f"{model.name!r}, which is quantised."
        )
