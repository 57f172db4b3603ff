import keras
import numpy as np
from keras import ops

from pixmodels import positions as position_tables
from pixmodels._precision import at_least_float32
from pixmodels.attention import _checks
from pixmodels.attention import _fused
from pixmodels.attention import _pictures
from pixmodels.attention import _rotary
from pixmodels.attention import _steps
from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.layers.dropout import Dropout


class Mixer(keras.layers.Layer):
    """The contract of every mechanism that mixes positions.

    Subclasses implement `mix`; projections, checks and the configuration that
    they share are here. A mechanism refuses by ValueError what it cannot do.

    Class attributes:
        causal: whether a causal form exists.
        complexity: cost in the sequence length, as text.
        length_invariant: trimming padding leaves real outputs unchanged.
        permutation_equivariant: without positions, order does not matter.
        stateful: takes and returns `state` (`initial_state`).
        max_length: longest sequence, or None.
        any_length: whether a graph can be made before lengths are known;
            mechanisms that cut blocks or segments need a static length.
        rotary: whether rotary positions exist for it.
        projections: names of those of the input, fewer where some are shared.
        small_options: constructor arguments that make the mechanism do real
            work on a dozen tokens, for tests and pictures.

    Args:
        num_heads: A.
        head_dim: E; D / A by default.
        use_bias: biases in the four projections.
        qkv_bias: biases in those of queries, keys and values; None means
            `use_bias`.
        causal: position i attends to positions <= i only.
        rotary: None, or the base of the frequencies by which queries and keys
            are turned (`pixmodels.positions.rotary_2d`; 100 in RoPE-ViT).
            Scores then depend on offsets in the grid. Tokens of the prefix
            are not turned.
        dropout_rate: on attention probabilities.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D) floating point.
        mask: (B, N) bool, True = real; None means all are. It covers the
            prefix too. Padding must not change real outputs.
        positions: (B, N - prefix) int32, the true places of the tokens after
            the prefix, ascending; None means 0, 1, 2, ...
        prefix: int, tokens in front (class, registers) that local mechanisms
            treat as global.
        state: for stateful mechanisms, what the layer before gives on.
        training: bool, turns dropout on.
        grid: (R, C) ints, the grid of patches through which `positions`
            count row by row; None means one row.

    Returns:
        (B, N, D); with a `state` the pair of it and the next state.

    Raises:
        ValueError: if `num_heads` does not divide D and no `head_dim` is
            given, if `causal` or `rotary` is asked of a mechanism without
            that form, if E is not a multiple of 4 with `rotary`, if `mask` is
            not bool, if `mask` or `positions` have another rank or length
            than (B, N), or if a state is given to a stateless one.
    """

    causal = False
    complexity = ""
    length_invariant = True
    permutation_equivariant = False
    stateful = False
    max_length = None
    any_length = True
    rotary = False
    projections = ("query", "key", "value")
    small_options = {}

    def __init__(
        self,
        num_heads,
        *,
        head_dim=None,
        use_bias=True,
        qkv_bias=None,
        causal=False,
        rotary=None,
        dropout_rate=0.0,
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if causal and not type(self).causal:
            raise ValueError(
                f"Expected causal=False: {type(self).__name__} has no causal "
                f"form. Received: causal={causal}."
            )
        if rotary is not None and not type(self).rotary:
            raise ValueError(
                f"Expected rotary=None: {type(self).__name__} has no rotary "
                f"positions. Received: rotary={rotary}."
            )
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.use_bias = use_bias
        self.qkv_bias = qkv_bias
        self.causal = causal
        self.rotary = rotary
        self.dropout_rate = dropout_rate
        self.salt = salt
        self.supports_masking = True

    @classmethod
    def options_of_block(cls, options, index):
        """Constructor options of a stack's block of a number, from 0.

        Args:
            options: dict, those of the stack; it is not changed.
            index: int.
        """
        return options

    def initial_state(self, x):
        """The `state` of the first of several layers, or None without one.

        Args:
            x: (B, N, D), as `call`.
        """
        return None

    def build(self, input_shape):
        width = input_shape[-1]
        self._width = width
        self._head_dim = _heads.size(self.num_heads, self.head_dim, input_shape)
        inner = self.num_heads * self._head_dim
        if self.rotary is not None:
            position_tables.rotary_2d(self._head_dim, (1, 1))  # refuses early
        shape = (None, None, width)
        bias = self.use_bias if self.qkv_bias is None else self.qkv_bias
        for name in self.projections:
            setattr(self, name, self._dense(inner, name, shape, bias))
        shape = (None, None, inner)
        self.output_dense = self._dense(width, "output", shape, self.use_bias)
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/probabilities",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def _dense(self, units, name, shape, use_bias):
        layer = keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build(shape)
        return layer

    def split_heads(self, x):
        """(B, N, A * E) -> (B, A, N, E), of any E."""
        return _heads.split(x, self.num_heads)

    def merge_heads(self, x):
        """(B, A, N, E) -> (B, N, A * E)."""
        return _heads.merged(x)

    def attend(
        self, query, key, value, allowed=None, training=None, *, causal=False
    ):
        """Softmax attention over the last two axes of head tensors.

        Heads of four axes go through a fused kernel of the backend where it
        has one (`_fused`), unless probabilities are dropped.

        Args:
            query: (..., M, E), key and value: (..., N, E).
            allowed: bool, broadcasts to (..., M, N), True = attended; the same
                for all heads.
            training: bool.
            causal: query i attends to keys j <= i only; M is N.

        Returns:
            (..., M, E). Logits and softmax are float32 under any policy.
        """
        dropped = training and self.dropout_rate
        if not dropped and _fused.offered(query):
            scale = self._head_dim**-0.5
            return _fused.attend(
                query, key, value, allowed, causal=causal, scale=scale
            )
        if causal:
            allowed = self.and_past(allowed, ops.shape(query)[-2])
        weights = self.weights_of(query, key, allowed)
        weights = ops.cast(weights, self.compute_dtype)
        return ops.matmul(self.dropout(weights, training=training), value)

    def and_past(self, allowed, length):
        """`allowed`, or True for None, and key <= query: (..., N, N) bool."""
        place = ops.arange(length)
        past = (place[:, None] >= place[None, :])[None, None]
        return past if allowed is None else past & allowed

    def weights_of(self, query, key, allowed=None):
        """The softmax of `attend`: (..., M, N) float32, rows add up to 1."""
        # Scaling the queries costs N * E products, the logits N * N.
        query = query * ops.cast(self._head_dim**-0.5, query.dtype)
        axes = (*range(len(key.shape) - 2), -1, -2)
        axes = tuple(axis % len(key.shape) for axis in axes)
        logits = ops.matmul(query, ops.transpose(key, axes))
        return masked_softmax(logits, allowed)

    def queries_and_keys(self, x, positions, prefix, grid):
        """Both (B, A, N, E), with rotary positions where those are used."""
        return tuple(
            self.turned(self.split_heads(part(x)), positions, prefix, grid)
            for part in (self.query, self.key)
        )

    def turned(self, heads, positions, prefix, grid):
        """Queries or keys with their rotary positions.

        Args:
            heads: (B, A, prefix + N, E).
            positions, prefix, grid: as `call`.

        Returns:
            As `heads`, turned in float32; `heads` itself without `rotary`.
        """
        if self.rotary is None:
            return heads
        length = heads.shape[2]
        if length is None:
            raise ValueError(
                "Expected a static length with rotary positions. Received: "
                f"heads.shape={tuple(heads.shape)}."
            )
        grid = grid or (1, length - prefix)
        table = position_tables.rotary_2d(self._head_dim, grid, self.rotary)
        if positions is None:
            table = table[: length - prefix]
        x = at_least_float32(heads[:, :, prefix:])
        turns = []
        for part in (np.cos(table), np.sin(table)):
            part = ops.convert_to_tensor(part, x.dtype)
            if positions is not None:
                part = ops.take(part, positions, axis=0)[:, None]
            turns.append(part)  # (N, E / 2) or (B, 1, N, E / 2)
        x = ops.cast(_rotary.turned(x, *turns), heads.dtype)
        if not prefix:
            return x
        return ops.concatenate([heads[:, :, :prefix], x], axis=2)

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        state=None,
        training=None,
        grid=None,
    ):
        if state is not None and not self.stateful:
            raise ValueError(
                f"Expected state=None: {type(self).__name__} carries no "
                f"state. Received: state={state}."
            )
        _checks.check_call(x, mask, positions, prefix)
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
        return self.mix(x, mask, positions, prefix, state, training, grid)

    def mix(self, x, mask, positions, prefix, state, training, grid):
        """The mechanism itself; arguments as `call`, all given."""
        raise NotImplementedError

    @property
    def head_size(self):
        """E, int; known once the layer is built."""
        return self._head_dim

    def initial_cache(self, batch_size, length):
        """What `step` starts from: nothing was given yet.

        Args:
            batch_size: B.
            length: most tokens that will be given.

        Returns:
            nested dict of tensors whose first axis is B, so that examples can
            be put in another order (beams). Here the inputs, (B, length, D).

        Raises:
            ValueError: if the mixer is not causal or not built.
        """
        _steps.check_cache(self, batch_size, length)
        shape = (batch_size, length, self._width)
        return {"inputs": ops.zeros(shape, dtype=self.compute_dtype)}

    def step(self, x, cache, index, *, state=None, training=False):
        """One more token: row `index` of the causal call, without the rest.

        This form keeps all inputs and makes the whole call anew for each
        token; mechanisms that can do with less have their own. It runs in
        loops of the backend and under XLA. Tokens have neither padding nor
        prefix.

        Args:
            x: (B, D) floating point, the token.
            cache: from `initial_cache`, or from the step before.
            index: int or int scalar tensor, the token's number from 0.
            state: for mixers whose causal form hands a state from layer to
                layer as it is (luna): as in a call.
            training: bool.

        Returns:
            ((B, D), the next cache).

        Raises:
            ValueError: if the mixer is not causal, for an `x` or a cache of
                another shape, or an int `index` beyond the cache's length.
        """
        inputs = cache["inputs"]
        length = inputs.shape[1]
        _steps.check_step(self, x, cache, index, length)
        x = ops.cast(x, self.compute_dtype)
        index = ops.cast(index, "int32")
        zero = ops.zeros_like(index)
        start = ops.stack([zero, index, zero])
        inputs = ops.slice_update(inputs, start, x[:, None])
        past = ops.arange(length, dtype="int32") <= index
        mask = past[None] & ops.ones_like(inputs[..., 0], dtype="bool")
        options = {} if state is None else {"state": state}
        mixed = self(inputs, mask=mask, training=training, **options)
        mixed = mixed if state is None else mixed[0]
        return ops.take(mixed, index, axis=1), {"inputs": inputs}

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        """How much each token attends to each other one.

        Args:
            As `call`.

        Returns:
            (B, A, N, N) float32, rows (queries) add up to 1; all pairs are
            there, so memory is O(N^2) for any mechanism.

        Raises:
            ValueError: if the mechanism has no such probabilities.
        """
        raise ValueError(
            "Expected a mechanism with attention maps, such as 'softmax'. "
            f"Received: {type(self).__name__}."
        )

    def dense_mask(self, length, prefix=0, positions=None):
        """Which pairs attend, for mechanisms with a fixed pattern.

        Args:
            length: N, prefix included.
            prefix: tokens in front.
            positions: (N - prefix,) ints; 0, 1, 2, ... by default.

        Returns:
            (N, N) numpy bool, True where row (query) attends to column (key).

        Raises:
            ValueError: if the pattern depends on the content.
        """
        raise ValueError(
            f"Expected a mechanism with a fixed pattern. Received: "
            f"{type(self).__name__}."
        )

    def num_pairs(self, length, prefix=0):
        """How many pairs attend in each head, int; as `dense_mask`."""
        return int(self.dense_mask(length, prefix).sum())

    def explain(self, length, prefix=0):
        """What attends to what and what it costs, as a short text.

        Args:
            length: N, prefix included.
            prefix: tokens in front.

        Returns:
            str of a few lines. Pairs are counted up to 4,096 tokens; longer
            sequences get the count of that length.
        """
        return _pictures.explain(self, length, prefix)

    def plot_pattern(
        self, length, prefix=0, positions=None, *, x=None, ax=None
    ):
        """A picture of the pairs that attend: rows attend to columns.

        Fixed patterns are drawn as they are (`dense_mask`). Where the content
        decides, it is the attention map of one example, the mean over the
        heads, each row from 0 to its maximum.

        Args:
            length: N, prefix included.
            prefix: tokens in front; red lines part them from the others.
            positions: (N - prefix,) ints; 0, 1, 2, ... by default.
            x: (N, D), an example to draw the attention map of, also where the
                pattern is fixed. None: the pattern, or random numbers. A
                layer that is not built is drawn with random weights.
            ax: `matplotlib.axes.Axes` to draw in; None: a new figure.

        Returns:
            `matplotlib.figure.Figure`; `savefig` writes it to a file.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: for a mechanism without pattern and attention maps, or
                an `x` of another length.
        """
        if x is not None and len(x) != length:
            raise ValueError(
                f"Expected x of shape ({length}, D) for length={length}. "
                f"Received: x.shape={tuple(np.shape(x))}."
            )
        found = _pictures.weights(self, length, prefix, positions, x)
        return _pictures.draw(self, *found, prefix, ax)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            use_bias=self.use_bias,
            qkv_bias=self.qkv_bias,
            causal=self.causal,
            rotary=self.rotary,
            dropout_rate=self.dropout_rate,
            salt=self.salt,
        )
        return config
