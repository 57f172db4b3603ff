"""Hyper-parameters of the state-space papers, as data; see `settings`."""

_S4 = (
    "Gu et al. 2022, S4, appendix D; state-spaces/s4 e757cef, "
    "experiment/lra: those of Long-Range Arena"
)
# Task: layers, D, N, norm, norm first, dropout, tied over the tokens, learning
# rate, batch, epochs, least dt, one system of matrices for all features, most
# that time steps learn by. Weight decay is 0.05, A and B learn by 1e-3.
_LRA = {
    "listops": (
        (6, 256, 4, "batch", False, 0.0, False),
        (0.01, 32, 40, 1e-3, True, None),
    ),
    "text": (
        (6, 256, 4, "batch", True, 0.0, False),
        (0.01, 16, 32, 1e-3, True, None),
    ),
    "retrieval": (
        (6, 256, 4, "batch", True, 0.0, False),
        (0.01, 64, 20, 1e-3, True, None),
    ),
    "image": (
        (6, 512, 64, "batch", False, 0.1, True),
        (0.01, 50, 200, 1e-3, False, 1e-3),
    ),
    "pathfinder": (
        (6, 256, 64, "batch", True, 0.0, False),
        (0.004, 64, 200, 1e-3, False, 1e-3),
    ),
    "pathx": (
        (6, 256, 64, "batch", True, 0.0, False),
        (0.001, 16, 50, 1e-4, False, 1e-3),
    ),
}


def _lra(mixer, task):
    sizes, learning = _LRA[task]
    layers, width, state, norm, norm_first, dropout, tied = sizes
    rate, batch, epochs, dt_min, shared, dt_rate = learning
    options = {
        "state_size": state,
        "num_systems": 1 if shared else None,
        "dt_min": dt_min,
        "dt_max": 0.1,
        "ssm_learning_rate": 1e-3,
        "dt_learning_rate": dt_rate,
        "tie_dropout": tied,
    }
    return {
        "encoder": {
            "num_layers": layers,
            "num_heads": 1,
            "hidden_dim": width,
            "dropout_rate": dropout,
            "attention": mixer,
            "attention_options": options,
        },
        "block": {
            "mixer": mixer,
            "options": options,
            "norm": norm,
            "norm_first": norm_first,
            "dropout_rate": dropout,
        },
        "training": {
            "batch_size": batch,
            "learning_rate": rate,
            "weight_decay": 0.05,
            "schedule": "cosine",
            "warmup": 0.1,
            "epochs": epochs,
        },
        "source": _S4,
    }


SETTINGS = {
    **{f"s4_{task}": _lra("s4", task) for task in _LRA},
    **{f"s4d_{task}": _lra("s4d", task) for task in _LRA},
    "gss_language_model": {
        "encoder": {
            "num_heads": 1,
            "hidden_dim": 1024,
            "attention": "gss",
            "attention_options": {
                "causal": True,
                "state_size": 512,
                "expansion": 4,
                "ssm_dim": 256,
            },
        },
        "block": {
            "mixer": "gss",
            "options": {
                "causal": True,
                "state_size": 512,
                "expansion": 4,
                "ssm_dim": 256,
            },
            "norm": "layer",
            "norm_first": True,
        },
        "source": "Mehta et al. 2022, GSS, section 4",
    },
}
