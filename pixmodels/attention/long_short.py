import functools

import keras
import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _past_chunks
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import masked_softmax


@MIXERS.register("long_short")
class LongShortAttention(Mixer):
    """Near tokens as they are and all tokens in a few sums (Transformer-LS).

    Blocks of `window` queries attend to their own positions and to
    `window / 2` (at least one) more on each side, and, in the same softmax, to
    `rank` sums over the whole sequence. Each head computes the weights of its
    sums from the tokens (dynamic projection: `x scores`, softmax over the
    sequence). Keys and values of the window and those of the sums have a
    LayerNorm each, over all heads and shared by keys and values (DualLN).
    Tokens of the prefix stand beside the sums, before their LayerNorm, so that
    everything attends to them; they themselves attend to each other and to
    what the other tokens have found, by dot products with the found vectors.
    Memory is O(N (window + rank)).

    The causal form: position i attends to positions i - window + 1, ..., i
    and to `chunk_rank` sums over each chunk of `chunk` positions before its
    own; the number of sums grows with the length. Distances to both enter by
    projected sinusoids, as in Transformer-XL.

    Source: Zhu et al. 2021, "Long-Short Transformer", sections 3.1 to 3.3;
    numbers as NVIDIA/transformer-ls 1527c5c (`AttentionLS` with its class
    token, and `ChunkedLSAttention`). Where we differ: any length, by padding
    that is never attended; `scores` has no bias, which its softmax would
    cancel; in the causal form chunks without a real token are left out, and
    the prefix exists. The convolution of `AttentionLS`, which cannot run
    there, is not here.

    Args:
        num_heads: A.
        window: w, positions.
        rank: r, sums over the sequence; not in the causal form.
        chunk: positions in a chunk, causal form only.
        chunk_rank: sums over each chunk, causal form only.
        relative: whether distances enter, causal form only.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, windows go by position; the causal form
        then needs `grid`, and costs as much as the whole sequence.
        state: causal form only, without prefix and `positions`: the last C
            tokens that the layer was given before, as `initial_memory` and
            calls return them. Their sums are taken before they are projected.

    Returns:
        (B, N, D), or with a state the pair of that and the next state, which
        is as long and has no gradient.

    Raises:
        ValueError: for sizes below 1, a length that is not static, a state
            that does not fit, or `positions` without `grid` when causal.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("long_short")
        >>> mixer = cls(num_heads=2, window=2, rank=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> mixer = cls(num_heads=2, window=2, chunk=3, causal=True)
        >>> x = np.ones((3, 7, 8), "float32")
        >>> y, state = mixer(x, state=mixer.initial_memory(x, 6))
        >>> y.shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N (w + r))"
    stateful = True
    any_length = False
    small_options = {"window": 2, "rank": 3, "chunk": 3, "chunk_rank": 2}

    def __init__(
        self,
        num_heads,
        *,
        window=64,
        rank=32,
        chunk=16,
        chunk_rank=1,
        relative=True,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        self.window = window
        self.rank = rank
        self.chunk = chunk
        self.chunk_rank = chunk_rank
        self.relative = relative
        names = ("window", "rank", "chunk", "chunk_rank")
        _checks.check_counts(**{name: getattr(self, name) for name in names})

    def build(self, input_shape):
        super().build(input_shape)
        width = input_shape[-1]
        inner = self.num_heads * self._head_dim
        shape = (None, None, width)
        sums = self.chunk_rank if self.causal else self.rank
        self.scores = self._dense(sums * self.num_heads, "scores", shape, False)
        self.norm_window = self._norm("norm_window", inner)
        self.norm_sums = self._norm("norm_sums", inner)
        if not (self.causal and self.relative):
            return
        self.window_distances = self._dense(
            inner, "window_distances", shape, False
        )
        self.chunk_distances = self._dense(
            inner, "chunk_distances", shape, True
        )
        for name in ("content_bias", "distance_bias"):
            weight = self.add_weight(
                name=name,
                shape=(self.num_heads, self._head_dim),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
            setattr(self, name, weight)

    def _norm(self, name, width):
        layer = keras.layers.LayerNormalization(
            epsilon=1e-5, name=name, dtype=self.dtype_policy
        )
        layer.build((None, None, width))
        return layer

    def mix(self, x, mask, positions, prefix, state, training, grid):
        if state is not None:
            return self._with_state(x, mask, positions, prefix, state, training)
        place = positions, prefix, grid
        mixed = self._found(x, mask, *place, training=training)
        return self.output_dense(self.merge_heads(mixed))

    def _found(
        self, x, mask, positions, prefix, grid, *, value=None, training=None
    ):
        """What every token finds.

        Args:
            value: (B, N, A V), to be mixed in place of the values, or None.
            Others: as `mix`.

        Returns:
            (B, A, N, V).
        """
        if not self.causal:
            return self._both_sides(x, mask, positions, prefix, value, training)
        if positions is None:
            return _past_chunks.attend(
                self, x, mask, prefix, value=value, training=training
            )
        if grid is None:
            raise ValueError(
                "Expected grid with positions: chunks go by position. "
                "Received: grid=None."
            )
        slots = _blocks.slots(positions, grid[0] * grid[1])
        if mask is None:
            mask = ops.ones_like(x[..., 0], dtype="bool")
        real = _blocks.placed_mask(mask[:, prefix:], slots)
        real = ops.concatenate([mask[:, :prefix], real], axis=1)
        x, value = (
            None if part is None else _whole(part, prefix, slots)
            for part in (x, value)
        )
        mixed = _past_chunks.attend(
            self, x, real, prefix, value=value, training=training
        )
        rest = _blocks.taken(mixed[:, :, prefix:], positions)
        return ops.concatenate([mixed[:, :, :prefix], rest], axis=2)

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        """How much of each token, by its window and by sums, is in each other.

        Values are followed as if they had no LayerNorm. Args, Returns: as
        `Mixer`.
        """
        x = ops.cast(x, self.compute_dtype)
        mask = None if mask is None else ops.cast(mask, "bool")
        # With unit vectors for values the weights themselves are found.
        one = ops.eye(_blocks.static_length(x), dtype=self.compute_dtype)
        one = ops.tile(one, (1, self.num_heads)) + ops.zeros_like(x[:, :1, :1])
        found = self._found(x, mask, positions, prefix, grid, value=one)
        return ops.cast(found, "float32")

    # --- Both sides ---------------------------------------------------------

    def _both_sides(self, x, mask, positions, prefix, value, training):
        """(B, A, N, E), or (B, A, N, V) of `value` (B, N, A V)."""
        query, key = self.split_heads(self.query(x)), self.key(x)
        norms = self.norm_window, self.norm_sums
        norms = [norms, norms if value is None else (_same, _same)]
        mixed_value = self.value(x) if value is None else value
        real = None if mask is None else mask[:, prefix:]
        weights = self._weights(x[:, prefix:], real)
        near, front = [], []
        for part, (norm, norm_sums) in zip(
            (key, mixed_value), norms, strict=True
        ):
            near.append(self.split_heads(norm(part[:, prefix:])))
            sums = self._sums(weights, near[-1], part[:, :prefix])
            front.append(self.split_heads(norm_sums(sums)))
        seen = None
        if mask is not None:
            seen = ops.repeat(ops.ones_like(mask[:, :1]), self.rank, axis=1)
            seen = ops.concatenate([mask[:, :prefix], seen], axis=1)
        size, reach = self._reach(positions is not None)
        mixed = _blocks.windows(
            functools.partial(self.attend, training=training),
            query[:, :, prefix:],
            *near,
            real,
            positions,
            pairs=self._pairs,
            size=size,
            before=reach,
            after=reach,
            front=(*front, seen),
        )
        if not prefix:
            return mixed
        # The prefix looks at what the others have found, as keys and values.
        found = mixed
        if value is not None:
            found = self._both_sides(x, mask, positions, prefix, None, training)
            found = found[:, :, prefix:]
        keys, values = (
            ops.concatenate([self.split_heads(part[:, :prefix]), rest], axis=2)
            for part, rest in ((key, found), (mixed_value, mixed))
        )
        allowed = None if mask is None else mask[:, None, None, :]
        rows = query[:, :, :prefix]
        rows = self.attend(rows, keys, values, allowed, training)
        return ops.concatenate([rows, mixed], axis=2)

    def _weights(self, x, mask):
        """Each sum's weights: (B, A, r, N) float32, rows add up to 1."""
        shape = (-1, x.shape[1], self.num_heads, self.rank)
        scores = ops.reshape(self.scores(x), shape)
        scores = ops.transpose(scores, (0, 2, 3, 1))
        allowed = None if mask is None else mask[:, None, None, :]
        return masked_softmax(scores, allowed)

    def _sums(self, weights, x, first):
        """Sums of (B, A, N, V) behind `first` (B, P, A V): (B, P + r, A V)."""
        sums = ops.matmul(weights, ops.cast(x, weights.dtype))
        sums = ops.transpose(ops.cast(sums, x.dtype), (0, 2, 1, 3))
        sums = ops.reshape(sums, (-1, self.rank, first.shape[2]))
        return ops.concatenate([first, sums], axis=1)

    def _reach(self, subset):
        """Queries in a block, and the tokens on each side of it."""
        half = max(self.window // 2, 1)
        if subset:  # a window may begin anywhere in a block
            reach = self.window - 1 + half
            return max(reach, _blocks.LEAST), reach
        return self.window * -(-_blocks.LEAST // self.window), half

    def _pairs(self, row, column):
        """Which positions attend to which; numpy arrays or tensors."""
        half = max(self.window // 2, 1)
        start = row // self.window * self.window
        return (column >= start - half) & (column < start + self.window + half)

    # --- The past -----------------------------------------------------------

    @property
    def scale(self):
        """What logits are multiplied by."""
        return self._head_dim**-0.5

    def initial_memory(self, x, length):
        """A state in which nothing was given yet.

        Args:
            x: (B, N, D), as a call.
            length: C, how many tokens it holds; a multiple of `chunk`.

        Returns:
            (tokens, real): (B, C, D), and (B, C) bool.
        """
        tokens = ops.repeat(ops.zeros_like(x[:, :1]), length, axis=1)
        return tokens, ops.zeros_like(tokens[..., 0], dtype="bool")

    def _with_state(self, x, mask, positions, prefix, state, training):
        if not self.causal:
            raise ValueError(
                "Expected state=None: only the causal form carries one. "
                f"Received: state={state}."
            )
        tokens, real = state
        length = tokens.shape[1]
        if prefix or positions is not None:
            raise ValueError(
                "Expected neither prefix nor positions with a state. Received: "
                f"prefix={prefix}, positions={positions}."
            )
        if not length or length % self.chunk or x.shape[2] % self.num_heads:
            raise ValueError(
                f"Expected a state of whole chunks ({self.chunk}), and a width "
                f"that num_heads={self.num_heads} divides. Received: a state "
                f"of {length} tokens, x.shape={tuple(x.shape)}."
            )
        tokens, real = ops.cast(tokens, x.dtype), ops.cast(real, "bool")
        state = tokens, real
        mixed = _past_chunks.attend(
            self, x, mask, 0, state=state, training=training
        )
        if mask is None:
            mask = ops.ones_like(x[..., 0], dtype="bool")
        after = (
            ops.stop_gradient(
                ops.concatenate([tokens, x], axis=1)[:, -length:]
            ),
            ops.concatenate([real, mask], axis=1)[:, -length:],
        )
        return self.output_dense(self.merge_heads(mixed)), after

    def distance_table(self, count, width):
        """Sinusoids of the distances 0, 1, ..., count - 1.

        Args:
            count: int.
            width: D.

        Returns:
            (count, D) float32: sines, then cosines, of
            `distance / 10000 ** (2 i / D)`.
        """
        turns = 10000.0 ** (-np.arange(0, width, 2) / width)
        angles = np.arange(count)[:, None] * turns
        table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        return table[:, :width].astype("float32")

    def get_config(self):
        config = super().get_config()
        config.update(
            window=self.window,
            rank=self.rank,
            chunk=self.chunk,
            chunk_rank=self.chunk_rank,
            relative=self.relative,
        )
        return config


def _same(x):
    return x


def _whole(x, prefix, slots):
    """Tokens (B, P + K, D) in their places: (B, P + N, D)."""
    whole = _blocks.placed(x[:, None, prefix:], slots)[:, 0]
    return ops.concatenate([x[:, :prefix], whole], axis=1)
