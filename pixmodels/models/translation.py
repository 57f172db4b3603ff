"""Named settings of encoder-decoders for translation, as data.

Here: sizes and training of published systems as far as their released
commands state them, and `translation_model`, which builds one. Not here:
vocabularies, data, the loop.
"""

import copy

from pixmodels.models.encoder_decoder import EncoderDecoder
from pixmodels.models.token_encoder import TokenEncoder

# name -> "model" (arguments of both halves), "training" and "search".
TRANSLATION = {
    # Vaswani et al. 2017, table 3 ("base"), and section 5.
    "transformer_base": {
        "model": {
            "hidden_dim": 512,
            "num_layers": 6,
            "num_heads": 8,
            "mlp_dim": 2048,
            "activation": "relu",
            "dropout_rate": 0.1,
        },
        "training": {
            "optimizer": "adam",
            "betas": (0.9, 0.98),
            "schedule": "rsqrt",
            "warmup_steps": 4000,
            "steps": 100_000,
            "label_smoothing": 0.1,
        },
        "search": {"beam_size": 4, "length_penalty": 0.6},
    },
    # fairseq-apollo, examples/luna/README.wmt.md (WMT'14 English to German)
    # and the defaults of fairseq/models/luna.py. Its optimizer is Apollo.
    "luna_wmt14": {
        "model": {
            "hidden_dim": 512,
            "num_layers": 6,
            "num_heads": 8,
            "mlp_dim": 2048,
            "activation": "relu",
            "dropout_rate": 0.1,
            "attention_dropout": 0.1,
            "attention": "luna",
            "attention_options": {"packed_length": 32, "pack_heads": 8},
        },
        "training": {
            "optimizer": "apollo",
            "learning_rate": 0.1,
            "warmup_steps": 1000,
            "steps": 500_000,
            "decay_at": (300_000, 450_000),
            "decay": 0.1,
            "weight_decay": 1e-8,
            "tokens_per_batch": 8192,
            "label_smoothing": 0.1,
        },
        "search": {},
    },
    # facebookresearch/mega, examples/mega/README.mt.md (WMT'16 English to
    # German) and the defaults of fairseq/models/mega.py.
    "mega_wmt16": {
        "model": {
            "hidden_dim": 512,
            "num_layers": 6,
            "num_heads": 1,
            "mlp_dim": 1024,
            "activation": "silu",
            "dropout_rate": 0.15,
            "attention_dropout": 0.1,
            "attention": "mega",
            "attention_options": {
                "shared_dim": 128,
                "value_dim": 1024,
                "state_dim": 16,
                "function": "softmax",
                "hidden_dropout": 0.1,
            },
            "positions": "none",
            "max_length": 1024,
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "betas": (0.9, 0.98),
            "schedule": "linear",
            "warmup_steps": 4000,
            "steps": 500_000,
            "weight_decay": 0.05,
            "clip_norm": 1.0,
            "tokens_per_batch": 8192,
            "label_smoothing": 0.1,
        },
        "search": {"beam_size": 5, "length_penalty": 0.5},
    },
    # princeton-nlp/TRIME, machine_translation/README.md (IWSLT'14 German to
    # English); sizes of fairseq's transformer_iwslt_de_en. There, only the 8
    # nearest memories of a batch count; at test time 16 of a datastore, at
    # temperature 15.
    "trime_iwslt14": {
        "model": {
            "hidden_dim": 512,
            "num_layers": 6,
            "num_heads": 4,
            "mlp_dim": 1024,
            "activation": "relu",
            "dropout_rate": 0.3,
            "memory": "batch",
            "memory_temperature": 10.0,
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": 5e-4,
            "betas": (0.9, 0.98),
            "schedule": "rsqrt",
            "warmup_steps": 4000,
            "epochs": 50,
            "epochs_without_memories": 5,
            "weight_decay": 1e-4,
            "tokens_per_batch": 4096,
            "label_smoothing": 0.0,
        },
        "search": {"beam_size": 4, "length_penalty": 0.6},
    },
}

_OF_THE_DECODER = ("memory", "memory_temperature")


def translation_model(name, source_size, target_size, **changes):
    """An `EncoderDecoder` of named sizes, with fresh weights.

    Where we differ from the released systems: blocks are pre-norm, the two
    vocabularies have tables of their own, and Mega's and Luna's mixers stand
    in our blocks.

    Args:
        name: one of `TRANSLATION`.
        source_size, target_size: tokens of the two languages.
        changes: other values for settings of its "model", and arguments of
            `EncoderDecoder` such as `begin_id`.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> model = pixmodels.models.translation_model(
        ...     "luna_wmt14", 97, 89, hidden_dim=16, mlp_dim=32, num_layers=1)
        >>> model.decoder.num_layers, model.hidden_dim
        (1, 16)
    """
    if name not in TRANSLATION:
        raise ValueError(
            f"Expected one of {tuple(TRANSLATION)}. Received: name={name!r}."
        )
    settings = copy.deepcopy(TRANSLATION[name])
    options = {**settings["model"], **changes}
    smoothing = settings["training"]["label_smoothing"]
    options.setdefault("label_smoothing", smoothing)
    width = options.pop("hidden_dim")
    names = (*_OF_THE_DECODER, "label_smoothing", "begin_id", "end_id")
    shared = {k: v for k, v in options.items() if k not in names}
    encoder = TokenEncoder(
        source_size, hidden_dim=width, **{"scale": True, **shared}
    )
    return EncoderDecoder(
        encoder, vocabulary_size=target_size, hidden_dim=width, **options
    )
