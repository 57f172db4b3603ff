import functools

import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer


@MIXERS.register("sliding_window")
class SlidingWindowAttention(Mixer):
    """Softmax attention to the nearest neighbours, with global prefix tokens.

    Position i attends to position j when `|i - j| <= window` (2 window + 1
    keys), and to every prefix token; prefix tokens attend to everything. The
    causal form has `0 <= i - j <= window`. Memory is O(N window): each block
    of queries sees the keys of its own block and `window` more on each side.

    Source: the band of Beltagy et al. 2020, "Longformer", section 3.1, and
    local-attention 1.11.2 (`exact_windowsize=True`); `exact=False` is that
    package's plain form. Unlike there, zeros that fill up the last block are
    never attended, and positions of a subset are respected. Long-Range
    Arena's Longformer masks a full matrix of scores.

    Args:
        num_heads: A.
        window: positions to each side.
        exact: False lets position i attend to the whole of its window
            `i // window` and of the windows before and after it (the causal
            form: those before and its own past).
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, the subset must be in ascending order:
        windows go by position, not by place in the sequence.

    Raises:
        ValueError: for a window below 1, or a length that is not static.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("sliding_window")
        >>> mixer = cls(num_heads=2, window=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> mixer.dense_mask(7)[1].astype(int)
        array([1, 1, 1, 1, 1, 0, 0])
    """

    causal = True
    complexity = "O(N w)"
    rotary = True
    any_length = False
    small_options = {"window": 3}

    def __init__(self, num_heads, *, window=64, exact=True, **kwargs):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(window=window)
        self.window = window
        self.exact = exact

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        mixed = self._band(query, key, value, mask, positions, prefix, training)
        if prefix:
            first = self._global_rows(
                query[:, :, :prefix], key, value, mask, training
            )
            mixed = ops.concatenate([first, mixed], axis=2)
        return self.output_dense(self.merge_heads(mixed))

    def _global_rows(self, query, key, value, mask, training):
        """The first queries, which attend to all: (B, A, P, E)."""
        allowed = _blocks.full_mask(mask, key, self.causal, query.shape[2])
        return self.attend(query, key, value, allowed, training)

    def _reach(self, subset):
        """Tokens before a token among which it may attend, and block size."""
        if self.exact:
            return self.window, max(self.window, _blocks.LEAST)
        if subset:  # a window may begin anywhere in a block
            return 2 * self.window - 1, 2 * self.window
        return self.window, self.window

    def _band(self, query, key, value, mask, positions, prefix, training):
        """The tokens after the prefix: (B, A, N - prefix, E)."""
        # The same blocks for any length, so that trimming changes no digit.
        before, size = self._reach(positions is not None)
        front = None
        if prefix:
            front = key[:, :, :prefix], value[:, :, :prefix]
            front += (None if mask is None else mask[:, :prefix],)
        return _blocks.windows(
            functools.partial(self.attend, training=training),
            *(part[:, :, prefix:] for part in (query, key, value)),
            None if mask is None else mask[:, prefix:],
            positions,
            pairs=self._pairs,
            size=size,
            before=before,
            after=0 if self.causal else before,
            front=front,
        )

    def _pairs(self, row, column):
        """Which positions attend to which; numpy arrays or tensors."""
        if self.exact:
            near = (row - column <= self.window) & (column - row <= self.window)
        else:
            apart = row // self.window - column // self.window
            near = (apart <= 1) & (apart >= -1)
        return near & (row >= column) if self.causal else near

    def initial_cache(self, batch_size, length):
        """As `Mixer`: keys and values of the window before a token."""
        _steps.check_cache(self, batch_size, length)
        most = self.window + 1 if self.exact else 2 * self.window
        return _steps.keys_and_values(self, batch_size, min(length, most))

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        return _steps.attend(
            self, x, cache, index, self._pairs, training=training
        )

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        if positions is None:
            positions = ops.arange(x.shape[1] - prefix, dtype="int32")[None]
        pairs = self._all_pairs(positions)
        front = ((0, 0), (prefix, 0), (prefix, 0))
        pairs = ops.pad(pairs, front, constant_values=True)[:, None]
        return self.weights_of(
            query, key, pairs & _blocks.full_mask(mask, query, self.causal)
        )

    def _all_pairs(self, positions):
        """Which of (..., N) positions attend to which, (..., N, N) bool."""
        return self._pairs(positions[..., :, None], positions[..., None, :])

    def dense_mask(self, length, prefix=0, positions=None):
        if positions is None:
            positions = np.arange(length - prefix)
        pairs = np.ones((length, length), bool)
        pairs[prefix:, prefix:] = self._all_pairs(np.asarray(positions))
        return np.tril(pairs) if self.causal else pairs

    def get_config(self):
        config = super().get_config()
        config.update(window=self.window, exact=self.exact)
        return config
