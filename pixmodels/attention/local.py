import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer


@MIXERS.register("local")
class LocalAttention(Mixer):
    """Softmax attention inside disjoint windows, with global prefix tokens.

    Position i attends to position j when both lie in the same window,
    `i // window == j // window`, and to every prefix token; prefix tokens
    attend to everything. Source: Xiong et al. 2021, "Simple Local Attentions
    Remain Competitive" (block attention without overlap), whose `simple_block`
    has neither prefix tokens nor a causal form. Long-Range Arena's "Local"
    attends to strided tokens instead of windows; that is not followed.

    Args:
        num_heads: A.
        window: positions in a window.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, the subset must be in ascending order:
        windows go by position, not by place in the sequence.

    Raises:
        ValueError: for a window below 1.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("local")(num_heads=2, window=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N w)"
    rotary = True
    small_options = {"window": 3}

    def __init__(self, num_heads, *, window=64, **kwargs):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(window=window)
        self.window = window

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        mixed = self._windows(
            query, key, value, mask, positions, prefix, training
        )
        if prefix:
            allowed = None if mask is None else mask[:, None, None, :]
            if self.causal:
                row = ops.arange(prefix)[:, None]
                past = (row >= ops.arange(ops.shape(x)[1]))[None, None]
                allowed = past if allowed is None else past & allowed
            first = query[:, :, :prefix]
            first = self.attend(first, key, value, allowed, training)
            mixed = ops.concatenate([first, mixed], axis=2)
        return self.output_dense(self.merge_heads(mixed))

    def _windows(self, query, key, value, mask, positions, prefix, training):
        """The tokens after the prefix: (B, A, N - prefix, E)."""
        length = ops.shape(query)[2] - prefix
        pad = -length % self.window
        count = (length + pad) // self.window

        def blocks(x, axis):
            # (..., N, ...) -> (..., n, w, ...), zeros at the end
            widths = [(0, 0)] * len(x.shape)
            widths[axis] = (0, pad)
            x = ops.pad(x, widths)
            shape = list(ops.shape(x))
            shape[axis : axis + 1] = [count, self.window]
            return ops.reshape(x, shape)

        real = ops.ones((1, length), dtype="bool")
        real = blocks(real if mask is None else mask[:, prefix:], 1)
        place = ops.arange(length)[None] if positions is None else positions
        place = blocks(place, 1)  # (B or 1, n, w)
        queries = blocks(query[:, :, prefix:], 2)  # (B, A, n, w, E)
        keys = blocks(key[:, :, prefix:], 2)
        values = blocks(value[:, :, prefix:], 2)
        key_place = place
        if positions is not None:
            # The ascending positions of one window fill at most a window of
            # the sequence, so a block and its two neighbours hold them all.
            keys, values = _neighbours(keys, 2), _neighbours(values, 2)
            key_place, real = _neighbours(place, 1), _neighbours(real, 1)
        row, column = place[..., :, None], key_place[..., None, :]
        allowed = (row // self.window == column // self.window) & real[
            ..., None, :
        ]
        if self.causal:
            allowed = allowed & (row >= column)
        allowed = allowed[:, None]  # (B or 1, 1, n, w, keys)
        if prefix:
            keys = _prepend(key[:, :, :prefix], keys, count)
            values = _prepend(value[:, :, :prefix], values, count)
            allowed = _prepend_allowed(allowed, mask, prefix)
        mixed = self.attend(queries, keys, values, allowed, training)
        shape = (-1, self.num_heads, length + pad, self._head_dim)
        return ops.reshape(mixed, shape)[:, :, :length]

    def initial_cache(self, batch_size, length):
        """As `Mixer`: keys and values of a window."""
        _steps.check_cache(self, batch_size, length)
        slots = min(length, self.window)
        return _steps.keys_and_values(self, batch_size, slots)

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)

        def same_window(row, column):
            return row // self.window == column // self.window

        return _steps.attend(
            self, x, cache, index, same_window, training=training
        )

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        length = ops.shape(x)[1]
        place = positions
        if positions is None:
            place = ops.arange(length - prefix)[None]
        window = place // self.window
        # A prefix token shares a window with everyone: -1 stands for it.
        window = ops.pad(window, ((0, 0), (prefix, 0)), constant_values=-1)
        row, column = window[:, :, None], window[:, None, :]
        allowed = (row == column) | (row < 0) | (column < 0)
        if self.causal:
            order = ops.arange(length)
            allowed = allowed & (order[:, None] >= order[None, :])
        if mask is not None:
            allowed = allowed & ops.cast(mask, "bool")[:, None, :]
        return self.weights_of(query, key, allowed[:, None])

    def dense_mask(self, length, prefix=0, positions=None):
        if positions is None:
            positions = np.arange(length - prefix)
        positions = np.asarray(positions)
        pairs = np.ones((length, length), bool)
        window = positions // self.window
        pairs[prefix:, prefix:] = window[:, None] == window[None, :]
        return np.tril(pairs) if self.causal else pairs

    def get_config(self):
        config = super().get_config()
        config.update(window=self.window)
        return config


def _neighbours(x, axis):
    """Joins blocks i - 1, i, i + 1: (..., n, w, ...) -> (..., n, 3 w, ...)."""
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (1, 1)
    padded = ops.pad(x, widths)
    count = ops.shape(x)[axis]
    front = (slice(None),) * axis
    parts = [padded[(*front, slice(i, i + count))] for i in range(3)]
    return ops.concatenate(parts, axis=axis + 1)


def _prepend(prefix, blocks, count):
    """Puts (B, A, P, E) in front of each block of (B, A, n, w, E)."""
    prefix = ops.repeat(prefix[:, :, None], count, axis=2)
    return ops.concatenate([prefix, blocks], axis=3)


def _prepend_allowed(allowed, mask, prefix):
    """Every query attends to the real prefix tokens."""
    shape = tuple(ops.shape(allowed))
    if mask is None:
        first = ops.ones((*shape[:-1], prefix), dtype="bool")
    else:
        first = mask[:, None, None, None, :prefix]
        batch = (ops.shape(mask)[0], *shape[1:-1])
        first = ops.broadcast_to(first, (*batch, prefix))
        allowed = ops.broadcast_to(allowed, (*batch, shape[-1]))
    return ops.concatenate([first, allowed], axis=-1)
