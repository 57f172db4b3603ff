"""Hyper-parameters of the papers, by name, as data.

Here: for each name "encoder", arguments of our encoders (a `ViTBackbone` takes
them as they are), "block", where the paper's own block differs and is there,
"training", and "source". Not here: recipes that were run
(`pixmodels.training.recipes`)."""

import copy
import difflib

from pixmodels.sequence import _state_space_settings

_MEGA = "Ma et al. 2022, Mega; facebookresearch/mega, Long-Range Arena"
# Task: layers, D, MLP, shared, value, function, norm, norm first, batch,
# learning rate, dropout, weight decay, epochs, longest sequence.
_MEGA_LRA = {
    "listops": (
        *(6, 80, 160, 64, 160, "softmax", "layer", False),
        *(64, 1e-3, 0.1, 0.01, 60, 2000),
    ),
    "text": (
        *(4, 128, 256, 64, 256, "softmax", "scale", False),
        *(50, 4e-3, 0.1, 0.01, 50, 4000),
    ),
    "retrieval": (
        *(6, 128, 256, 64, 256, "softmax", "scale", False),
        *(64, 3e-3, 0.1, 0.04, 40, 4000),
    ),
    "image": (
        *(8, 160, 320, 96, 320, "laplace", "batch", True),
        *(50, 1e-2, 0.0, 0.02, 200, 1024),
    ),
    "pathfinder": (
        *(6, 128, 256, 64, 256, "laplace", "batch", True),
        *(128, 1e-2, 0.0, 0.01, 200, 1024),
    ),
    "pathx": (
        *(4, 64, 128, 32, 128, "laplace", "batch", True),
        *(128, 1e-2, 0.0, 0.01, 100, 16384),
    ),
}


def _mega(task, chunked):
    row = _MEGA_LRA[task]
    layers, width, mlp_dim, shared, value, function, norm, norm_first = row[:8]
    batch, rate, dropout, decay, epochs, length = row[8:]
    long = task == "pathx"
    options = {
        "shared_dim": shared,
        "value_dim": value,
        "state_dim": 16,
        "function": function,
        "truncation": 4096 if long else 1024,
    }
    if chunked:
        options["chunk"] = 4096 if long else 128
    else:
        options["max_length"] = length
    return {
        "encoder": {
            "num_layers": layers,
            "num_heads": 1,
            "hidden_dim": width,
            "mlp_dim": mlp_dim,
            "activation": "silu",
            "dropout_rate": dropout,
            "attention": "mega",
            "attention_options": options,
        },
        "block": {
            "mlp_dim": mlp_dim,
            "options": options,
            "norm": norm,
            "norm_first": norm_first,
            "dropout_rate": dropout,
        },
        "training": {
            "batch_size": batch,
            "learning_rate": rate,
            "weight_decay": decay,
            "betas": (0.9, 0.98),
            "clip_norm": 1.0,
            "schedule": "linear",
            "epochs": epochs,
        },
        "source": _MEGA,
    }


SETTINGS = {
    **_state_space_settings.SETTINGS,
    **{f"mega_{task}": _mega(task, False) for task in _MEGA_LRA},
    **{f"mega_chunk_{task}": _mega(task, True) for task in _MEGA_LRA},
    "spade_wikitext103": {
        "encoder": {
            "attention": "spade",
            "attention_options": {
                "causal": True,
                "window": 511,
                "global_options": {"state_size": 64},
            },
        },
        # Of A and B; `s4d` and `s4` ask for it by themselves.
        "training": {"ssm_learning_rate": 1e-3},
        "source": "Zuo et al. 2022, SPADE; its released language model",
    },
}


def names():
    """Names of all settings, a tuple of str."""
    return tuple(sorted(SETTINGS))


def get(name):
    """The settings of a name, a dict that is the caller's own.

    Args:
        name: of `names()`.

    Raises:
        ValueError: if there is none; the nearest names are listed.

    Example:
        >>> import pixmodels
        >>> found = pixmodels.sequence.settings.get("mega_chunk_image")
        >>> model = pixmodels.ViTBackbone((32, 32, 1), 1, **found["encoder"])
        >>> found["training"]["learning_rate"]
        0.01
    """
    if name not in SETTINGS:
        near = difflib.get_close_matches(str(name), SETTINGS, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"Expected the name of settings, one of {', '.join(names())}."
            f"{hint} Received: name={name!r}."
        )
    return copy.deepcopy(SETTINGS[name])
