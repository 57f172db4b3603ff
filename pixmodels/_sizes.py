"""Named sizes of encoders and decoders, as data.

Here: the widths and depths of the papers. Not here: weights and presets.
"""

import difflib

# Dosovitskiy et al. 2021, table 1 (B, L, H), and Touvron et al. 2021, DeiT,
# table 1 (Ti, S). "b16" is the base model with patches of 16 x 16 pixels.
_WIDTHS = {
    "ti": {"hidden_dim": 192, "num_layers": 12, "num_heads": 3},
    "s": {"hidden_dim": 384, "num_layers": 12, "num_heads": 6},
    "b": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12},
    "l": {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16},
    "h": {"hidden_dim": 1280, "num_layers": 32, "num_heads": 16},
}
_PATCHES = {
    "ti": (16,),
    "s": (16, 32),
    "b": (8, 16, 32),
    "l": (16, 32),
    "h": (14, 16),
}
SIZES = {
    f"{name}{patch}": {
        "patch_size": patch,
        **width,
        "mlp_dim": 4 * width["hidden_dim"],
    }
    for name, width in _WIDTHS.items()
    for patch in _PATCHES[name]
}
_WORDS = {
    "tiny": "ti16",
    "small": "s16",
    "base": "b16",
    "large": "l16",
    "huge": "h14",
}
# He et al. 2021, appendix A.1 and models_mae.py: one decoder for B, L and H.
# PIXEL (Rust et al. 2023, table 5) took it over.
MAE_DECODER = {
    "decoder_hidden_dim": 512,
    "decoder_num_layers": 8,
    "decoder_num_heads": 16,
    "decoder_mlp_dim": 2048,
}


def size(name):
    """The constructor arguments of a named size.

    Args:
        name: a key of `SIZES`, such as "b16"; "B/16", "ViT-B/16" and "base"
            mean the same.

    Returns:
        dict with `patch_size`, `hidden_dim`, `num_layers`, `num_heads` and
        `mlp_dim`.

    Raises:
        ValueError: for an unknown name; the nearest ones are listed.

    Example:
        >>> pixmodels.models.size("ViT-Ti/16")["hidden_dim"]
        192
    """
    key = str(name).lower().removeprefix("vit").strip("-_")
    key = key.replace("/", "").replace("_", "").replace("-", "")
    key = _WORDS.get(key, key)
    if key in SIZES:
        return dict(SIZES[key])
    near = difflib.get_close_matches(key, [*SIZES, *_WORDS], n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"Expected a size, one of {', '.join([*SIZES, *_WORDS])}.{hint} "
        f"Received: name={name!r}."
    )
