import numpy as np
import pytest

from pixmodels import sequence
from pixmodels.layers import TransformerStack
from pixmodels.sequence import settings

# Weights of the paper's block, by hand: averages 4 x 2 D x 16 + D; values
# (D + 1) v; gates (D + 1) (2 D + z + v); h (v + 1) D; gains and shifts 4 z;
# distances 2 M - 1; network (D + 1) F + (F + 1) D; two norms of n weights.
MEGA = {
    "mega_chunk_listops": (80, 160, 64, 160, 128, 2 * 80),
    "mega_text": (128, 256, 64, 256, 4000, 1),
    "mega_chunk_image": (160, 320, 96, 320, 128, 2 * 160),
    "mega_chunk_pathx": (64, 128, 32, 128, 4096, 2 * 64),
}


@pytest.mark.parametrize("name", MEGA)
def test_weights_of_a_block(name):
    width, mlp, z, v, reach, norm = MEGA[name]
    block = sequence.MegaBlock(**settings.get(name)["block"])
    block.build((None, 13, width))
    expected = 4 * 2 * width * 16 + width + (width + 1) * v
    expected += (width + 1) * (2 * width + z + v) + (v + 1) * width
    expected += 4 * z + 2 * reach - 1 + 2 * norm
    expected += (width + 1) * mlp + (mlp + 1) * width
    found = sum(np.prod(weight.shape) for weight in block.trainable_weights)
    assert found == expected


@pytest.mark.parametrize("name", settings.names())
def test_encoders_take_them(name):
    encoder = settings.get(name)["encoder"]
    sizes = {"num_layers": 1, "num_heads": 1, "mlp_dim": 7, **encoder}
    width = sizes.pop("hidden_dim", 12)
    stack = TransformerStack(**{**sizes, "num_layers": 1})
    stack.build((None, 13, width))
    assert stack.blocks[0].mixer.get_config()["dtype"]


def test_settings_are_copies_and_unknown_names_refused():
    settings.get("mega_text")["encoder"]["attention_options"]["chunk"] = 3
    found = settings.get("mega_text")["encoder"]["attention_options"]
    assert "chunk" not in found
    with pytest.raises(ValueError, match="Did you mean 'mega_text'"):
        settings.get("mega_texts")
