"""A masked autoencoder of a few patches, for tests of equal results."""

import numpy as np

import pixmodels

LENGTH = 7
SIZE = 23


class Source:
    """23 rows of 7 patches of 2 x 2 random pixels; texts of 3 to 7 patches."""

    lengths = None

    def __init__(self, size=SIZE):
        rng = np.random.default_rng(5)
        shape = (size, 2, 2 * LENGTH)
        self.pixels = rng.integers(0, 256, shape).astype("uint8")
        self.num_patches = rng.integers(2, LENGTH, size).astype("int32")

    def __len__(self):
        return len(self.pixels)

    def get_batch(self, indices, length, seed, epoch):
        return {
            "pixels": self.pixels[indices],
            "num_patches": self.num_patches[indices],
            "weight": (indices >= 0).astype("float32"),
            "example_id": indices.astype("int32"),
        }


def make(rate=0.3, num_layers=1):
    """Masks drawn in the step, dropout everywhere that PIXEL has it."""
    encoder = pixmodels.PIXELBackbone(
        (2, 2 * LENGTH, 1),
        2,
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=10,
        mlp_dim=13,
        dropout_rate=rate,
        attention_dropout=rate,
        positions="learned",
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=4,
        decoder_mlp_dim=11,
        mask_ratio=0.4,
    )
