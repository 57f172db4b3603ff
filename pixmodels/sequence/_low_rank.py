"""State-space systems that are diagonal plus low rank, in real arithmetic.

Here: their bilinear discretisation, the kernel from its frequencies, blocks
and steps. Not here: where the matrices come from (`s4`, `_hippo`).

A state of M complex numbers x and their conjugates is R = 2 M real ones, real
parts first. `A = diag(L) - P P^*` on both halves is, with q for P in the same
form, the matrix `L - 2 q q^T`: every inverse is a diagonal one and a product
of two vectors."""

import functools

import numpy as np
from keras import ops

from pixmodels.sequence import _convolve
from pixmodels.sequence import _vandermonde
from pixmodels.sequence._blockwise import Way


class LowRank:
    """D systems of M complex states each, K ways through the tokens.

    Args:
        dt: (D, 1), steps.
        a, p, b: pairs (real, imaginary) of (D, M): L, P and B.
        c: pair of (K, D, M); the output is `2 Re(C x)`.
    """

    def __init__(self, dt, a, p, b, c):
        self.dt = dt
        self.a = a
        self.p = p
        self.b = b
        self.c = c
        self._squares = []
        half = 0.5 * dt
        # With h = dt / 2, E = 1 - h L and g = 1 / E:
        #   (1 - h A)^-1 = g - share (g q)(q^T g),
        # share = 2 h / (1 + 2 h q^T g q), and Abar is twice that, less 1.
        one = ops.ones_like(a[0])
        gain = _vandermonde.over(
            (one, 0.0 * one), (1.0 - half * a[0], -half * a[1])
        )
        right = _vandermonde.times(gain, p)
        left = _vandermonde.times((gain[0], -gain[1]), p)
        share = dt / (1.0 + dt * _dot(p, right))
        self._keep = (2.0 * gain[0] - 1.0, 2.0 * gain[1])
        self._right = right
        self._left = left
        self._share = 2.0 * share
        held = _vandermonde.times(gain, b)
        seen = share * _dot(left, b)
        self._enter = tuple(
            dt * (x - seen * y) for x, y in zip(held, right)
        )  # Bbar

    def _through(self, state):
        """Abar times a pair of (..., D, M)."""
        kept = _vandermonde.times(self._keep, state)
        seen = self._share * _dot(self._left, state)
        return tuple(x - seen * y for x, y in zip(kept, self._right))

    # --- The kernel from its frequencies ------------------------------------

    def kernel(self, length):
        """(K, D, L), for long ones.

        The generating function at the roots of unity, of the kernel cut off
        after L taps, which replaces C by `C (1 - Abar^L)`. Source: Gu et al.
        2022 (S4), algorithm 1. With s and t, the sine and cosine of half of a
        root's angle, the factors that are infinite at -1 cancel, and the sums
        over a pair of conjugates are
        `(2 i s alpha - t beta) / (t^2 |dt L|^2 - 4 s^2 - 4 i s t Re(dt L))`
        with real alpha and beta.
        """
        size = _convolve.fast_size(length)
        angle = np.pi * np.arange(size // 2 + 1) / size
        s, t = np.sin(angle), np.cos(angle)
        constant = functools.partial(
            ops.convert_to_tensor, dtype=self.a[0].dtype
        )
        step = tuple(self.dt * part for part in self.a)
        square = step[0] ** 2 + step[1] ** 2
        real = square[..., None] * constant(t * t) - constant(4 * s * s)
        imaginary = step[0][..., None] * constant(-4 * s * t)
        share = 1.0 / (real * real + imaginary * imaginary)  # (D, M, F)
        inverse = ops.concatenate(
            [real * share, -imaginary * share], axis=-1
        )  # (D, M, 2 F)
        sums = self._sums(self._cut(size), step, inverse, constant, s, t)
        bc, pc, bq, pq = sums
        # r_BC - t r_BQ r_PC / (1 + t r_PQ)
        t = constant(t)
        below = (1.0 + t * pq[0], t * pq[1])
        other = _vandermonde.over(_vandermonde.times(bq, pc), below)
        found = tuple(x - t * y for x, y in zip(bc, other))
        turn = (constant(np.cos(angle)), constant(np.sin(angle)))
        found = _vandermonde.times(turn, found)
        return ops.irfft(found, fft_length=size)[..., :length]

    def _sums(self, c, step, inverse, constant, s, t):
        """The sums over states for B C, P C, B Q and P Q: pairs (?, D, F)."""
        q = tuple(part[None] for part in (self.p[0], -self.p[1]))
        products = [
            _vandermonde.times(x, y) for y in (c, q) for x in (self.b, self.p)
        ]
        count = c[0].shape[0]
        sizes = np.cumsum([count, count, 1])
        product = tuple(
            self.dt * ops.concatenate(parts, axis=0) for parts in zip(*products)
        )  # (2 K + 2, D, M)
        alpha = 2.0 * product[0]
        beta = 2.0 * (product[0] * step[0] + product[1] * step[1])
        weights = ops.concatenate([alpha, beta], axis=0)
        weights = ops.transpose(weights, (1, 0, 2))
        sums = ops.transpose(ops.matmul(weights, inverse), (1, 0, 2))
        points = len(s)
        (ar, br), (ai, bi) = (
            ops.split(part, 2, axis=0)
            for part in (sums[..., :points], sums[..., points:])
        )
        s, t = constant(2 * s), constant(t)
        real, imaginary = -s * ai - t * br, s * ar - t * bi
        parts = (ops.split(x, list(sizes), axis=0) for x in (real, imaginary))
        return list(zip(*parts))

    def _cut(self, length):
        """`C (1 - Abar^L)`, a pair of (K, D, M)."""
        row = self._rows  # (D, K, R)
        far = row
        for bit in range(length.bit_length()):
            if length >> bit & 1:
                far = ops.matmul(far, self._square(bit))
        row = ops.transpose(row - far, (1, 0, 2))
        half = row.shape[-1] // 2
        return 0.5 * row[..., :half], -0.5 * row[..., half:]

    # --- Blocks -------------------------------------------------------------

    @functools.cached_property
    def _rows(self):
        """(D, K, R): times a real state it is `2 Re(C x)`."""
        rows = ops.concatenate([2.0 * self.c[0], -2.0 * self.c[1]], axis=-1)
        return ops.transpose(rows, (1, 0, 2))

    @functools.cached_property
    def _matrix(self):
        """Abar, (D, R, R)."""
        real, imaginary = (
            part[..., None] * ops.eye(part.shape[-1], dtype=part.dtype)
            for part in self._keep
        )
        top = ops.concatenate([real, -imaginary], axis=2)
        matrix = ops.concatenate(
            [top, ops.concatenate([imaginary, real], axis=2)], axis=1
        )
        right = ops.concatenate(self._right, axis=-1) * self._share
        left = ops.concatenate(self._left, axis=-1)
        return matrix - right[..., :, None] * left[..., None, :]

    def _square(self, bit):
        """Abar to the power of 2**bit."""
        if not self._squares:
            self._squares.append(self._matrix)
        while len(self._squares) <= bit:
            half = self._squares[-1]
            self._squares.append(ops.matmul(half, half))
        return self._squares[bit]

    def _doubled(self, rows, turned, count):
        """Rows (D, K, R) times the powers 0, ..., count - 1: (D, K, count, R).

        With the transposed matrix for columns.
        """
        rows = rows[:, :, None]
        for bit in range(max(0, count - 1).bit_length()):
            matrix = self._square(bit)
            matrix = ops.swapaxes(matrix, 1, 2) if turned else matrix
            more = ops.matmul(rows, matrix[:, None])
            rows = ops.concatenate([rows, more], axis=2)
        return rows[:, :, :count]

    def _reached(self, count):
        """`Abar^j Bbar`, j < count: (D, count, R)."""
        column = ops.concatenate(self._enter, axis=-1)[:, None]
        return self._doubled(column, True, count)[:, 0]

    def taps(self, size):
        """(K, D, size), for short ones: states, one after another."""
        taps = ops.matmul(self._rows, ops.swapaxes(self._reached(size), 1, 2))
        return ops.transpose(taps, (1, 0, 2))

    def ways(self, size):
        """A `Way` for each of K, blocks of `size` tokens."""
        reached = self._reached(size)
        outputs = self._doubled(self._rows, False, size + 1)
        found = []
        for way in range(self._rows.shape[1]):
            backward = way == 1
            enter = reached if backward else ops.flip(reached, axis=1)
            leave = outputs[:, way]  # (D, size + 1, R)
            if backward:
                leave = ops.flip(leave[:, :size], axis=1)
            else:
                leave = leave[:, 1:]
            leave = ops.swapaxes(leave, 1, 2)
            found.append(Way(enter, leave, self._turn(size), backward))
        return found

    def _turn(self, size):
        @functools.cache
        def power(count):
            bits = [b for b in range(count.bit_length()) if count >> b & 1]
            matrix = self._square(bits[0])
            for bit in bits[1:]:
                matrix = ops.matmul(matrix, self._square(bit))
            return ops.swapaxes(matrix, 1, 2)[:, None]

        return lambda states, count: ops.matmul(states, power(size * count))

    # --- Steps --------------------------------------------------------------

    def state(self, batch_size):
        """Before the first token: {"real", "imag"}, each (B, D, M)."""
        shape = (batch_size, *self.a[0].shape)
        zeros = ops.zeros(shape, dtype=self.a[0].dtype)
        return {"real": zeros, "imag": zeros}

    def step(self, u, state, way=0):
        """As `Diagonal.step`."""
        before = (state["real"], state["imag"])
        after = tuple(
            x + y * u[..., None]
            for x, y in zip(self._through(before), self._enter)
        )
        a, b = before if way else after
        y = 2.0 * ops.sum(self.c[0][way] * a - self.c[1][way] * b, axis=-1)
        return y, {"real": after[0], "imag": after[1]}


def _dot(a, b):
    """Real product of complex vectors as real ones: (..., M) -> (..., 1)."""
    return ops.sum(a[0] * b[0] + a[1] * b[1], axis=-1, keepdims=True)
