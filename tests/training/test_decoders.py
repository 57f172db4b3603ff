"""Decoders of tokens and of patches under the trainer."""

import keras
import numpy as np
import toys

from pixmodels.layers import TransformerStack
from pixmodels.models import PatchDecoder
from pixmodels.models import TokenDecoder
from pixmodels.training import Trainer


class Rows:
    """Rows of ints with a pattern, under the key of a decoder's batch."""

    lengths = None

    def __init__(self, key, shape, levels):
        size = int(np.prod(shape))
        start = np.arange(13)[:, None]
        rows = (start + np.arange(size)) % levels
        self.rows = rows.reshape(13, *shape)
        self.key = key

    def __len__(self):
        return len(self.rows)

    def get_batch(self, indices, length, seed, epoch):
        dtype = "int32" if self.key == "tokens" else "uint8"
        return {
            self.key: self.rows[indices].astype(dtype),
            "weight": (indices >= 0).astype("float32"),
            "example_id": indices.astype("int32"),
        }


def stack():
    keras.utils.set_random_seed(3)
    return TransformerStack(
        1, 2, 11, attention="linear", attention_options={"causal": True}
    )


def tokens():
    return TokenDecoder(stack(), vocabulary_size=5, hidden_dim=8)


def patches():
    return PatchDecoder(
        stack(), (2, 6, 1), 2, hidden_dim=8, levels=5, components=2
    )


def test_trained_and_evaluated(tmp_path):
    for make, source, name in (
        (tokens, Rows("tokens", (7,), 5), "bits_per_token"),
        (patches, Rows("pixels", (2, 6), 5), "bits_per_dim"),
    ):
        config = toys.config(steps=6, learning_rate=0.01, jit_compile=False)
        trainer = Trainer(
            make, source, config, tmp_path / name, progress=toys.QuietProgress()
        )
        before = trainer.evaluate(source)
        trainer.train()
        after = trainer.evaluate(source)
        assert after["loss"] < before["loss"]
        np.testing.assert_allclose(
            after[name], after["loss"] / np.log(2), rtol=1e-5
        )
        batch = source.get_batch(np.arange(13), None, 0, 0)
        sums, counts = trainer.model.loss_sums(batch, [0, 0], training=False)
        expected = float(sums["loss"]) / float(counts["loss"])
        np.testing.assert_allclose(after["loss"], expected, rtol=1e-5)
