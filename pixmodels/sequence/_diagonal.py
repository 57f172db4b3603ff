"""Diagonal state-space systems: kernel, blocks and steps of the same numbers.

Here: `s_t = z s_(t-1) + u_t`, `y_t = Re sum_n w_n s_tn` in real arithmetic.
Not here: how z and w come from weights (the layers)."""

import functools

import numpy as np
from keras import ops

from pixmodels.sequence import _vandermonde
from pixmodels.sequence._blockwise import Way


class Diagonal:
    """D systems of M complex states each, K ways through the tokens.

    Args:
        rate, angle: (D, M), of `z = exp(-rate + i angle)`; the angle may be
            the pair that `_vandermonde.turning` gives.
        weight: pair (real, imaginary), each (K, D, M); the second way goes
            from the last token to the first and does not count the token that
            it has come to.
        later: None, or which states grow, (M,) bool, and a count T: the
            weights of these are `w z^-T`. The kernel never holds a power of
            theirs alone, which may be infinite.
    """

    def __init__(self, rate, angle, weight, later=None):
        self.rate = rate
        self.angle = angle
        self.weight = weight
        self.later = later

    def kernel(self, length):
        """(K, D, L)."""
        return _vandermonde.kernel(
            self.weight, self.rate, self.angle, length, self.later
        )

    taps = kernel  # of short ones, where there may be a quicker form.

    def ways(self, size):
        """A `Way` for each of K, blocks of `size` tokens; R is 2 M."""
        real, imaginary = self._powers(np.arange(size + 1))  # (D, M, size + 1)
        found = []
        for way in range(self.weight[0].shape[0]):
            backward = way == 1
            enter = ops.concatenate([real, imaginary], axis=1)[..., :size]
            enter = enter if backward else ops.flip(enter, axis=-1)
            weight = tuple(part[way][..., None] for part in self._weight)
            a, b = _vandermonde.times(weight, (real, imaginary))
            leave = ops.concatenate([a, -b], axis=1)
            if backward:
                leave = ops.flip(leave[..., :size], axis=-1)
            else:
                leave = leave[..., 1:]
            enter = ops.swapaxes(enter, 1, 2)
            found.append(Way(enter, leave, self._turn(size), backward))
        return found

    def _turn(self, size):
        @functools.cache
        def power(count):
            parts = self._powers(np.array([size * count]))  # (D, M, 1)
            return tuple(part[:, None, None, :, 0] for part in parts)

        def turn(states, count):
            half = states.shape[-1] // 2
            parts = (states[..., :half], states[..., half:])
            return ops.concatenate(
                _vandermonde.times(power(count), parts), axis=-1
            )

        return turn

    def _powers(self, steps):
        return _vandermonde.powers(self.rate, self.angle, steps)

    @functools.cached_property
    def _weight(self):
        """`weight` as it is used with states: pair of (K, D, M)."""
        if self.later is None:
            return self.weight
        grows, count = self.later
        rate = ops.where(grows, self.rate, 0.0)
        parts = _vandermonde.powers(rate, self.angle, np.array([-count]))
        parts = _vandermonde.times(
            self.weight, tuple(part[..., 0] for part in parts)
        )
        return tuple(ops.where(grows, x, y) for x, y in zip(parts, self.weight))

    @functools.cached_property
    def _z(self):
        return tuple(part[..., 0] for part in self._powers(np.ones(1, int)))

    def state(self, batch_size):
        """Before the first token: {"real", "imag"}, each (B, D, M)."""
        # Not first inside of a loop over tokens.
        assert self._z
        assert self._weight
        shape = (batch_size, *self.rate.shape)
        zeros = ops.zeros(shape, dtype=self.rate.dtype)
        return {"real": zeros, "imag": zeros}

    def step(self, u, state, way=0):
        """One token of the first way; of the second, its sum so far.

        Args:
            u: (B, D).
            state: as `state`.
            way: 0, or 1 for the second with tokens in reverse order.

        Returns:
            (y (B, D), state). y counts u with the first way only.
        """
        before = (state["real"], state["imag"])
        real, imaginary = _vandermonde.times(self._z, before)
        after = (real + u[..., None], imaginary)
        a, b = before if way else after
        weight = tuple(part[way] for part in self._weight)
        y = ops.sum(weight[0] * a - weight[1] * b, axis=-1)
        return y, {"real": after[0], "imag": after[1]}
