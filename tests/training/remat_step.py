"""One training step, rematerialised or not: `remat_step.py 1|0`."""

import sys

import numpy as np

import pixmodels
from pixmodels.training import TrainConfig
from pixmodels.training.tensorflow_driver import TensorFlowDriver

LENGTH = 397


def model():
    encoder = pixmodels.PIXELBackbone(
        (2, 2 * LENGTH, 1),
        2,
        num_layers=4,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=16,
        decoder_mlp_dim=16,
    )


if __name__ == "__main__":
    count = 11
    batch = {
        "pixels": np.ones((count, 2, 2 * LENGTH), np.uint8),
        "weight": np.ones(count, np.float32),
        "example_id": np.arange(count, dtype=np.int32),
    }
    config = TrainConfig(batch_size=count, remat=sys.argv[1] == "1")
    driver = TensorFlowDriver(model, config, batch)
    print(driver.fetch(driver.train_step(batch, 0))["loss"][0])
