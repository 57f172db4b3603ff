"""Puts weights of the original implementations into our models, for tests.

The importers of published files are not here; these tables know only the
spellings of tests/fixtures.
"""

import numpy as np


def load_pixel(model, weights):
    """Weights in Hugging Face spelling into a `MaskedAutoencoder`.

    Args:
        model: built `MaskedAutoencoder`.
        weights: dict of arrays, PyTorch layouts.

    Returns:
        List of (name in `weights`, variable, transform) of all trainable
        weights, `transform` being what turned the array into the variable.
    """
    pairs = []

    def put(variable, name, transform=lambda x: x):
        variable.assign(transform(weights[name]))
        if variable.trainable:
            pairs.append((name, variable, transform))

    def dense(layer, name):
        put(layer.kernel, f"{name}.weight", np.transpose)
        put(layer.bias, f"{name}.bias")

    def norm(layer, name):
        put(layer.gamma, f"{name}.weight")
        put(layer.beta, f"{name}.bias")

    def stack(layer, name):
        for i, block in enumerate(layer.blocks):
            at = f"{name}.{i}"
            for part in ("query", "key", "value"):
                dense(
                    getattr(block.mixer, part),
                    f"{at}.attention.attention.{part}",
                )
            dense(block.mixer.output_dense, f"{at}.attention.output.dense")
            dense(block.dense_1, f"{at}.intermediate.dense")
            dense(block.dense_2, f"{at}.output.dense")
            norm(block.norm_1, f"{at}.layernorm_before")
            norm(block.norm_2, f"{at}.layernorm_after")

    def kernel(x):  # (D, C, h, w) -> (h * w * C, D)
        return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])

    encoder, at = model.encoder, "vit.embeddings"
    projection = f"{at}.patch_embeddings.projection"
    put(encoder.embedding.projection.kernel, f"{projection}.weight", kernel)
    put(encoder.embedding.projection.bias, f"{projection}.bias")
    put(encoder.embedding.class_token, f"{at}.cls_token")
    put(
        encoder.position_embedding.table,
        f"{at}.position_embeddings",
        lambda x: x[0],
    )
    stack(encoder.encoder, "vit.encoder.layer")
    norm(encoder.encoder.norm, "vit.layernorm")
    dense(model.decoder_embedding, "decoder.decoder_embed")
    put(model.mask_token, "decoder.mask_token")
    put(
        model.decoder_positions.table,
        "decoder.decoder_pos_embed",
        lambda x: x[0],
    )
    stack(model.decoder, "decoder.decoder_layers")
    norm(model.decoder.norm, "decoder.decoder_norm")
    dense(model.prediction, "decoder.decoder_pred")
    return pairs


def load_stack(layer, arrays, prefix, final):
    """Weights spelled as in the layer fixtures into a `TransformerStack`.

    Args:
        layer: built `TransformerStack`.
        arrays: dict of arrays, kernels (in, out).
        prefix: "" or "enc_".
        final: name of the final norm, "lnf" as a rule.
    """
    for i, block in enumerate(layer.blocks):
        at = f"w/{prefix}l{i}_"
        for part, mine in {
            "q": block.mixer.query,
            "k": block.mixer.key,
            "v": block.mixer.value,
            "o": block.mixer.output_dense,
            "fc1": block.dense_1,
            "fc2": block.dense_2,
        }.items():
            load_dense(mine, arrays, at + part)
        load_norm(block.norm_1, arrays, at + "ln1")
        load_norm(block.norm_2, arrays, at + "ln2")
    load_norm(layer.norm, arrays, f"w/{prefix}{final}")


def load_dense(layer, arrays, name):
    """`name_kernel`, `name_bias` into a Dense layer."""
    layer.kernel.assign(arrays[f"{name}_kernel"])
    layer.bias.assign(arrays[f"{name}_bias"])


def load_norm(layer, arrays, name):
    """`name_gain`, `name_bias` into a LayerNormalization."""
    layer.gamma.assign(arrays[f"{name}_gain"])
    layer.beta.assign(arrays[f"{name}_bias"])
