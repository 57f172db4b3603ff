import keras
import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.sliding_window import SlidingWindowAttention
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.sequence import _diagonals
from pixmodels.sequence import _relative_bias


@keras.saving.register_keras_serializable(package="pixmodels")
class RelativeWindowAttention(SlidingWindowAttention):
    """A band of neighbours with learned biases of distances, as in T5.

    Source: Raffel et al. 2020, "T5", section 2.1, in the band of Guo et al.
    2022, "LongT5", section 3.1.1; numbers as transformers 5.23.0
    (`LongT5LocalAttention`). Each layer has its own biases, where T5 and
    LongT5 share those of the first one. Prefix tokens have none.

    Args:
        num_heads: A.
        window: positions to each side.
        num_buckets: biases; half of them for distances to each side, of which
            half for one distance each, the others for ever wider ranges. The
            causal form has all of them for the past.
        max_distance: from which on distances share the last bias.
        scale: whether scores are divided by sqrt(E), which T5 does not do.
        Others: as `Mixer`, without `rotary`.

    Call arguments:
        As `Mixer`, without `positions`.
    """

    rotary = False

    def __init__(
        self,
        num_heads,
        *,
        window=64,
        num_buckets=32,
        max_distance=128,
        scale=True,
        **kwargs,
    ):
        super().__init__(num_heads, window=window, **kwargs)
        _checks.check_counts(num_buckets=num_buckets, least=4)
        _checks.check_counts(max_distance=max_distance, least=num_buckets)
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.scale = scale

    def build(self, input_shape):
        super().build(input_shape)
        self.distances = self.add_weight(
            name="distances",
            shape=(self.num_buckets, self.num_heads),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            autocast=False,
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        if positions is not None:
            raise ValueError(
                "Expected positions=None: biases are those of neighbouring "
                f"places. Received: positions={positions}."
            )
        return super().mix(x, mask, None, prefix, state, training, grid)

    def buckets(self, offsets):
        """Which bias belongs to which distance.

        Args:
            offsets: numpy ints, place of the key less that of the query.

        Returns:
            numpy ints below `num_buckets`, of the same shape.
        """
        count, start = self.num_buckets, 0
        if self.causal:
            distance = np.maximum(-offsets, 0)
        else:
            count //= 2
            start, distance = count * (offsets > 0), np.abs(offsets)
        return start + _relative_bias.buckets(
            distance, count, self.max_distance
        )

    def _biases(self, first, last):
        """(A, last - first + 1) of the offsets first, ..., last."""
        table = ops.convert_to_tensor(self.distances)
        found = self.buckets(np.arange(first, last + 1)).astype("int32")
        found = ops.take(table, ops.convert_to_tensor(found), axis=0)
        return ops.transpose(found)

    def _table(self, rows, before, columns):
        """(A, rows, columns): key j of query i lies at j - before - i."""
        line = self._biases(1 - rows - before, columns - before)
        return _diagonals.sheared(line, rows)

    def attend(
        self, query, key, value, allowed=None, training=None, *, causal=False
    ):
        bias = 0.0
        if len(query.shape) == 5:  # blocks; others are those of the prefix
            size = query.shape[3]
            before = self._reach(False)[0]
            columns = size + (1 if self.causal else 2) * before
            front = key.shape[3] - columns
            bias = self._table(size, before, columns)
            bias = ops.pad(bias, ((0, 0), (0, 0), (front, 0)))[:, None]
        return self._attended(query, key, value, allowed, bias, training)

    def _attended(self, query, key, value, allowed, bias, training):
        weights = self._biased(query, key, allowed, bias)
        weights = ops.cast(weights, self.compute_dtype)
        return ops.matmul(self.dropout(weights, training=training), value)

    def _biased(self, query, key, allowed, bias):
        if self.scale:
            query = query * ops.cast(self._head_dim**-0.5, query.dtype)
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2))
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        logits = ops.cast(logits, dtype) + ops.cast(bias, dtype)
        return masked_softmax(logits, allowed)

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        index = ops.cast(index, "int32")
        x = ops.cast(x, self.compute_dtype)
        query, cache, places = _steps.remember(self, x, cache, index)
        allowed = (places >= 0) & self._pairs(index, places)
        offset = ops.clip(places - index, -self.window, 0)
        bias = ops.take(
            self._biases(-self.window, 0), offset + self.window, axis=1
        )
        mixed = self._attended(
            query,
            cache["key"],
            cache["value"],
            allowed[None, None, None],
            bias[:, None],
            training,
        )
        return self.output_dense(self.merge_heads(mixed))[:, 0], cache

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        length = _blocks.static_length(x)
        pairs = ops.convert_to_tensor(self.dense_mask(length, prefix))
        pairs = pairs & _blocks.full_mask(mask, query, self.causal)
        bias = self._table(length - prefix, 0, length - prefix)
        bias = ops.pad(bias, ((0, 0), (prefix, 0), (prefix, 0)))
        return self._biased(query, key, pairs, bias)

    def get_config(self):
        config = super().get_config()
        del config["exact"]
        config.update(
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            scale=self.scale,
        )
        return config
