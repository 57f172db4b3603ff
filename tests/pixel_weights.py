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
    loader = _Loader(weights)
    loader.vit(model.encoder)
    loader.dense(model.decoder_embedding, "decoder.decoder_embed")
    loader.put(model.mask_token, "decoder.mask_token")
    loader.put(
        model.decoder_positions.table,
        "decoder.decoder_pos_embed",
        lambda x: x[0],
    )
    loader.stack(model.decoder, "decoder.decoder_layers")
    loader.norm(model.decoder.norm, "decoder.decoder_norm")
    loader.dense(model.prediction, "decoder.decoder_pred")
    return loader.pairs


def load_vit(vit, weights):
    """As `load_pixel`, into a backbone; names begin with "vit."."""
    loader = _Loader(weights)
    loader.vit(vit)
    return loader.pairs


class _Loader:
    """Hugging Face's names on the left, ours on the right."""

    def __init__(self, weights):
        self.weights = weights
        self.pairs = []

    def put(self, variable, name, transform=lambda x: x):
        variable.assign(transform(self.weights[name]))
        if variable.trainable:
            self.pairs.append((name, variable, transform))

    def dense(self, layer, name):
        self.put(layer.kernel, f"{name}.weight", np.transpose)
        if layer.bias is not None:
            self.put(layer.bias, f"{name}.bias")

    def norm(self, layer, name):
        self.put(layer.gamma, f"{name}.weight")
        self.put(layer.beta, f"{name}.bias")

    def stack(self, layer, name):
        for i, block in enumerate(layer.blocks):
            at = f"{name}.{i}"
            for part in ("query", "key", "value"):
                self.dense(
                    getattr(block.mixer, part),
                    f"{at}.attention.attention.{part}",
                )
            self.dense(block.mixer.output_dense, f"{at}.attention.output.dense")
            self.dense(block.dense_1, f"{at}.intermediate.dense")
            self.dense(block.dense_2, f"{at}.output.dense")
            self.norm(block.norm_1, f"{at}.layernorm_before")
            self.norm(block.norm_2, f"{at}.layernorm_after")

    def vit(self, encoder):
        def kernel(x):  # (D, C, h, w) -> (h * w * C, D)
            return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])

        at = "vit.embeddings"
        embedding = encoder.embedding
        projection = f"{at}.patch_embeddings.projection"
        self.put(embedding.projection.kernel, f"{projection}.weight", kernel)
        self.put(embedding.projection.bias, f"{projection}.bias")
        self.put(embedding.class_token, f"{at}.cls_token")
        self.put(
            encoder.position_embedding.table,
            f"{at}.position_embeddings",
            lambda x: x[0],
        )
        self.stack(encoder.encoder, "vit.encoder.layer")
        self.norm(encoder.encoder.norm, "vit.layernorm")


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
