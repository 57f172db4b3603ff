"""Copying, reversing and sorting are learnt, and written by both searches."""

import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import models

SYMBOLS, LONGEST = 8, 8  # tokens 2, ..., 9
TASKS = {
    "copy": lambda row: row,
    "reverse": lambda row: row[::-1],
    "sort": np.sort,
}


def examples(task, count, seed):
    """Rows of 1 to LONGEST symbols, and what is to be written."""
    rng = np.random.default_rng(seed)
    batch = {
        "source": np.zeros((count, LONGEST), "int32"),
        "source_mask": np.zeros((count, LONGEST), bool),
        "target": np.ones((count, LONGEST + 1), "int32"),
        "target_mask": np.zeros((count, LONGEST + 1), bool),
    }
    for i, n in enumerate(rng.integers(1, LONGEST + 1, count)):
        row = rng.integers(2, 2 + SYMBOLS, n)
        batch["source"][i, :n] = row
        batch["source_mask"][i, :n] = True
        batch["target"][i, :n] = TASKS[task](row)
        batch["target_mask"][i, : n + 1] = True
    return batch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "encoder", "decoder"),
    [
        ("copy", "softmax", "softmax"),
        ("reverse", "linear", "sliding_window"),
        ("sort", "softmax", "linear"),
    ],
)
def test_learnt(task, encoder, decoder):
    keras.utils.set_random_seed(3)
    reader = models.TokenEncoder(
        2 + SYMBOLS,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
        scale=True,
        attention=encoder,
    )
    model = models.EncoderDecoder(
        reader,
        vocabulary_size=2 + SYMBOLS,
        num_layers=2,
        num_heads=4,
        mlp_dim=128,
        attention=decoder,
        dropout_rate=0.0,
        max_length=LONGEST + 1,
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        2e-3, 1500, warmup_target=2e-3, warmup_steps=100, alpha=0.02
    )
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
    model.fit(
        examples(task, 64 * 1500, seed=5), batch_size=64, epochs=1, verbose=0
    )
    batch = examples(task, 500, seed=7)
    source, mask = batch["source"], batch["source_mask"]
    wanted = batch["target"]
    greedy = ops.convert_to_numpy(model.greedy(source, mask=mask))
    assert (greedy == wanted).all(axis=1).mean() >= 0.99
    beams, _ = model.beam_search(source, mask=mask, beam_size=3)
    beams = ops.convert_to_numpy(beams)[:, 0]
    assert (beams == wanted).all(axis=1).mean() >= 0.99
