import numpy as np
import pytest

import pixmodels
from pixmodels.models import sizes

# Encoder without a head at 224 x 224 x 3; and the millions that the papers
# print: Dosovitskiy et al. 2021, table 1 (B, L, H, rounded and with heads),
# Touvron et al. 2021, table 1 (Ti, S).
PARAMETERS = {
    "ti16": (5_524_416, 5),
    "s16": (21_665_664, 22),
    "b16": (85_798_656, 86),
    "b32": (87_455_232, 88),
    "l16": (303_301_632, 307),
    "h14": (630_764_800, 632),
}


def _parameters(name, **options):
    """Counts the largest without holding them: blocks are all alike."""
    layers = sizes.SIZES[name]["num_layers"]
    one, two = (
        pixmodels.ViTBackbone.from_size(
            name, num_layers=n, **options
        ).count_params()
        for n in (1, 2)
    )
    return one + (layers - 1) * (two - one)


@pytest.mark.parametrize("name", ["ti16", "s16", "b16", "b32"])
def test_parameters_of_the_papers(name):
    exact, millions = PARAMETERS[name]
    assert _parameters(name) == exact
    assert abs(exact / 1e6 - millions) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l16", "h14"])
def test_parameters_of_the_papers_large(name):
    exact, millions = PARAMETERS[name]
    assert _parameters(name) == exact
    # The paper's count for L and H includes more than the encoder.
    assert abs(exact / 1e6 / millions - 1) < 0.013


def test_closed_form_of_every_size():
    """Embeddings, blocks and the final norm, counted by hand."""
    for name, (exact, _) in PARAMETERS.items():
        size = sizes.SIZES[name]
        d, patch = size["hidden_dim"], size["patch_size"]
        patches = (224 // patch) ** 2
        front = (patch * patch * 3 + 1) * d + d + (1 + patches) * d
        block = 4 * d * d + 4 * d + 2 * 4 * d * d + 5 * d + 4 * d
        assert front + size["num_layers"] * block + 2 * d == exact, name
        assert size["mlp_dim"] == 4 * d


def test_mae_decoder_is_that_of_the_paper():
    # MAE-B's total as models_mae.py has it: 111,907,840.
    encoder = pixmodels.ViTBackbone.from_size(
        "b16", num_layers=1, positions="sincos"
    )
    model = pixmodels.MaskedAutoencoder(
        encoder, decoder_norm_epsilon=1e-6, **sizes.MAE_DECODER
    )
    blocks = 11 * (12 * 768 * 768 + 13 * 768)
    assert model.count_params() + blocks == 111_907_840


def test_names():
    for name in ("b16", "B/16", "ViT-B/16", "vit_b_16", "vitb16"):
        assert sizes.size(name) == sizes.SIZES["b16"]
    with pytest.raises(ValueError, match="Did you mean 'b16'"):
        sizes.size("b17")


def test_overrides():
    vit = pixmodels.ViTBackbone.from_size(
        "Ti/16", (32, 48, 1), num_layers=1, patch_size=8, num_registers=2
    )
    assert vit.grid == (4, 6)
    assert vit(np.zeros((1, 32, 48, 1), "float32")).shape == (1, 27, 192)
