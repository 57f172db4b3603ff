"""A tiny masked autoencoder on names as pixels, for the tests of the loop."""

import functools

import pixmodels
from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import CLDRNames
from pixmodels.tasks import RenderedTextSource

BUCKETS = (11,)


def model(rate=0.1):
    """One layer and one; dropout everywhere that PIXEL has it."""
    encoder = pixmodels.PIXELBackbone(
        (16, 16 * BUCKETS[-1], 1),
        num_layers=1,
        num_heads=2,
        hidden_dim=44,
        mlp_dim=67,
        dropout_rate=rate,
        attention_dropout=rate,
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=28,
        decoder_mlp_dim=53,
    )


@functools.cache
def source(split):
    """Greek and Georgian names: 89 to train on, 23 to evaluate on."""
    names = CLDRNames(("el", "ka"))
    if split == "train":
        texts = names.unlabelled[:89]
    else:
        texts = names.texts(split)[:23]
    return RenderedTextSource(texts, CairoRenderer(), masking="span")
