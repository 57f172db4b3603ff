import math

import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _places
from pixmodels.attention.mixer import Mixer


@MIXERS.register("linformer")
class LinformerAttention(Mixer):
    """Attention to r learned sums of the keys and values.

    `softmax(q (E' K)' / sqrt(head_dim)) (F' V)` with E and F (max_length, r):
    row i of E belongs to the token at place i of the sequence. Source: Wang et
    al. 2020, "Linformer", eq. 7; numbers as linformer 0.2.3. Keys and values
    of padding are 0 before they are summed, so that shorter sequences use the
    first rows and trimming changes nothing; Long-Range Arena sums padding too,
    with r = 16. A sum over all tokens cannot be causal.

    Args:
        num_heads: A.
        rank: r, sums.
        max_length: longest sequence, prefix included; None means the length
            at which the layer is built.
        share_kv: F is E (the paper's key-value sharing).
        per_head: an E (and F) for each head; else one for all heads (the
            paper's headwise sharing).
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, each token takes the row of its place.

    Raises:
        ValueError: for a rank below 1, if there is no `max_length` to be
            known, or for a sequence or a grid longer than it.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("linformer")
        >>> mixer = cls(num_heads=2, rank=5)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> mixer.max_length
        7
    """

    complexity = "O(N r)"
    any_length = False
    small_options = {"rank": 5, "max_length": 17}

    def __init__(
        self,
        num_heads,
        *,
        rank=256,
        max_length=None,
        share_kv=False,
        per_head=False,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            rank=rank, max_length=max_length, optional=("max_length",)
        )
        self.rank = rank
        self.max_length = max_length
        self.share_kv = share_kv
        self.per_head = per_head

    def build(self, input_shape):
        super().build(input_shape)
        self.max_length = _places.longest_of(self.max_length, input_shape)
        self.key_sums = self._sums("key_sums")
        if not self.share_kv:
            self.value_sums = self._sums("value_sums")

    def _sums(self, name):
        shape = (self.max_length, self.rank)
        # A sum of N tokens is about as large as one of them (Glorot).
        deviation = math.sqrt(2 / sum(shape))
        return self.add_weight(
            name=name,
            shape=(self.num_heads, *shape) if self.per_head else shape,
            initializer=keras.initializers.RandomNormal(stddev=deviation),
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        length = _blocks.static_length(x)
        _places.check_longest(self.max_length, length, positions, prefix, grid)
        key, value = self.key(x), self.value(x)
        if mask is not None:
            real = ops.cast(mask, key.dtype)[..., None]
            key, value = key * real, value * real
        key_rows = self._rows(self.key_sums, length, positions, prefix)
        if self.share_kv:
            value_rows = key_rows
        else:
            value_rows = self._rows(self.value_sums, length, positions, prefix)
        mixed = self.attend(
            self.split_heads(self.query(x)),
            self._compressed(key_rows, key),
            self._compressed(value_rows, value),
            training=training,
        )
        return self.output_dense(self.merge_heads(mixed))

    def _rows(self, sums, length, positions, prefix):
        """Rows of the tokens: ([B,] [A,] r, N) float32, turned."""
        sums = ops.cast(sums, "float32")
        last = ops.swapaxes(sums, -1, -2)  # ([A,] r, max_length)
        if positions is None:
            return last[..., :length]
        place = _places.places(positions, prefix)
        rows = ops.take(last, place, axis=-1)  # ([A,] r, B, N)
        return ops.moveaxis(rows, -2, 0)

    def _compressed(self, rows, x):
        """(B, N, A * E) -> (B, A, r, E), summed in float32."""
        dtype, x = x.dtype, ops.cast(x, "float32")
        if self.per_head:
            sums = ops.matmul(rows, self.split_heads(x))
        else:
            sums = self.split_heads(ops.matmul(rows, x))
        return ops.cast(sums, dtype)

    def get_config(self):
        config = super().get_config()
        config.update(
            rank=self.rank,
            max_length=self.max_length,
            share_kv=self.share_kv,
            per_head=self.per_head,
        )
        return config
