import math

from keras import ops

from pixmodels import random
from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE
from pixmodels.layers._masked_softmax import masked_softmax

# As the reference; also the least share of real tokens that a slot may have.
_EPSILON = 1e-6


@MIXERS.register("sinkhorn")
class SinkhornAttention(Mixer):
    """Attention to the own block and to one that a learned sort brings.

    Means of the queries and of the keys of each block give scores between
    blocks, `log(relu(q . k / sqrt(E)) + 1e-6)`; Gumbel noise is added in
    training, the sum is divided by `temperature`, and rows and columns are
    normalised in turn, so that the exponentials come near a permutation S.
    Block b then attends with one softmax to `sum_b' S_bb' K_b'` and to its own
    keys.

    Source: Tay et al. 2020, "Sparse Sinkhorn Attention", sections 3.1 to 3.3;
    numbers as sinkhorn-transformer 0.11.4, with its sort by queries and keys
    (0.11.4 itself overwrites the sorted values by the keys). Where we differ:
    padding is not part of the means, blocks of padding alone take no part in
    the sort, and a slot of the sorted block counts for as much as S brings
    real tokens to it (there, padding is part of the means). Long-Range Arena's
    form adds up the permutation, so that it has no effect, and cuts strided
    blocks. Queries of a block may see any other block, and each column of S is
    normalised over all of them: there is no causal form.

    Args:
        num_heads: A.
        block: w, tokens in a block.
        temperature: T; the smaller, the nearer S is to a permutation.
        iterations: normalisations of columns and rows.
        noise: whether there is Gumbel noise in training. It is a function of
            step and example, and there is none outside of
            `pixmodels.random.key_scope`.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, blocks go by position, for which `grid`
        must be given. Tokens of the prefix attend to everything, and
        everything attends to them.

    Raises:
        ValueError: for sizes or counts below 1, a temperature that is not
            above 0, `causal`, a length that is not static, or `positions`
            without a `grid`.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("sinkhorn")
        >>> mixer = cls(num_heads=2, block=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    complexity = "O(N w + N^2 / w)"
    any_length = False
    small_options = {"block": 3, "iterations": 3}

    def __init__(
        self,
        num_heads,
        *,
        block=64,
        temperature=0.75,
        iterations=7,
        noise=True,
        **kwargs,
    ):
        if kwargs.get("causal"):
            raise ValueError(
                "Expected causal=False: the sort is normalised over all "
                "blocks, later ones too. Received: "
                f"causal={kwargs['causal']}."
            )
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(block=block, iterations=iterations)
        if not temperature > 0:
            raise ValueError(
                f"Expected temperature > 0. Received: "
                f"temperature={temperature}."
            )
        self.block = block
        self.temperature = temperature
        self.iterations = iterations
        self.noise = noise

    def mix(self, x, mask, positions, prefix, state, training, grid):
        parts = [part(x) for part in (self.query, self.key, self.value)]
        mixed = self._mixed(parts, mask, positions, prefix, training, grid)
        return self.output_dense(self.merge_heads(mixed))

    def _mixed(self, parts, mask, positions, prefix, training, grid):
        """All tokens.

        Args:
            parts: queries and keys (B, N, A E), values (B, N, A F).
            Others: as `mix`.

        Returns:
            (B, A, N, F).
        """
        real = None if mask is None else mask[:, prefix:]
        tokens = [part[:, prefix:] for part in parts]
        if positions is not None:
            tokens, real = _placed(tokens, real, positions, grid)
        parts = [self._heads(part) for part in parts]
        front = [part[:, :, :prefix] for part in parts]
        tokens = [self._heads(part) for part in tokens]
        mixed = self._attended(tokens, front, real, mask, prefix, training)
        if positions is not None:
            places = ops.cast(positions, "int32")[:, None, :, None]
            mixed = ops.take_along_axis(mixed, places, axis=2)
        if prefix:
            allowed = _blocks.full_mask(mask, parts[0], False, prefix)
            first = self.attend(front[0], *parts[1:], allowed, training)
            mixed = ops.concatenate([first, mixed], axis=2)
        return mixed

    def _heads(self, x):
        """(B, N, A F) -> (B, A, N, F)."""
        size = x.shape[-1] // self.num_heads
        x = ops.reshape(x, (-1, x.shape[1], self.num_heads, size))
        return ops.transpose(x, (0, 2, 1, 3))

    def _attended(self, tokens, front, real, mask, prefix, training):
        """The tokens after the prefix.

        Args:
            tokens: queries, keys and values (B, A, L, E), by position.
            front: those of the prefix, (B, A, prefix, E).
            real: (B, L) bool or None.
            mask: of the call, prefix included.
            prefix: int.
            training: bool.

        Returns:
            (B, A, L, F), F being the size of the values.
        """
        length, size = _blocks.static_length(tokens[0], 2), self.block
        if real is None:
            real = ops.ones((1, length), dtype="bool")
        real = _blocks.split(real, 1, size)[:, None]  # (B or 1, 1, n, w)
        query, key, value = (_blocks.split(part, 2, size) for part in tokens)
        sort = self._sort(query, key, real, training)
        share, far_key, far_value = self._sorted(sort, key, value, real)
        own = ops.where(real, ops.zeros_like(share), NEGATIVE)
        bias = ops.concatenate([share, own], axis=-1)  # (B, A, n, 2 w)
        key = ops.concatenate([far_key, key], axis=3)
        value = ops.concatenate([far_value, value], axis=3)
        if prefix:
            key = _blocks.prepend(front[1], key)
            value = _blocks.prepend(front[2], value)
            first = ops.zeros_like(bias[..., :1])
            first = ops.repeat(first, prefix, axis=-1)
            if mask is not None:
                seen = mask[:, None, None, :prefix]
                first = ops.where(seen, first, NEGATIVE)
            bias = ops.concatenate([first, bias], axis=-1)
        query = query * self._head_dim**-0.5
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2))
        logits = at_least_float32(logits) + bias[..., None, :]
        weights = ops.cast(masked_softmax(logits), self.compute_dtype)
        mixed = ops.matmul(self.dropout(weights, training=training), value)
        shape = (-1, self.num_heads, mixed.shape[2] * size, mixed.shape[-1])
        return ops.reshape(mixed, shape)[:, :, :length]

    def _sort(self, query, key, real, training):
        """S, from block to block: (B, A, n, n) float32, rows are queries.

        Args:
            query, key: (B, A, n, w, E).
            real: (B or 1, 1, n, w) bool.
            training: bool.
        """
        near, far = _means(query, real), _means(key, real)
        near = near * self._head_dim**-0.5
        scores = ops.relu(ops.matmul(near, ops.swapaxes(far, -1, -2)))
        scores = ops.log(scores + _EPSILON)
        noise = self._noise(scores.shape[-1], training)
        if noise is not None:
            scores = scores + ops.cast(noise, scores.dtype)
        scores = scores / self.temperature
        used = ops.any(real, axis=-1)  # (B or 1, 1, n)
        used = used[..., :, None] & used[..., None, :]
        for _ in range(self.iterations):
            for axis in (-1, -2):
                scores = ops.where(used, scores, NEGATIVE)
                scores = scores - ops.logsumexp(scores, axis, keepdims=True)
        return ops.where(used, ops.exp(scores), 0.0)

    def _noise(self, count, training):
        """Gumbel noise (B, A, n, n) float32, or None where there is none."""
        if not (training and self.noise and random.in_key_scope()):
            return None
        shape = (self.num_heads, count, count)
        salt = random.salt_of(f"{self.salt}/sort")
        drawn = random.uniform(salt, math.prod(shape))
        # Multiples of 2**-24 that begin at 0: half of one more, not to be 0.
        noise = -ops.log(-ops.log(drawn + 2.0**-25))
        return ops.reshape(noise, (-1, *shape))

    def _sorted(self, sort, key, value, real):
        """What S brings to each block.

        Args:
            sort: (B, A, n, n).
            key, value: (B, A, n, w, E).
            real: (B or 1, 1, n, w) bool.

        Returns:
            (B, A, n, w) float32, the logarithm of the share of real tokens in
            each slot, and keys and values as `key`, means of the real ones.
        """
        real = ops.cast(real, sort.dtype)
        total = ops.sum(sort, axis=-1, keepdims=True)
        share = ops.matmul(sort, real) / ops.maximum(total, _EPSILON)
        there = share > _EPSILON
        share = ops.where(there, share, 1.0)
        found = [ops.where(there, ops.log(share), NEGATIVE)]
        for part in (key, value):
            wide = ops.cast(part, sort.dtype) * real[..., None]
            flat = (-1, *part.shape[1:3], part.shape[3] * part.shape[4])
            brought = ops.matmul(sort, ops.reshape(wide, flat))
            brought = ops.reshape(brought, (-1, *part.shape[1:]))
            brought = brought / share[..., None]
            found.append(ops.cast(brought, part.dtype))
        return found

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        """As `Mixer`: what a token takes from each other one, by both ways.

        Rows of S add up to 1 only in the limit of many `iterations`; rows of
        the map are divided by their sums.
        """
        length = _blocks.static_length(x)
        x = ops.cast(x, self.compute_dtype)
        # What is mixed of an identity matrix is the matrix that mixes.
        eye = ops.tile(ops.eye(length, dtype=x.dtype), (1, self.num_heads))
        eye = ops.zeros_like(x[:, :, :1]) + eye[None]
        parts = [self.query(x), self.key(x), eye]
        mask = None if mask is None else ops.cast(mask, "bool")
        found = self._mixed(parts, mask, positions, prefix, False, grid)
        found = at_least_float32(found)
        return found / ops.sum(found, axis=-1, keepdims=True)

    def get_config(self):
        config = super().get_config()
        config.update(
            block=self.block,
            temperature=self.temperature,
            iterations=self.iterations,
            noise=self.noise,
        )
        return config


def _means(x, real):
    """Over the real tokens of each block: (B, A, n, E) float32, 0 of none."""
    x = at_least_float32(x)
    weight = ops.cast(real, x.dtype)[..., None]
    count = ops.maximum(ops.sum(weight, axis=3), 1.0)
    return ops.sum(x * weight, axis=3) / count


def _placed(tokens, real, positions, grid):
    """Tokens at their positions in the grid, and which of these have one.

    Args:
        tokens: list of (B, L, D).
        real: (B, L) bool or None.
        positions: (B, L) int32.
        grid: (R, C).

    Returns:
        List of (B, R * C, D), and (B, R * C) bool.
    """
    if grid is None:
        raise ValueError(
            "Expected a grid with positions: it says how many blocks there "
            "are. Received: grid=None."
        )
    places, length = ops.cast(positions, "int32"), grid[0] * grid[1]
    real = ops.ones_like(places) if real is None else ops.cast(real, "int32")
    real = _blocks.scattered(real[..., None], places, length)[..., 0]
    return [_blocks.scattered(x, places, length) for x in tokens], real > 0
