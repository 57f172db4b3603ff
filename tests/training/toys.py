"""A toy model and toy sources for the tests of the step loop."""

import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.layers import Dropout
from pixmodels.random import key_scope
from pixmodels.training import TrainConfig


class ToySource:
    """`size` examples of `width` features; the label is a linear rule."""

    def __init__(self, size=23, width=5, lengths=None):
        rng = np.random.default_rng(7)
        self.x = rng.normal(size=(size, width)).astype("float32")
        self.y = (self.x @ np.arange(1, width + 1) / width).astype("float32")
        self.lengths = lengths

    def __len__(self):
        return len(self.x)

    def get_batch(self, indices, length, seed, epoch):
        real = indices >= 0
        x = np.where(real[:, None], self.x[indices], 0.0).astype("float32")
        if length is not None:
            x = np.repeat(x[:, None], length, 1)
        return {
            "x": x,
            "y": np.where(real, self.y[indices], 0.0).astype("float32"),
            "weight": real.astype("float32"),
            "example_id": indices.astype("int32"),
        }


class ToyModel(keras.Model):
    """A small regression network; dropout by Keras' state or by our counter."""

    def __init__(self, units=7, rate=0.0, counter=False):
        super().__init__()
        self.hidden = keras.layers.Dense(units, activation="tanh")
        self.norm = keras.layers.LayerNormalization()
        self.dropout = (Dropout if counter else keras.layers.Dropout)(rate)
        self.out = keras.layers.Dense(1)

    def call(self, x, training=None):
        if len(x.shape) == 3:
            x = ops.mean(x, axis=1)
        x = self.dropout(self.hidden(x), training=training)
        return self.out(self.norm(x))[:, 0]

    def loss_sums(self, batch, key, training=True):
        with key_scope(key, batch["example_id"]):
            found = at_least_float32(self(batch["x"], training=training))
        error = found - ops.cast(batch["y"], found.dtype)
        weight = ops.cast(batch["weight"], found.dtype)
        loss = ops.sum(weight * ops.square(error))
        close = ops.cast(ops.abs(error) < 0.5, found.dtype)
        count = ops.sum(weight)
        return (
            {"loss": loss, "accuracy": ops.sum(weight * close)},
            {"loss": count, "accuracy": count},
        )


class LinearModel(keras.Model):
    """y = x w + b, for closed-form checks."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(
            1, kernel_initializer="ones", bias_initializer="ones"
        )

    def call(self, x):
        return self.dense(x)[:, 0]

    def loss_sums(self, batch, key, training=True):
        error = self(batch["x"]) - batch["y"]
        loss = ops.sum(batch["weight"] * ops.square(error))
        return {"loss": loss}, {"loss": ops.sum(batch["weight"])}


class QuietProgress:
    """Collects notes instead of showing them."""

    live = False

    def __init__(self):
        self.notes = []
        self.reports = []

    def start(self, done, total):
        pass

    def step(self, done, values, eta):
        pass

    def report(self, done, values, eta):
        self.reports.append((done, values))

    def note(self, text):
        self.notes.append(text)

    def stop(self):
        pass


def config(**settings):
    """A `TrainConfig` for toys; global determinism is left off in-process."""
    values = {
        "steps": 13,
        "batch_size": 6,
        "learning_rate": 0.01,
        "deterministic": False,
        "jit_compile": False,
        "checkpoint_every": 5,
        "log_every": 3,
        "curves": False,
        "picture_every": None,
        "tensorboard": False,
    }
    return TrainConfig(**(values | settings))
