"""Distributions of the pixel values of a patch, given what came before.

Here: the discretised mixture of logistics and the categorical one, their
nats and their draws. Not here: the model that gives their parameters."""

import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.models import _sampling

KINDS = ("logistic", "categorical")
# PixelCNN++ keeps scales above exp(-7).
_LEAST = -7.0


class LogisticMixture:
    """K patches of logistic values, one of which is drawn whole.

    Args:
        values: P, of a patch.
        levels: values are 0, ..., levels - 1.
        components: K.
    """

    def __init__(self, values, levels, components):
        self.values = values
        self.levels = levels
        self.components = components

    @property
    def size(self):
        """Parameters of a patch, int."""
        return self.components * (1 + 2 * self.values)

    def initial(self):
        """Where parameters begin: components spread over the range."""
        means = np.linspace(-0.8, 0.8, self.components)
        means = np.repeat(means[:, None], self.values, axis=1)
        parts = (np.zeros(self.components), means, np.full_like(means, -1.5))
        return np.concatenate([part.ravel() for part in parts])

    def _parts(self, parameters):
        """Logits (..., K), means and logarithms of scales (..., K, P)."""
        x = at_least_float32(parameters)
        count = self.components
        shape = (*ops.shape(x)[:-1], count, self.values)
        rest = count * self.values
        means = ops.reshape(x[..., count : count + rest], shape)
        scales = ops.reshape(x[..., count + rest :], shape)
        return x[..., :count], means, ops.maximum(scales, _LEAST)

    def nats(self, parameters, values):
        """-log p of patches.

        Args:
            parameters: (..., size).
            values: (..., P) ints.

        Returns:
            (...,) float32.
        """
        logits, means, scales = self._parts(parameters)
        step = 2.0 / (self.levels - 1)
        values = ops.cast(values, means.dtype)[..., None, :]
        place = values * step - 1.0
        inverse = ops.exp(-scales)
        upper = (place + step / 2 - means) * inverse
        lower = (place - step / 2 - means) * inverse
        # log(s(u) - s(l)) = log s(u) + log s(-l) + log(1 - exp(l - u)), exact
        # in both tails; the outer levels have everything beyond them.
        inside = ops.log(-ops.expm1(-step * inverse))
        first = ops.equal(values, 0)
        last = ops.equal(values, self.levels - 1)
        found = ops.where(last, 0.0, ops.log_sigmoid(upper))
        found = found + ops.where(first, 0.0, ops.log_sigmoid(-lower))
        found = found + ops.where(first | last, 0.0, inside)
        whole = ops.sum(found, axis=-1) + ops.log_softmax(logits, axis=-1)
        return -ops.logsumexp(whole, axis=-1)

    def draw(self, parameters, uniform, *, temperature=1.0, top_k=None):
        """A patch: (B, size) to (B, P) int32."""
        logits, means, scales = self._parts(parameters)
        chosen = _sampling.choose(
            logits,
            uniform("component", self.components),
            temperature=temperature,
            top_k=top_k,
        )
        one = ops.one_hot(chosen, self.components, dtype=means.dtype)[..., None]
        mean = ops.sum(means * one, axis=1)
        if temperature:
            noise = uniform("value", self.values)
            noise = ops.log(noise) - ops.log1p(-noise)
            scale = ops.exp(ops.sum(scales * one, axis=1)) * temperature
            mean = mean + scale * noise
        level = ops.round((mean + 1.0) * (self.levels - 1) / 2)
        return ops.cast(ops.clip(level, 0, self.levels - 1), "int32")


class Categorical:
    """Values that are drawn each by itself, any distribution over levels.

    Args:
        values, levels: as `LogisticMixture`.
    """

    def __init__(self, values, levels):
        self.values = values
        self.levels = levels

    @property
    def size(self):
        """Parameters of a patch, int."""
        return self.values * self.levels

    def initial(self):
        """Where parameters begin: all levels alike."""
        return np.zeros(self.size)

    def _logits(self, parameters):
        x = at_least_float32(parameters)
        shape = (*ops.shape(x)[:-1], self.values, self.levels)
        return ops.reshape(x, shape)

    def nats(self, parameters, values):
        """As `LogisticMixture.nats`."""
        logits = self._logits(parameters)
        places = ops.cast(values, "int32")[..., None]
        chosen = ops.take_along_axis(logits, places, axis=-1)[..., 0]
        return ops.sum(ops.logsumexp(logits, axis=-1) - chosen, axis=-1)

    def draw(self, parameters, uniform, **options):
        """As `LogisticMixture.draw`."""
        logits = self._logits(parameters)
        noise = uniform("value", self.size)
        return _sampling.choose(
            logits, ops.reshape(noise, logits.shape), **options
        )


def distribution(kind, values, levels, components):
    """One of `KINDS` for patches of `values` values."""
    if kind == "logistic":
        return LogisticMixture(values, levels, components)
    return Categorical(values, levels)
