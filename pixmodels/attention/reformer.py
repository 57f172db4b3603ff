import functools

import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _permutations
from pixmodels.attention import _random_features
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE
from pixmodels.layers._masked_softmax import masked_softmax

CAUSAL_WINDOWS = ("bucket", "chunk")
# The logit of a token to itself: nothing beside any other one.
_SELF = -5e4


@MIXERS.register("reformer")
class ReformerAttention(Mixer):
    """LSH attention: tokens attend to those whose hashes fall together.

    Queries and keys share one projection; keys are divided by their norms. In
    each round, the bucket of a token is the largest of its products with
    random directions and their negatives. Tokens are sorted by bucket, then
    by position, and cut into chunks, each of which attends to itself and the
    chunk before it (before the first one stands the last one of the previous
    round). Rounds are added up as one softmax over all their pairs, by the
    logarithms of their sums. A token attends to itself only where it sees
    nothing else.

    Source: Kitaev et al. 2020, "Reformer: The Efficient Transformer", section
    2; numbers as reformer-pytorch 1.4.4, where a pair that meets in several
    rounds counts as often. Where we differ: padding is sorted behind
    everything and never attended, as if it were not there. In the causal form
    as published, a later token moves the chunks of earlier ones and so tells
    them about itself; here a token attends to the `chunk` tokens before
    it in its own bucket, which depend on the past alone. Long-Range Arena's
    form multiplies by sqrt(head_dim) instead of dividing, normalises no keys,
    lets each token attend to itself and forgets the mask.

    Args:
        num_heads: A.
        chunk: c, tokens in a chunk.
        num_hashes: rounds.
        num_buckets: even; about N / chunk.
        seed: int; the directions are a function of it and `salt`. They are
            the weight `directions`, which is saved and not trained.
        redraw_interval: steps after which training draws directions anew:
            inside `pixmodels.random.key_scope` of (seed, step) they are a
            function of that seed and `step // redraw_interval`, on any number
            of devices and after a resume. With None, outside a scope and
            outside training, the weight serves.
        causal_window: "bucket", or "chunk" for the causal form as published,
            with the leak described above.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `positions` do not matter beyond their order, unless they
        are rotary. Tokens of the prefix attend to everything, and everything
        attends to them, in each round.

    Raises:
        ValueError: for counts below 1, an odd `num_buckets`, an unknown
            `causal_window`, or a length that is not static.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("reformer")
        >>> mixer = cls(num_heads=2, chunk=3, num_buckets=4)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N log N + R N c)"
    rotary = True
    any_length = False
    projections = ("query", "value")
    small_options = {"chunk": 3, "num_hashes": 2, "num_buckets": 4}

    def __init__(
        self,
        num_heads,
        *,
        chunk=64,
        num_hashes=4,
        num_buckets=64,
        seed=0,
        redraw_interval=1,
        causal_window="bucket",
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            chunk=chunk,
            num_hashes=num_hashes,
            num_buckets=num_buckets,
            redraw_interval=redraw_interval,
            optional=("redraw_interval",),
        )
        if num_buckets % 2:
            raise ValueError(
                "Expected an even num_buckets: each direction and its negative "
                f"are two. Received: num_buckets={num_buckets}."
            )
        if causal_window not in CAUSAL_WINDOWS:
            raise ValueError(
                f"Expected causal_window among {CAUSAL_WINDOWS}. Received: "
                f"causal_window={causal_window!r}."
            )
        self.chunk = chunk
        self.num_hashes = num_hashes
        self.num_buckets = num_buckets
        self.seed = seed
        self.redraw_interval = redraw_interval
        self.causal_window = causal_window

    def build(self, input_shape):
        super().build(input_shape)
        self.directions = self.add_weight(
            name="directions",
            shape=(self.num_hashes * self.num_buckets // 2, self._head_dim),
            initializer=self._first_directions,
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def _first_directions(self, shape, dtype=None):
        drawn = _random_features.draw(
            *shape, seed=self.seed, salt=self.salt, orthogonal=False
        )
        return ops.convert_to_tensor(drawn, dtype)

    def _directions(self, training):
        """(R * buckets / 2, E) float32, those of this step, round by round."""
        return _random_features.of_step(
            self.directions,
            training,
            interval=self.redraw_interval,
            seed=self.seed,
            salt=self.salt,
            draw=functools.partial(
                _random_features.redraw,
                *self.directions.shape,
                orthogonal=False,
            ),
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        shared = self._shared(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        mixed = self._rounds(shared, value, mask, prefix, training)
        if prefix:
            first = self._prefix_rows(shared, value, mask, prefix, training)
            mixed = ops.concatenate([first, mixed], axis=2)
        return self.output_dense(self.merge_heads(mixed))

    def _shared(self, x, positions, prefix, grid):
        """(B, A, N, E), the queries; keys are these on the unit sphere."""
        shared = self.split_heads(self.query(x))
        return self.turned(shared, positions, prefix, grid)

    def _logits(self, query, key):
        """(..., M, E) and (..., N, E) -> (..., M, N) at least float32."""
        query = query * self._head_dim**-0.5
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2))
        return at_least_float32(logits)

    def _prefix_rows(self, shared, value, mask, prefix, training):
        """What the tokens of the prefix see, (B, A, prefix, E)."""
        allowed = _blocks.full_mask(mask, shared, self.causal, prefix)
        logits = self._logits(shared[:, :, :prefix], _unit(shared))
        itself = np.eye(prefix, shared.shape[2], dtype=bool)
        logits = ops.where(ops.convert_to_tensor(itself), _SELF, logits)
        weights = ops.cast(masked_softmax(logits, allowed), value.dtype)
        return ops.matmul(self.dropout(weights, training=training), value)

    def _rounds(self, shared, value, mask, prefix, training):
        """The tokens after the prefix, all rounds: (B, A, N - prefix, E)."""
        length = _blocks.static_length(shared, 2) - prefix
        tokens = ops.concatenate([shared, value], axis=-1)[:, :, prefix:]
        tokens, real = self._filled(tokens, mask, prefix)
        buckets = self._buckets(tokens[..., : self._head_dim], real, training)
        order, slot, buckets = _permutations.sorted_by(
            buckets, self.num_buckets + 1
        )
        last = None if mask is None else self._last_chunk(real)
        whole = mask is None and not length % self.chunk
        pairs = self._pairs(order, buckets, real, last, whole)
        tokens = self._chunks(_permutations.taken(tokens, order, slot))
        query, own = ops.split(tokens, [self._head_dim], axis=-1)
        windows = (
            ops.concatenate([_one_back(part, last), part], axis=-2)
            for part in (_unit(query), own)
        )
        mixed, level = self._chunk_attention(
            query,
            *windows,
            *pairs,
            self._prefix_keys(shared, value, mask, prefix),
            training,
        )
        # (B, A, R, n, c, E + 1) -> (B, A, R, M, E + 1), in place again
        mixed = ops.concatenate([mixed, level], axis=-1)
        shape = (-1, *slot.shape[1:], self._head_dim + 1)
        mixed = _permutations.returned(ops.reshape(mixed, shape), order, slot)
        mixed, level = mixed[..., :-1], mixed[..., -1:]
        if self.num_hashes > 1:
            mixed = mixed * ops.softmax(level, axis=2)
        mixed = ops.cast(ops.sum(mixed, axis=2), value.dtype)
        return mixed[:, :, :length]

    def _filled(self, tokens, mask, prefix):
        """Tokens and which of them are real, M being whole chunks.

        Returns:
            (B, A, M, 2 E), 0 behind the end, and (B or 1, M) bool.
        """
        length = tokens.shape[2]
        more = -length % self.chunk
        real = ops.ones((1, length), dtype="bool")
        real = real if mask is None else mask[:, prefix:]
        tokens = ops.pad(tokens, ((0, 0), (0, 0), (0, more), (0, 0)))
        return tokens, ops.pad(real, ((0, 0), (0, more)), constant_values=False)

    def _buckets(self, shared, real, training):
        """(B, A, M, E) -> (B, A, R, M) int32; padding has one of its own."""
        shared = ops.cast(ops.stop_gradient(shared), "float32")
        directions = ops.transpose(self._directions(training))
        found = ops.matmul(shared, directions)
        half = self.num_buckets // 2
        shape = (-1, *found.shape[1:3], self.num_hashes, half)
        found = ops.reshape(found, shape)
        found = ops.concatenate([found, -found], axis=-1)
        found = ops.cast(ops.argmax(found, axis=-1), "int32")
        found = ops.transpose(found, (0, 1, 3, 2))
        return ops.where(real[:, None, None], found, self.num_buckets)

    def _chunks(self, x):
        """(B, A, R, M, ...) -> (B, A, R, n, c, ...)."""
        count = x.shape[3] // self.chunk
        shape = (-1, *x.shape[1:3], count, self.chunk, *x.shape[4:])
        return ops.reshape(x, shape)

    def _last_chunk(self, real):
        """(B, n) bool, the chunk that holds the last of the real tokens."""
        count = ops.sum(ops.cast(real, "int32"), axis=1)
        last = ops.maximum(count - 1, 0) // self.chunk
        number = ops.arange(real.shape[1] // self.chunk, dtype="int32")
        return number == last[:, None]

    def _pairs(self, order, buckets, real, last, whole):
        """Which slots of each chunk see which of those before and in it.

        Returns:
            `allowed`, None where all are, and `itself`: (B, A, R, n, c, 2 c)
            bool.
        """
        count = ops.sum(ops.cast(real, "int32"), axis=1)[:, None, None, None]
        slots = ops.arange(order.shape[-1], dtype="int32")
        place = self._chunks(ops.where(slots < count, order, -1))
        key = ops.concatenate([_one_back(place, last), place], axis=-1)
        row, column = place[..., :, None], key[..., None, :]
        if not self._by_bucket():
            allowed = column >= 0
            if self.causal:
                allowed = allowed & (row >= column)
            elif whole:
                allowed = None
            return allowed, row == column
        size = self.chunk
        offset = np.arange(size)[:, None] + size - np.arange(2 * size)
        near = ops.convert_to_tensor((offset >= 0) & (offset <= size))
        bucket = self._chunks(buckets)
        first = ((0, 0),) * 3 + ((1, 0), (0, 0))
        back = ops.pad(bucket[:, :, :, :-1], first, constant_values=-1)
        key = ops.concatenate([back, bucket], axis=-1)
        allowed = near & (bucket[..., :, None] == key[..., None, :])
        return allowed, row == column

    def _by_bucket(self):
        return self.causal and self.causal_window == "bucket"

    def _prefix_keys(self, shared, value, mask, prefix):
        """Unit keys, values and mask of the prefix, or None without one."""
        if not prefix:
            return None
        real = None if mask is None else mask[:, :prefix]
        return _unit(shared[:, :, :prefix]), value[:, :, :prefix], real

    def _chunk_attention(
        self, query, key, value, allowed, itself, prefix, training
    ):
        """Each chunk over the one before, itself and the prefix.

        Args:
            query: (B, A, R, n, c, E).
            key, value: (B, A, R, n, 2 c, E).
            allowed, itself: as `_pairs`.
            prefix: as `_prefix_keys`.
            training: bool.

        Returns:
            (B, A, R, n, c, E), and the logarithm of the sum of each row,
            (B, A, R, n, c, 1) at least float32.
        """
        size = 2 * self.chunk
        logits = self._logits(query, key)
        logits = ops.where(itself, _SELF, logits)
        if allowed is not None:
            logits = ops.where(allowed, logits, NEGATIVE)
        if prefix is not None:
            more = self._logits(query, prefix[0][:, :, None, None])
            if prefix[2] is not None:
                real = prefix[2][:, None, None, None, None]
                more = ops.where(real, more, NEGATIVE)
            logits = ops.concatenate([logits, more], axis=-1)
        top = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
        weights = ops.exp(logits - top)
        total = ops.sum(weights, axis=-1, keepdims=True)
        weights = ops.cast(weights, value.dtype)
        weights = self.dropout(weights, training=training)
        mixed = ops.matmul(weights[..., :size], value)
        if prefix is not None:
            first = prefix[1][:, :, None, None]
            mixed = mixed + ops.matmul(weights[..., size:], first)
        # E quotients a row, not 2 c.
        return at_least_float32(mixed) / total, ops.log(total) + top

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        shared = self._shared(x, positions, prefix, grid)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        meetings = self._meetings(shared, mask, prefix)
        logits = self._logits(shared, _unit(shared))
        logits = logits + ops.log(ops.maximum(meetings, 1.0))
        itself = ops.eye(shared.shape[2], dtype="bool")
        logits = ops.where(itself, _SELF, logits)
        return masked_softmax(logits, meetings > 0)

    def _meetings(self, shared, mask, prefix):
        """How often each pair meets: (B, A, N, N) float32."""
        length = shared.shape[2]
        tokens, real = self._filled(shared[:, :, prefix:], mask, prefix)
        buckets = self._buckets(tokens, real, False)
        _, slot, _ = _permutations.sorted_by(buckets, self.num_buckets + 1)
        count = ops.sum(ops.cast(real, "int32"), axis=1)[:, None, None]
        last = ops.maximum(count - 1, 0) // self.chunk
        met = 0
        for i in range(self.num_hashes):
            row, column = slot[:, :, i, :, None], slot[:, :, i, None, :]
            if self._by_bucket():
                bucket = buckets[:, :, i]
                here = bucket[..., :, None] == bucket[..., None, :]
                here = here & (row - column <= self.chunk)
            else:
                row, column = (
                    row // self.chunk,
                    column // self.chunk,
                )
                here = (row == column) | (row == column + 1)
                other = slot[:, :, i - 1, None, :] // self.chunk
                around = (row == 0) & (other == last[..., None])
                met = met + ops.cast(around, "float32")
            met = met + ops.cast(here, "float32")
        met = met[:, :, : length - prefix, : length - prefix]
        sides = ((0, 0), (0, 0), (prefix, 0), (prefix, 0))
        met = ops.pad(met, sides, constant_values=float(self.num_hashes))
        full = _blocks.full_mask(mask, shared, self.causal)
        return met * ops.cast(full, "float32")

    def get_config(self):
        config = super().get_config()
        config.update(
            chunk=self.chunk,
            num_hashes=self.num_hashes,
            num_buckets=self.num_buckets,
            seed=self.seed,
            redraw_interval=self.redraw_interval,
            causal_window=self.causal_window,
        )
        return config


def _unit(x):
    """Divided by the norm over the last axis, in float32."""
    wide = at_least_float32(x)
    square = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    return ops.cast(wide * ops.rsqrt(ops.maximum(square, 1e-24)), x.dtype)


def _one_back(chunks, last):
    """The chunk before each one, through all rounds.

    Args:
        chunks: (B, A, R, n, c, ...).
        last: (B, n) bool, the chunk that is the last of a round, or None for
            chunk n - 1.

    Returns:
        As `chunks`. Before the first chunk of a round stands the last one of
        the round before, before that of the first round that of the last.
    """
    if last is None:
        first = chunks[:, :, :, -1:]
    else:
        ones = (1,) * (len(chunks.shape) - 4)
        last = ops.reshape(last, (-1, 1, 1, chunks.shape[3], *ones))
        zeros = ops.zeros_like(chunks)
        first = ops.where(last, chunks, zeros)
        first = ops.sum(first, axis=3, keepdims=True)
    first = ops.concatenate([first[:, :, -1:], first[:, :, :-1]], axis=2)
    return ops.concatenate([first, chunks[:, :, :, :-1]], axis=3)
