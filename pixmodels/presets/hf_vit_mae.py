"""Hugging Face ViTMAE: names, layouts and config.

Here: the table of the decoder, `decoder.decoder_layers.` as on disk (5.x
writes `decoder.decoder_encoder.layer.`, which `hf_vit.canonical` turns into
it). The encoder is that of `hf_vit`."""

from pixmodels.presets import hf_vit
from pixmodels.presets._plan import Outer
from pixmodels.presets._plan import Plan
from pixmodels.presets._table import ROWS
from pixmodels.presets._table import SAME
from pixmodels.presets._table import Entry
from pixmodels.presets._table import norm

MODEL_TYPE = "vit_mae"


def decoder_entries(config):
    """Entries of the decoder, for a `MaskedAutoencoder`."""
    entries = [
        Entry("decoder.mask_token", "mask_token", SAME),
        Entry("decoder.decoder_pos_embed", "decoder_positions.table", ROWS),
    ]
    entries += hf_vit.dense("decoder.decoder_embed", "decoder_embedding")
    entries += hf_vit.block_entries(
        config["decoder_num_hidden_layers"],
        "decoder.decoder_layers",
        "decoder.blocks",
    )
    entries += norm("decoder.decoder_norm.", "decoder.norm")
    return entries + hf_vit.dense("decoder.decoder_pred", "prediction")


def autoencoder(config, epsilon, norm_pix_loss):
    """The `Outer` of a masked autoencoder from a `config.json`.

    Args:
        config: dict.
        epsilon: of the decoder's last LayerNorm.
        norm_pix_loss: where the config does not say.
    """
    options = {
        "decoder_num_layers": config["decoder_num_hidden_layers"],
        "decoder_num_heads": config["decoder_num_attention_heads"],
        "decoder_hidden_dim": config["decoder_hidden_size"],
        "decoder_mlp_dim": config["decoder_intermediate_size"],
        "mask_ratio": config["mask_ratio"],
        "norm_pix_loss": config.get("norm_pix_loss", norm_pix_loss),
        "decoder_norm_epsilon": epsilon,
    }
    return Outer(
        "masked_autoencoder", "encoder", options, decoder_entries(config)
    )


def has_decoder(tensors):
    """Whether a file in the table's spelling holds a decoder."""
    return any(name.startswith("decoder.decoder_") for name in tensors)


def plan(config, tensors):
    """What a folder with `model_type` "vit_mae" holds: `Plan`."""
    tensors = tensors.renamed(hf_vit.canonical)
    options = hf_vit.backbone_options(config)
    outer = None
    if has_decoder(tensors):
        config = {
            "decoder_num_hidden_layers": 8,
            "decoder_num_attention_heads": 16,
            "decoder_hidden_size": 512,
            "decoder_intermediate_size": 2048,
            "mask_ratio": 0.75,
            **config,
        }
        outer = autoencoder(config, options["layer_norm_epsilon"], False)
    return Plan(
        "vit",
        {**options, "positions": "sincos"},
        hf_vit.encoder_entries(config),
        tensors,
        outer=outer,
    )
