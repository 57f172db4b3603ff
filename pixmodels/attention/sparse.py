import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE
from pixmodels.layers._masked_softmax import masked_softmax

PATTERNS = ("fixed", "strided")


@MIXERS.register("sparse")
class SparseAttention(Mixer):
    """The Sparse Transformer's two patterns, with global prefix tokens.

    With blocks of l positions, position i attends to position j

    - "fixed": when both lie in the same block, `i // l == j // l`, or j is
      one of the last `summary` positions of its block;
    - "strided": when `|i - j| <= l`, or `i - j` is a multiple of l;

    and to every prefix token; prefix tokens attend to everything. The causal
    form has j <= i besides. Every head takes both parts of its pattern in one
    softmax. Only such pairs are computed, whole blocks at a time: with l near
    the root of N, time and memory are O(N sqrt(N)).

    Source: Child et al. 2019, "Generating long sequences with sparse
    transformers", section 4.3 (the merged head of section 5.2, eq. 8). It is
    causal there; the form that is not drops j <= i. Long-Range Arena computes
    the fixed pattern as a mask over all pairs, causal also where a classifier
    reads the first token.

    Args:
        num_heads: A.
        pattern: "fixed" or "strided".
        block: l, positions in a block, or the stride.
        summary: c, positions at the end of each block that every later block
            attends to (the form that is not causal: every block); of the
            fixed pattern alone.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, `grid` says how long the sequence is of
        which they are a part; each is put into its place there, so that the
        cost is that of the whole sequence.

    Raises:
        ValueError: for another pattern, a block below 1, a summary outside
            1 ... block, a length that is not static, or `positions` without
            `grid`.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("sparse")
        >>> mixer = cls(num_heads=2, block=3, summary=1, causal=True)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> mixer.dense_mask(7)[4].astype(int)
        array([0, 0, 1, 1, 1, 0, 0])
    """

    causal = True
    complexity = "O(N sqrt(N))"
    rotary = True
    any_length = False
    small_options = {"block": 3, "summary": 1}

    def __init__(
        self, num_heads, *, pattern="fixed", block=128, summary=8, **kwargs
    ):
        super().__init__(num_heads, **kwargs)
        if pattern not in PATTERNS:
            raise ValueError(
                f"Expected pattern among {PATTERNS}. Received: "
                f"pattern={pattern!r}."
            )
        _checks.check_counts(block=block)
        if not 1 <= summary <= block and pattern == "fixed":
            raise ValueError(
                f"Expected summary between 1 and block={block}. Received: "
                f"summary={summary}."
            )
        self.pattern = pattern
        self.block = block
        self.summary = summary

    def mix(self, x, mask, positions, prefix, state, training, grid):
        if positions is not None and grid is None:
            raise ValueError(
                "Expected grid with positions: blocks go by places in the "
                "whole sequence. Received: grid=None."
            )
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        parts = [part[:, :, prefix:] for part in (query, key, value)]
        real = None if mask is None else mask[:, prefix:]
        if positions is not None:
            slots = _blocks.slots(positions, grid[0] * grid[1])
            parts = [_blocks.placed(part, slots) for part in parts]
            real = _blocks.placed_mask(real, slots)
        front = None
        if prefix:
            first = None if mask is None else mask[:, :prefix]
            front = key[:, :, :prefix], value[:, :, :prefix], first
        mixed = self._blocked(parts, real, front, training)
        if positions is not None:
            mixed = _blocks.taken(mixed, positions)
        if prefix:
            allowed = _blocks.full_mask(mask, query, self.causal, prefix)
            rows = query[:, :, :prefix]
            rows = self.attend(rows, key, value, allowed, training)
            mixed = ops.concatenate([rows, mixed], axis=2)
        return self.output_dense(self.merge_heads(mixed))

    def _blocked(self, parts, real, front, training):
        """A whole sequence without its prefix: (B, A, N, E).

        Args:
            parts: queries, keys, values (B, A, N, E).
            real: (B, N) bool or None.
            front: None, or keys and values (B, A, P, E) of the prefix and
                (B, P) bool or None.
        """
        length = _blocks.static_length(parts[0], 2)
        if not length:
            return parts[2]
        if real is None:
            real = ops.ones((1, length), dtype="bool")
        real = _blocks.split(real, 1, self.block)  # (B or 1, n, l)
        query, key, value = (_blocks.split(x, 2, self.block) for x in parts)
        query = query * ops.cast(self._head_dim**-0.5, query.dtype)
        form = self._fixed if self.pattern == "fixed" else self._strided
        found = form(query, key, value, real)
        if front is not None:
            allowed = None if front[2] is None else front[2][:, None, None]
            found.append(_everywhere(query, front[0], front[1], allowed))
        weights = masked_softmax(
            ops.concatenate([logits for logits, _ in found], axis=-1)
        )
        weights = ops.cast(weights, self.compute_dtype)
        weights = self.dropout(weights, training=training)
        mixed, start = 0, 0
        for logits, apply in found:
            mixed += apply(weights[..., start : start + logits.shape[-1]])
            start += logits.shape[-1]
        return _blocks.joined(mixed, length)

    def _fixed(self, query, key, value, real):
        """Logits (B, A, n, l, keys) and what weighs values, of two parts."""
        count, size = key.shape[2:4]
        inside = real[:, :, None]  # (B or 1, n, 1, l)
        if self.causal:
            past = ops.convert_to_tensor(np.tri(size, dtype=bool))
            inside = inside & past
        row, column = np.arange(count)[:, None], np.arange(count)[None]
        # Those of the own block are among its pairs already.
        other = column < row if self.causal else column != row
        other = np.repeat(other, self.summary, axis=1)[None, :, None]
        heads, width = key.shape[1], key.shape[-1]
        shape = (-1, heads, count * self.summary, width)
        key_ends, value_ends = (
            ops.reshape(x[:, :, :, size - self.summary :], shape)
            for x in (key, value)
        )
        ends = real[:, :, size - self.summary :]
        ends = ops.reshape(ends, (-1, 1, 1, count * self.summary))
        ends = ends & ops.convert_to_tensor(other)
        return [
            _near(query, key, value, inside),
            _everywhere(query, key_ends, value_ends, ends),
        ]

    def _strided(self, query, key, value, real):
        """As `_fixed`."""
        count, size = key.shape[2:4]
        after = 0 if self.causal else size

        def wide(x, axis):
            return _blocks.with_sides(x, axis, size, after)

        row = np.arange(size)[:, None]
        offset = row - np.arange(-size, size + after)[None]
        band = (offset <= size) & (offset >= (0 if self.causal else -size))
        band = wide(real, 1)[:, :, None] & ops.convert_to_tensor(band)
        row, column = np.arange(count)[:, None], np.arange(count)[None]
        # Multiples of the stride up to the first are in the band already.
        apart = row - column if self.causal else np.abs(row - column)
        far = ops.convert_to_tensor((apart > 1)[None, :, None])
        far = ops.transpose(real, (0, 2, 1))[:, None] & far  # (., n, l, n)
        turn = (0, 1, 3, 2, 4)  # (B, A, n, l, .) <-> (B, A, l, n, .)
        turned = ops.transpose(query, turn)
        logits = _scores(turned, ops.transpose(key, turn))
        logits = _masked(ops.transpose(logits, turn), far)

        def apply(weights):
            weights = ops.transpose(weights, turn)
            mixed = ops.matmul(weights, ops.transpose(value, turn))
            return ops.transpose(mixed, turn)

        near = _near(query, wide(key, 2), wide(value, 2), band)
        return [near, (logits, apply)]

    def _pairs(self, row, column):
        """Which positions attend to which; numpy arrays or tensors."""
        size, offset = self.block, row - column
        if self.pattern == "fixed":
            pairs = row // size == column // size
            pairs = pairs | (column % size >= size - self.summary)
        else:
            pairs = (offset <= size) & (offset >= -size)
            pairs = pairs | (offset % size == 0)
        return pairs & (offset >= 0) if self.causal else pairs

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        if positions is None:
            positions = ops.arange(x.shape[1] - prefix, dtype="int32")[None]
        pairs = self._pairs(positions[:, :, None], positions[:, None, :])
        front = ((0, 0), (prefix, 0), (prefix, 0))
        pairs = ops.pad(pairs, front, constant_values=True)[:, None]
        return self.weights_of(
            query, key, pairs & _blocks.full_mask(mask, query, self.causal)
        )

    def dense_mask(self, length, prefix=0, positions=None):
        if positions is None:
            positions = np.arange(length - prefix)
        positions = np.asarray(positions)
        pairs = np.ones((length, length), bool)
        pairs[prefix:, prefix:] = self._pairs(
            positions[:, None], positions[None, :]
        )
        return np.tril(pairs) if self.causal else pairs

    def get_config(self):
        config = super().get_config()
        config.update(
            pattern=self.pattern, block=self.block, summary=self.summary
        )
        return config


def _scores(query, key):
    return at_least_float32(ops.matmul(query, ops.swapaxes(key, -1, -2)))


def _masked(logits, allowed):
    """`allowed` (B or 1, n, l or 1, keys) bool, or None."""
    if allowed is None:
        return logits
    return ops.where(allowed[:, None], logits, NEGATIVE)


def _near(query, key, value, allowed):
    """Blocks of queries over blocks of keys: logits, function of weights."""
    logits = _masked(_scores(query, key), allowed)
    return logits, lambda weights: ops.matmul(weights, value)


def _everywhere(query, key, value, allowed):
    """All queries over the same keys (B, A, K, E), as `_near`."""
    heads, count, size = query.shape[1:4]

    def flat(x):
        return ops.reshape(x, (-1, heads, count * size, x.shape[-1]))

    def blocks(x):
        return ops.reshape(x, (-1, heads, count, size, x.shape[-1]))

    logits = _masked(blocks(_scores(flat(query), key)), allowed)
    return logits, lambda weights: blocks(ops.matmul(flat(weights), value))
