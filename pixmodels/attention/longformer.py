from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention._copied_dense import CopiedDense
from pixmodels.attention.sliding_window import SlidingWindowAttention

_GLOBAL = {"query_global": "query", "key_global": "key"}
_GLOBAL["value_global"] = "value"


@MIXERS.register("longformer")
class LongformerAttention(SlidingWindowAttention):
    """A band of neighbours, and global tokens with their own projections.

    Position i attends to position j when `|i - j| <= window`, and to every
    global token, by the usual queries, keys and values. Global tokens attend
    to everything by a second set of projections (`query_global`, `key_global`,
    `value_global`). Global are the tokens of the prefix and the first
    `num_global` positions. The causal form has `0 <= i - j <= window`, and
    global tokens see their past only. Memory is O(N (window + global)).

    Source: Beltagy et al. 2020, "Longformer", section 3.1; numbers as Hugging
    Face 5.23, whose `attention_window` counts both sides (2 window) and whose
    lengths are multiples of it. There is no dilation. Long-Range Arena masks a
    full matrix of scores and has no global tokens.

    Weights of a softmax model load: the global projections, which its files
    lack, begin as copies of the others, as when BERT became Longformer.

    Args:
        num_heads: A.
        window: positions to each side.
        num_global: positions at the start that are global beside the prefix,
            such as a question before its text.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, the subset must be in ascending order;
        what is global and what is near goes by position.

    Raises:
        ValueError: for a window below 1, a negative `num_global`, or a length
            that is not static.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("longformer")
        >>> mixer = cls(num_heads=2, window=1, num_global=1)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> mixer.dense_mask(5).astype(int)
        array([[1, 1, 1, 1, 1],
               [1, 1, 1, 0, 0],
               [1, 1, 1, 1, 0],
               [1, 0, 1, 1, 1],
               [1, 0, 0, 1, 1]])
    """

    complexity = "O(N (w + g))"
    small_options = {"window": 3, "num_global": 1}

    def __init__(self, num_heads, *, window=64, num_global=0, **kwargs):
        super().__init__(num_heads, window=window, **kwargs)
        _checks.check_counts(num_global=num_global, least=0)
        self.num_global = num_global

    def build(self, input_shape):
        super().build(input_shape)
        shape = (None, None, input_shape[-1])
        for name, source in _GLOBAL.items():
            source = getattr(self, source)
            layer = CopiedDense(
                source.units,
                use_bias=source.use_bias,
                kernel_initializer=source.kernel_initializer.clone(),
                name=name,
                dtype=self.dtype_policy,
            )
            layer.build(shape)
            # A function, as keras would take a layer for a part of this one.
            layer.copied_from = lambda source=source: source
            setattr(self, name, layer)

    def mix(self, x, mask, positions, prefix, state, training, grid):
        place = (positions, prefix, grid)
        query, key = self.queries_and_keys(x, *place)
        value = self.split_heads(self.value(x))
        length = _blocks.static_length(x)
        count = min(prefix + self.num_global, length)
        if not count:
            mixed = self._band(query, key, value, mask, None, 0, training)
            return self.output_dense(self.merge_heads(mixed))
        rows = self._global_rows(x, count, mask, place, training)
        band = (query, key, value, mask, positions, count, training)
        if positions is None or not self.num_global:
            mixed = self._band(*band)
        else:
            chosen = self._chosen(positions, prefix, count)
            mixed = self._band(*_doubled(chosen, prefix, *band))
            near = mixed[:, :, : count - prefix]
            near = ops.pad(near, ((0, 0), (0, 0), (prefix, 0), (0, 0)))
            rows = ops.where(chosen[:, None, :, None], rows, near)
            mixed = mixed[:, :, count - prefix :]
        mixed = ops.concatenate([rows, mixed], axis=2)
        return self.output_dense(self.merge_heads(mixed))

    def _global_rows(self, x, count, mask, place, training):
        """What the first `count` tokens find if they are global."""
        query = self.turned(self.split_heads(self.query_global(x)), *place)
        key = self.turned(self.split_heads(self.key_global(x)), *place)
        value = self.split_heads(self.value_global(x))
        return super()._global_rows(
            query[:, :, :count], key, value, mask, training
        )

    def _chosen(self, positions, prefix, count):
        """(B, count) bool, which of the first tokens of a subset are global."""
        chosen = positions[:, : count - prefix] < self.num_global
        front = ((0, 0), (prefix, 0))
        return ops.pad(chosen, front, constant_values=True)

    def _all_pairs(self, positions):
        chosen = positions < self.num_global
        pairs = super()._all_pairs(positions)
        return pairs | chosen[..., :, None] | chosen[..., None, :]

    def initial_cache(self, batch_size, length):
        """As `Mixer`: keys and values of the window and of global tokens."""
        window = super().initial_cache(batch_size, length)
        count = min(self.num_global, length)
        if not count:
            return window
        first = _steps.keys_and_values(self, batch_size, count)
        return {"window": window, "first": first, "own": first}

    def step(self, x, cache, index, *, training=False):
        if "own" not in cache:
            return super().step(x, cache, index, training=training)
        _steps.check_step(self, x, cache, index)
        index = ops.cast(index, "int32")
        x = ops.cast(x, self.compute_dtype)
        query, window, places = _steps.remember(self, x, cache["window"], index)
        _, first = self._among_first(x, cache["first"], index)
        own_query, own = self._among_first(x, cache["own"], index, _GLOBAL)
        near = (places >= self.num_global) & self._pairs(index, places)
        count = first["key"].shape[2]
        past = ops.arange(count, dtype="int32") <= index
        mixed = self.attend(
            query,
            ops.concatenate([first["key"], window["key"]], axis=2),
            ops.concatenate([first["value"], window["value"]], axis=2),
            ops.concatenate([past, near])[None, None, None],
            training,
        )
        row = (own["key"], own["value"], past[None, None, None])
        row = self.attend(own_query, *row, training)
        mixed = ops.where(index < count, row, mixed)
        cache = {"window": window, "first": first, "own": own}
        return self.output_dense(self.merge_heads(mixed))[:, 0], cache

    def _among_first(self, x, cache, index, names=None):
        """A query and the cache of the first tokens, which keeps no others."""
        parts = names and [getattr(self, name) for name in names]
        query, after, _ = _steps.remember(self, x, cache, index, parts)
        fits = index < cache["key"].shape[2]
        return query, {
            name: ops.where(fits, after[name], cache[name]) for name in cache
        }

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        maps = super().attention_map(x, mask, positions, prefix, grid)
        length = _blocks.static_length(x)
        count = min(prefix + self.num_global, length)
        if not count:
            return maps
        query = self.split_heads(self.query_global(x))
        key = self.split_heads(self.key_global(x))
        query, key = (
            self.turned(part, positions, prefix, grid) for part in (query, key)
        )
        allowed = _blocks.full_mask(mask, key, self.causal, count)
        rows = self.weights_of(query[:, :, :count], key, allowed)
        if positions is not None:
            chosen = self._chosen(positions, prefix, count)
            rows = ops.where(chosen[:, None, :, None], rows, maps[:, :, :count])
        return ops.concatenate([rows, maps[:, :, count:]], axis=2)

    def get_config(self):
        config = super().get_config()
        del config["exact"]
        config.update(num_global=self.num_global)
        return config


def _doubled(chosen, prefix, query, key, value, mask, positions, count, more):
    """The first tokens once as global ones and once as neighbours.

    Args:
        chosen: (B, count) bool, which are global.
        prefix: of them are never neighbours.
        query, ..., more: arguments of `_band`.

    Returns:
        These arguments; each token is attended in one of its two places.
    """
    if mask is None:
        mask = ops.ones_like(positions[:, :1], dtype="bool")
        mask = ops.repeat(mask, prefix + positions.shape[1], axis=1)
    near = ops.pad(
        ops.logical_not(chosen[:, prefix:]),
        ((0, 0), (0, positions.shape[1] + prefix - count)),
        constant_values=True,
    )
    mask = ops.concatenate(
        [mask[:, :count] & chosen, mask[:, prefix:] & near], axis=1
    )
    query, key, value = (
        ops.concatenate([x[:, :, :count], x[:, :, prefix:]], axis=2)
        for x in (query, key, value)
    )
    return query, key, value, mask, positions, count, more
