import numpy as np
from keras import ops

from pixmodels import random
from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention._random_blocks import random_blocks
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE
from pixmodels.layers.dropout import Dropout


@MIXERS.register("bigbird")
class BigBirdAttention(Mixer):
    """A window, global and random blocks, with global prefix tokens.

    Positions are cut into blocks, `position // block`. Each block attends to
    itself, to its two neighbours, to the first and the last block and to
    `num_random` random ones, all in one softmax; the first and the last block
    and the tokens of the prefix attend to everything and are attended by all.
    Sequences of at most `(5 + 2 num_random) block` positions, where blocks
    would save nothing, are attended in full. Memory is O(N block).

    Source: Zaheer et al. 2020, "Big Bird", section 2 and appendix D
    (internal transformer construction); numbers as Hugging Face 5.23, given
    its random table. In the released code, which Long-Range Arena copies,
    random blocks lie within the first 1,024 tokens only, some of them repeat
    window or global blocks, which then count twice, and lengths are multiples
    of the block. Here they lie anywhere, all of a row are distinct, and the
    last block may be shorter. Each head has its own. They are constants, made
    of `seed`, `salt` and the number of blocks, so that layers differ.

    Args:
        num_heads: A.
        block: positions in a block.
        num_random: r, random blocks that each block attends to.
        seed: int >= 0, of the random blocks.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, `grid` says how long the sequence is of
        which they are a part; each is put into its place there, so that the
        cost is that of the whole sequence.

    Raises:
        ValueError: for a block below 1, a negative `num_random` or `seed`, a
            length that is not static, `positions` without `grid`, or
            `causal`: everything attends to the last block.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("bigbird")
        >>> mixer = cls(num_heads=2, block=1, num_random=1)
        >>> mixer(np.ones((3, 11, 8), "float32")).shape
        TensorShape([3, 11, 8])
        >>> mixer.dense_mask(11, head=0)[5].astype(int)
        array([1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1])
    """

    complexity = "O(N b)"
    length_invariant = False
    rotary = True
    any_length = False
    small_options = {"block": 1, "num_random": 1}

    def __init__(
        self,
        num_heads,
        *,
        block=64,
        num_random=3,
        seed=0,
        causal=False,
        **kwargs,
    ):
        if causal:
            raise ValueError(
                f"Expected causal=False: {type(self).__name__} has no causal "
                "form, since every block attends to the last one. Received: "
                f"causal={causal}."
            )
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(block=block)
        _checks.check_counts(num_random=num_random, seed=seed, least=0)
        self.block = block
        self.num_random = num_random
        self.seed = seed

    def build(self, input_shape):
        super().build(input_shape)
        self.ends_dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/ends",
            name="ends_dropout",
            dtype=self.dtype_policy,
        )

    def random_table(self, count):
        """The random blocks of a sequence of `count` blocks.

        Returns:
            (A, count - 2, num_random) numpy int32: row i - 1 holds those of
            block i.
        """
        salt = random.salt_of(self.salt)
        return random_blocks(
            self.seed, salt, self.num_heads, count, self.num_random
        )

    def _whole(self, length, prefix, positions, grid):
        """Positions of the whole sequence, and whether blocks are used."""
        if positions is None:
            whole = length - prefix
        elif grid is None:
            raise ValueError(
                "Expected grid with positions: random and global blocks go by "
                "the length of the whole sequence. Received: grid=None."
            )
        else:
            whole = grid[0] * grid[1]
        return whole, whole > (5 + 2 * self.num_random) * self.block

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        length = _blocks.static_length(x)
        whole, blocked = self._whole(length, prefix, positions, grid)
        if not blocked:
            allowed = None if mask is None else mask[:, None, None, :]
            mixed = self.attend(query, key, value, allowed, training)
            return self.output_dense(self.merge_heads(mixed))
        front = [part[:, :, :prefix] for part in (query, key, value)]
        parts = [part[:, :, prefix:] for part in (query, key, value)]
        real = None if mask is None else mask[:, prefix:]
        if positions is not None:
            slots = _blocks.slots(positions, whole)
            parts = [_blocks.placed(part, slots) for part in parts]
            real = _blocks.placed_mask(real, slots)
        first = None if mask is None else mask[:, :prefix]
        ends, mixed = self._blocked(parts, real, front, first, training)
        if positions is not None:
            mixed = _blocks.taken(mixed, positions)
        mixed = ops.concatenate([ends, mixed], axis=2) if prefix else mixed
        return self.output_dense(self.merge_heads(mixed))

    def _blocked(self, parts, real, front, first, training):
        """Attention of a whole sequence.

        Args:
            parts: queries, keys, values (B, A, N, E) without the prefix.
            real: (B, N) bool or None.
            front: queries, keys, values (B, A, P, E) of the prefix.
            first: (B, P) bool or None.

        Returns:
            Of the prefix (B, A, P, E), and of the others (B, A, N, E).
        """
        length, size, prefix = parts[0].shape[2], self.block, front[0].shape[2]
        if real is None and length % size:
            real = ops.ones((1, length), dtype="bool")
        if real is not None:
            real = _blocks.split(real, 1, size)  # (B or 1, n, b)
        parts = [_blocks.split(part, 2, size) for part in parts]
        rows = self._global_rows(parts, real, front, first, training)
        middle = self._middle_rows(parts, real, front, first, training)
        mixed = [rows[:, :, prefix : prefix + size], *middle]
        mixed.append(rows[:, :, prefix + size :])
        mixed = ops.concatenate(mixed, axis=2)[:, :, :length]
        return rows[:, :, :prefix], mixed

    def _global_rows(self, parts, real, front, first, training):
        """The prefix and the end blocks over everything: (B, A, P + 2 b, E)."""
        query, key, value = parts
        length = key.shape[2] * self.block
        key = ops.concatenate([front[1], _blocks.joined(key, length)], axis=2)
        value = _blocks.joined(value, length)
        value = ops.concatenate([front[2], value], axis=2)
        if real is not None:
            real = ops.reshape(real, (-1, length))
            real = _in_front(first, front[0].shape[2], real)[:, None, None]
        rows = [front[0], query[:, :, 0], query[:, :, -1]]
        rows = ops.concatenate(rows, axis=2)
        return self.attend(rows, key, value, real, training)

    def _middle_rows(self, parts, real, front, first, training):
        """Blocks 1, those after it, and n - 2: three of (B, A, m b, E).

        Window and random blocks are different for every block of queries,
        the ends are the same for all: their products stay apart.
        """
        query, key, value = parts
        table = self.random_table(query.shape[2])
        ends = [_ends(x, t) for x, t in ((key, front[1]), (value, front[2]))]
        ends_real = None
        if real is not None:
            ends_real = ops.concatenate([real[:, 0], real[:, -1]], axis=1)
            ends_real = _in_front(first, front[0].shape[2], ends_real)
        found = []
        # Beside an end the window is shorter: ends are attended anyway.
        for rows, window in _groups(query.shape[2]):
            chosen = table[:, slice(*np.array(rows) - 1)]
            own = [self._own(x, rows, window, chosen) for x in (key, value)]
            allowed = None
            if real is not None:
                allowed = ends_real, self._own_real(real, rows, window, chosen)
            queries = query[:, :, slice(*rows)]
            found.append(self._joint(queries, ends, own, allowed, training))
        return found

    def _joint(self, query, ends, own, allowed, training):
        """One softmax over keys of all blocks and keys of each.

        Args:
            query: (B, A, m, b, E).
            ends: keys and values (B, A, K, E).
            own: keys and values (B, A, m, L, E).
            allowed: None, or (B, K) and (B, A or 1, m, L) bool.

        Returns:
            (B, A, m b, E).
        """
        heads, count, size = query.shape[1:4]
        query = query * ops.cast(self._head_dim**-0.5, query.dtype)
        flat = _blocks.joined(query, count * size)
        far = ops.matmul(flat, ops.swapaxes(ends[0], -1, -2))
        near = ops.matmul(query, ops.swapaxes(own[0], -1, -2))
        far, near = at_least_float32(far), at_least_float32(near)
        far = ops.reshape(far, (-1, heads, count, size, ends[0].shape[2]))
        if allowed is not None:
            seen = allowed[0][:, None, None, None]
            far = ops.where(seen, far, NEGATIVE)
            near = ops.where(allowed[1][:, :, :, None], near, NEGATIVE)
        # Any constant of a row would do: it has no gradient.
        top = ops.maximum(
            ops.max(far, axis=-1, keepdims=True),
            ops.max(near, axis=-1, keepdims=True),
        )
        top = ops.stop_gradient(top)
        far, near = ops.exp(far - top), ops.exp(near - top)
        total = ops.sum(far, axis=-1, keepdims=True)
        total += ops.sum(near, axis=-1, keepdims=True)
        far = ops.reshape(far, (-1, heads, count * size, ends[0].shape[2]))
        far = ops.cast(far, self.compute_dtype)
        near = ops.cast(near, self.compute_dtype)
        far = self.ends_dropout(far, training=training)
        near = self.dropout(near, training=training)
        far, near = ops.matmul(far, ends[1]), ops.matmul(near, own[1])
        mixed = far + _blocks.joined(near, count * size)
        total = _blocks.joined(total, count * size)
        return ops.cast(at_least_float32(mixed) / total, self.compute_dtype)

    def _own(self, x, rows, window, table):
        """Window and random blocks of each block of queries.

        Args:
            x: (B, A, n, b, E).
            rows: (first, beyond the last) block of queries.
            window: offsets from a block to those of its window.
            table: (A, m, r), its random blocks.

        Returns:
            (B, A, m, (window + r) b, E).
        """
        found = [x[:, :, rows[0] + i : rows[1] + i] for i in window]
        heads, count, size, width = x.shape[1:]
        place = table + count * np.arange(heads)[:, None, None]
        if self.num_random:
            x = ops.reshape(x, (-1, heads * count, size, width))
            x = ops.take(x, place.reshape(-1).astype("int32"), axis=1)
            shape = (-1, heads, table.shape[1], table.shape[2] * size, width)
            found.append(ops.reshape(x, shape))
        return ops.concatenate(found, axis=3)

    def _own_real(self, real, rows, window, table):
        """As `_own`, of (B or 1, n, b): (B or 1, A, m, (window + r) b)."""
        found = [real[:, rows[0] + i : rows[1] + i] for i in window]
        found = ops.concatenate(found, axis=2)[:, None]
        if not self.num_random:
            return found
        chosen = ops.take(real, table.reshape(-1), axis=1)
        shape = (*table.shape[:2], table.shape[2] * self.block)
        chosen = ops.reshape(chosen, (-1, *shape))
        found = ops.repeat(found, self.num_heads, axis=1)
        return ops.concatenate([found, chosen], axis=3)

    def _pairs(self, count):
        """Which blocks attend to which: (A, n, n) numpy bool."""
        row = np.arange(count)
        near = np.abs(row[:, None] - row[None, :]) <= 1
        ends = (row == 0) | (row == count - 1)
        pairs = near | ends[:, None] | ends[None, :]
        pairs = np.repeat(pairs[None], self.num_heads, axis=0)
        table = self.random_table(count)
        np.put_along_axis(pairs[:, 1:-1], table, True, axis=2)
        return pairs

    def _block_pairs(self, length, prefix, positions, grid):
        """(A, n, n) numpy bool; None where everything is attended."""
        whole, blocked = self._whole(length, prefix, positions, grid)
        return self._pairs(-(-whole // self.block)) if blocked else None

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        length = _blocks.static_length(x)
        allowed = _blocks.full_mask(mask, query, False)
        pairs = self._block_pairs(length, prefix, positions, grid)
        if pairs is not None:
            # As with a block in front that sees all and is seen by all.
            pairs = np.pad(pairs, ((0, 0), (1, 0), (1, 0)), constant_values=1)
            if positions is None:
                positions = ops.arange(length - prefix, dtype="int32")[None]
            block = positions // self.block + 1
            block = ops.pad(block, ((0, 0), (prefix, 0)))
            count = pairs.shape[1]
            place = block[:, :, None] * count + block[:, None, :]  # (B, N, N)
            pairs = ops.reshape(pairs, (self.num_heads, -1))
            found = ops.take(pairs, place, axis=1)  # (A, B, N, N)
            allowed = allowed & ops.transpose(found, (1, 0, 2, 3))
        return self.weights_of(query, key, allowed)

    def dense_mask(
        self, length, prefix=0, positions=None, grid=None, head=None
    ):
        """Which pairs attend.

        Args:
            length, prefix, positions: as `Mixer`.
            grid: as in a call, with `positions`.
            head: int; None means pairs that any of the heads attends to.

        Returns:
            (N, N) numpy bool, True where row (query) attends to column (key).
        """
        found = np.ones((length, length), bool)
        pairs = self._block_pairs(length, prefix, positions, grid)
        if pairs is not None:
            if positions is None:
                positions = np.arange(length - prefix)
            block = np.asarray(positions) // self.block
            pairs = pairs.any(0) if head is None else pairs[head]
            found[prefix:, prefix:] = pairs[block[:, None], block[None, :]]
        return found

    def num_pairs(self, length, prefix=0):
        # All heads have as many, the first one too.
        return int(self.dense_mask(length, prefix, head=0).sum())

    def get_config(self):
        config = super().get_config()
        config.update(
            block=self.block, num_random=self.num_random, seed=self.seed
        )
        return config


def _ends(x, first):
    """Keys that all attend to: (B, A, n, b, E) -> (B, A, P + 2 b, E)."""
    return ops.concatenate([first, x[:, :, 0], x[:, :, -1]], axis=2)


def _groups(count):
    """The middle blocks: (first, beyond the last), offsets of the window."""
    return (
        ((1, 2), (0, 1)),
        ((2, count - 2), (-1, 0, 1)),
        ((count - 2, count - 1), (-1, 0)),
    )


def _in_front(mask, prefix, real):
    """(B or 1, N) -> (B or 1, P + N) bool; mask: (B, P) or None."""
    if mask is None:
        return ops.pad(real, ((0, 0), (prefix, 0)), constant_values=True)
    return ops.concatenate([mask, real], axis=1)
