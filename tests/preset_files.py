"""Files in the formats of others, for tests of presets.

Folders as Hugging Face writes them, Google `.npz` files in each spelling, and
a ViT in plain numpy that reads Google's names. Nothing of ours is used."""

import json

import numpy as np

TINY = {"num_layers": 2, "num_heads": 3, "hidden_dim": 12, "mlp_dim": 13}


def hf_folder(folder, config, arrays):
    """Writes config.json and model.safetensors; returns the folder."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    save_file(arrays, folder / "model.safetensors")
    return folder


def pixel_config(**options):
    """config.json of the tiny PIXEL of the fixtures."""
    return {
        "model_type": "pixel",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "image_size": [16, 400],
        "patch_size": 16,
        "num_channels": 3,
        "qkv_bias": True,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "decoder_num_attention_heads": 2,
        "decoder_hidden_size": 16,
        "decoder_num_hidden_layers": 2,
        "decoder_intermediate_size": 32,
        "mask_ratio": 0.25,
        "norm_pix_loss": True,
        **options,
    }


# --- Google ViT -------------------------------------------------------------

WIDTH, HEADS, MLP, LAYERS, PATCH, CLASSES = 10, 2, 13, 2, (3, 5), 7


def google_arrays(rows, token=True, hidden=None, pooled=False, seed=3):
    """Random weights under today's Flax names."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype("float32") * 0.3

    found = {
        "embedding/kernel": normal(*PATCH, 3, WIDTH),
        "embedding/bias": normal(WIDTH),
        "Transformer/posembed_input/pos_embedding": normal(
            1, rows + token, WIDTH
        ),
        "Transformer/encoder_norm/scale": normal(WIDTH),
        "Transformer/encoder_norm/bias": normal(WIDTH),
        "head/kernel": normal(hidden or WIDTH, CLASSES),
        "head/bias": normal(CLASSES),
    }
    if token:
        found["cls"] = normal(1, 1, WIDTH)
    if hidden:
        found["pre_logits/kernel"] = normal(WIDTH, hidden)
        found["pre_logits/bias"] = normal(hidden)
    for i in range(LAYERS):
        for name, shape in _block_shapes().items():
            found[f"Transformer/encoderblock_{i}/{name}"] = normal(*shape)
    if pooled:
        found["MAPHead_0/probe"] = normal(1, 1, WIDTH)
        for name, shape in _block_shapes().items():
            if "LayerNorm_1" not in name:
                found[f"MAPHead_0/{name}"] = normal(*shape)
    return found


def _block_shapes():
    size = WIDTH // HEADS
    shapes = {
        "LayerNorm_0/scale": (WIDTH,),
        "LayerNorm_0/bias": (WIDTH,),
        "LayerNorm_1/scale": (WIDTH,),
        "LayerNorm_1/bias": (WIDTH,),
        "MultiHeadDotProductAttention_0/out/kernel": (HEADS, size, WIDTH),
        "MultiHeadDotProductAttention_0/out/bias": (WIDTH,),
        "MlpBlock_0/Dense_0/kernel": (WIDTH, MLP),
        "MlpBlock_0/Dense_0/bias": (MLP,),
        "MlpBlock_0/Dense_1/kernel": (MLP, WIDTH),
        "MlpBlock_0/Dense_1/bias": (WIDTH,),
    }
    for part in ("query", "key", "value"):
        at = f"MultiHeadDotProductAttention_0/{part}"
        shapes[f"{at}/kernel"] = (WIDTH, HEADS, size)
        shapes[f"{at}/bias"] = (HEADS, size)
    return shapes


def old_spelling(arrays):
    """The names of the files of 2020 and 2021, as saved by an optimizer."""
    found = {"opt/state/step": np.float32(3)}
    for name, array in arrays.items():
        if "encoderblock" in name:
            name = name.replace("Attention_0", "Attention_1")
            name = name.replace("MlpBlock_0", "MlpBlock_3")
            name = name.replace("LayerNorm_1", "LayerNorm_2")
        found[f"opt/target/{name}"] = array
    return found


def scanned_spelling(arrays):
    """big_vision's names with the blocks in one array each."""
    found = {}
    for name, array in arrays.items():
        if "encoderblock_0/" in name:
            blocks = [
                arrays[name.replace("block_0/", f"block_{i}/")]
                for i in range(LAYERS)
            ]
            name = name.replace("encoderblock_0/", "encoderblock/")
            array = np.stack(blocks)
        elif "encoderblock_" in name:
            continue
        if name.endswith("pos_embedding"):
            name = "pos_embedding"
        found[f"params/img/{name}"] = array
    return found


def numpy_vit(arrays, images):
    """Logits and tokens of Google's ViT, in float64.

    Args:
        arrays: as `google_arrays`.
        images: (B, H, W, 3) in [-1, 1].
    """
    w = {name: array.astype("float64") for name, array in arrays.items()}
    height, width = PATCH
    batch, rows, columns, _ = images.shape
    tokens = []
    for r in range(rows // height):
        for c in range(columns // width):
            patch = images[
                :, r * height : (r + 1) * height, c * width : (c + 1) * width
            ]
            value = np.einsum("bhwc,hwcd->bd", patch, w["embedding/kernel"])
            tokens.append(value + w["embedding/bias"])
    x = np.stack(tokens, axis=1)
    if "cls" in w:
        x = np.concatenate([np.repeat(w["cls"], batch, 0), x], axis=1)
    x = x + w["Transformer/posembed_input/pos_embedding"]
    for i in range(LAYERS):
        block = f"Transformer/encoderblock_{i}/"
        x = _numpy_block({k.removeprefix(block): v for k, v in w.items()}, x)
    x = _norm(x, w, "Transformer/encoder_norm")
    pooled = x[:, 0] if "cls" in w else x.mean(1)
    if "MAPHead_0/probe" in w:
        pooled = _numpy_map(w, x[:, "cls" in w :])
    if "pre_logits/kernel" in w:
        pooled = pooled @ w["pre_logits/kernel"] + w["pre_logits/bias"]
        pooled = np.tanh(pooled)
    return x, pooled @ w["head/kernel"] + w["head/bias"]


def _numpy_map(w, x):
    w = {k.removeprefix("MAPHead_0/"): v for k, v in w.items()}
    probe = np.repeat(w["probe"], len(x), 0)
    x = _attention(w, probe, x)
    return (x + _mlp(w, _norm(x, w, "LayerNorm_0")))[:, 0]


def _norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/scale"] + w[f"{name}/bias"]


def _numpy_block(w, x):
    y = _norm(x, w, "LayerNorm_0")
    x = x + _attention(w, y, y)
    return x + _mlp(w, _norm(x, w, "LayerNorm_1"))


def _attention(w, queries, x):
    at = "MultiHeadDotProductAttention_0"
    query, key, value = (
        np.einsum("bnd,dhe->bhne", y, w[f"{at}/{part}/kernel"])
        + w[f"{at}/{part}/bias"][:, None]
        for part, y in (("query", queries), ("key", x), ("value", x))
    )
    logits = np.einsum("bhne,bhme->bhnm", query, key)
    weights = np.exp(logits / np.sqrt(query.shape[-1]))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("bhnm,bhme->bnhe", weights, value)
    mixed = np.einsum("bnhe,hed->bnd", mixed, w[f"{at}/out/kernel"])
    return mixed + w[f"{at}/out/bias"]


def _mlp(w, y):
    y = y @ w["MlpBlock_0/Dense_0/kernel"] + w["MlpBlock_0/Dense_0/bias"]
    cubic = np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)
    y = y * 0.5 * (1 + np.tanh(cubic))
    return y @ w["MlpBlock_0/Dense_1/kernel"] + w["MlpBlock_0/Dense_1/bias"]
