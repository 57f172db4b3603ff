import math

import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _places
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import masked_softmax
from pixmodels.layers.dropout import Dropout
from pixmodels.sequence import _diagonals
from pixmodels.sequence import _subset
from pixmodels.sequence.ema import EMA

FUNCTIONS = ("softmax", "laplace", "relu2")
# Mean and deviation with which `laplace` is nearest to `relu2`.
_MEAN = math.sqrt(0.5)
_DEVIATION = math.sqrt(0.25 / math.pi)
_LARGEST = 65504.0  # of float16


@MIXERS.register("mega")
class Mega(Mixer):
    """Attention of one head, with moving averages before it and gates around.

    Queries and keys are made from moving averages of x (`ema`), values from x
    itself; scores get a learned bias of the distance. With `chunk`, tokens
    attend inside disjoint chunks only (Mega-chunk), while the averages run
    over all of them. Source: Ma et al. 2022, "Mega: Moving Average Equipped
    Gated Attention", eqs. 6 to 16; numbers as transformers 4.57.1
    (`MegaBlock`).

    The paper's layer is `x + u (h - x)` with a gate u and its norm before or
    after; our blocks add x and normalise before, so that the mixer gives
    `u (h - x)` for the x that it gets. That is the paper's layer without a
    norm, or with the norm after; where the paper normalises before, its h is
    weighed against the x without the norm. `pixmodels.sequence.MegaBlock` is
    the whole block in each of the paper's forms.

    Args:
        num_heads: A; unused, as there is one head.
        shared_dim: width of queries and keys, which share a projection.
        value_dim: width of the values; 2 D by default.
        state_dim: averages in each feature, as `EMA`.
        function: of the scores a: "softmax"; "laplace",
            `(1 + erf((a - 0.7071) / 0.3989)) / 2`; or "relu2", `relu(a)^2`.
            The last two are no shares: a is divided by the count of keys.
        chunk: tokens that attend to each other; None: all.
        max_length: longest sequence without `chunk`, prefix included; None
            means the length at which the layer is built.
        truncation, form, block: as `EMA`.
        hidden_dropout: on h.
        dropout_rate: on what `function` gives.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. Tokens of the prefix are the first of the sequence and of
        the first chunk. `positions` need `grid`, whose other patches count as
        padding.

    Raises:
        ValueError: for counts below 1, an unknown function or form, a
            `head_dim`, positions without a grid, a sequence longer than
            `max_length`, or a cache of another batch size.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("mega")
        >>> mixer = cls(num_heads=1, shared_dim=5, chunk=4)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N^2), O(N c) in chunks of c"
    any_length = False
    projections = ()
    small_options = {
        "shared_dim": 5,
        "value_dim": 7,
        "state_dim": 3,
        "chunk": 4,
        "block": 3,
    }

    def __init__(
        self,
        num_heads,
        *,
        shared_dim=64,
        value_dim=None,
        state_dim=16,
        function="softmax",
        chunk=None,
        max_length=None,
        truncation=None,
        form=None,
        block=64,
        hidden_dropout=0.0,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            shared_dim=shared_dim,
            value_dim=value_dim,
            chunk=chunk,
            max_length=max_length,
            optional=("value_dim", "chunk", "max_length"),
        )
        if function not in FUNCTIONS:
            raise ValueError(
                f"Expected function among {FUNCTIONS}. Received: "
                f"function={function!r}."
            )
        if self.head_dim is not None:
            raise ValueError(
                "Expected head_dim=None: there is one head, of shared_dim. "
                f"Received: head_dim={self.head_dim}."
            )
        self.shared_dim = shared_dim
        self.value_dim = value_dim
        self.state_dim = state_dim
        self.function = function
        self.chunk = chunk
        self.max_length = max_length
        self.truncation = truncation
        self.form = form
        self.block = block
        self.hidden_dropout = hidden_dropout
        self.ema = EMA(
            1,
            state_dim=state_dim,
            truncation=truncation,
            form=form,
            block=block,
            causal=self.causal,
            name="ema",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        # None of the projections of `Mixer`.
        width = input_shape[-1]
        self._value_dim = self.value_dim or 2 * width
        self._sizes = (width, self.shared_dim, self._value_dim, width)
        shape = (None, None, width)
        bias = self.use_bias if self.qkv_bias is None else self.qkv_bias
        self.ema.build(shape)
        self.dense_value = self._dense(self._value_dim, "value", shape, bias)
        self.dense_gates = self._dense(sum(self._sizes), "gates", shape, bias)
        shape = (None, None, self._value_dim)
        wide = "float32" if self._is_wide() else self.dtype_policy
        self.dense_output = keras.layers.Dense(
            width,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="output",
            dtype=wide,
        )
        self.dense_output.build(shape)
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.gains = self.add_weight(
            name="gains", shape=(2, self.shared_dim), initializer=normal
        )
        self.shifts = self.add_weight(
            name="shifts", shape=(2, self.shared_dim), initializer="zeros"
        )
        if self.chunk is None:
            self.max_length = _places.longest_of(self.max_length, input_shape)
        self.distances = self.add_weight(
            name="distances",
            shape=(2 * self._reach() - 1,),
            initializer=normal,
            autocast=False,
        )
        self.dropout = self._dropout(self.dropout_rate, "probabilities", wide)
        self.dropout_h = self._dropout(self.hidden_dropout, "hidden")
        self.built = True

    def _dropout(self, rate, name, dtype=None):
        return Dropout(
            rate,
            salt=f"{self.salt}/{name}",
            name=f"dropout_{name}",
            dtype=dtype or self.dtype_policy,
        )

    def _reach(self):
        """Tokens that can attend to each other."""
        return self.max_length if self.chunk is None else self.chunk

    def mix(self, x, mask, positions, prefix, state, training, grid):
        x = _subset.zeroed(x, mask)
        return self.change(
            x,
            x,
            mask=mask,
            positions=positions,
            prefix=prefix,
            training=training,
            grid=grid,
        )

    def change(
        self,
        x,
        residual,
        *,
        mask=None,
        positions=None,
        prefix=0,
        training=None,
        grid=None,
    ):
        """`u (h - residual)`, what the paper's layer adds to `residual`.

        Args:
            x: (B, N, D), the layer's input, normalised or not.
            residual: (B, N, D), the same without the norm.
            mask, positions, prefix, training, grid: as `Mixer`.

        Returns:
            (B, N, D).
        """
        length = _blocks.static_length(x)
        if self.chunk is None:
            _places.check_longest(
                self.max_length, length, positions, prefix, grid
            )
        if not length:
            return x
        x = _subset.zeroed(x, mask)
        whole, real, places = _subset.placed(x, mask, positions, prefix, grid)
        value = ops.silu(self.dense_value(whole))
        parts = self._parts(self.ema(whole, mask=real))
        update, query, key, reset, hidden = parts
        mixed = self._attend(query, key, value, real, training)
        update, hidden = (
            _subset.taken(part, places)
            for part in (update, self._hidden(hidden, mixed, reset, training))
        )
        return update * (hidden - residual)

    def _hidden(self, hidden, mixed, reset, training):
        """h, of the shape of `hidden`."""
        added = self.dense_output(mixed * ops.cast(reset, mixed.dtype))
        hidden = ops.silu(ops.cast(hidden, added.dtype) + added)
        if self._is_wide():
            hidden = ops.clip(hidden, -_LARGEST, _LARGEST)
        hidden = ops.cast(hidden, self.compute_dtype)
        return self.dropout_h(hidden, training=training)

    def _is_wide(self):
        """Whether float16 might not hold the sums of squares."""
        return self.function == "relu2" and self.compute_dtype == "float16"

    def _parts(self, averaged):
        """The update gate, queries, keys, the reset gate, what h adds to."""
        parts, start = [], 0
        gates = self.dense_gates(averaged)
        for size in self._sizes:
            parts.append(gates[..., start : start + size])
            start += size
        update, shared, reset, hidden = parts
        shared = ops.silu(shared)
        gains = ops.cast(self.gains, shared.dtype)
        shifts = ops.cast(self.shifts, shared.dtype)
        query, key = (shared * gains[i] + shifts[i] for i in range(2))
        return ops.sigmoid(update), query, key, ops.silu(reset), hidden

    def _attend(self, query, key, value, mask, training):
        """(B, N, v), chunk by chunk."""
        length = query.shape[1]
        size = min(self._reach(), length)
        query, key, value = (
            _blocks.split(part, 1, size) for part in (query, key, value)
        )
        allowed = None
        if mask is not None:
            allowed = _blocks.split(mask, 1, size)[..., None, :]
        elif key.shape[1] * size > length:
            real = ops.ones((1, length), dtype="bool")
            allowed = _blocks.split(real, 1, size)[..., None, :]
        if self.causal:
            allowed = self.and_past(allowed, size)
        weights = self._weights(query, key, allowed, self._bias(size))
        mixed = self._mixed(weights, value, training)
        shape = (-1, mixed.shape[1] * size, self._value_dim)
        return ops.reshape(mixed, shape)[:, :length]

    def _bias(self, size):
        """(size, size) float32, of key j for query i by j - i."""
        middle = self._reach() - 1
        line = ops.convert_to_tensor(self.distances)
        line = line[middle + 1 - size : middle + size]
        return _diagonals.sheared(ops.pad(line, ((0, 1),)), size)

    def _weights(self, query, key, allowed, bias):
        """What `function` gives, at least float32.

        Args:
            query: (..., M, s), key: (..., N, s).
            allowed: bool, broadcasts to (..., M, N); None: all.
            bias: broadcasts to (..., M, N).
        """
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2))
        logits = at_least_float32(logits)
        bias = ops.cast(bias, logits.dtype)
        if self.function == "softmax":
            logits = logits * self.shared_dim**-0.5 + bias
            return masked_softmax(logits, allowed)
        if allowed is None:
            count = logits.shape[-1]
        else:
            allowed = ops.cast(allowed, logits.dtype)
            count = ops.sum(allowed, axis=-1, keepdims=True)
            count = ops.maximum(count, 1.0)
        logits = logits / count + bias
        if self.function == "laplace":
            scaled = (logits - _MEAN) / (_DEVIATION * math.sqrt(2))
            weights = 0.5 * (1 + ops.erf(scaled))
        else:
            weights = ops.square(ops.relu(logits))
        return weights if allowed is None else weights * allowed

    def _mixed(self, weights, value, training):
        """Sums of values (..., N, v) by weights (..., M, N)."""
        if self.function != "relu2":
            weights = ops.cast(weights, value.dtype)
        # Squares may be more than float16 holds, and so may their sums: the
        # result stays float32 until it is gated.
        weights = self.dropout(weights, training=training)
        return ops.matmul(weights, ops.cast(value, weights.dtype))

    def initial_cache(self, batch_size, length):
        """Averages, keys and values before the first token.

        Args:
            batch_size: B.
            length: tokens at most.

        Returns:
            dict of "ema" (`EMA.initial_cache`), "key" (B, C, shared_dim) and
            "value" (B, C, value_dim): those of the chunk, C of at most
            `chunk`; without `chunk` of all tokens, C = `length`.

        Raises:
            ValueError: as `Mixer`, and for a length beyond `max_length`.
        """
        _steps.check_cache(self, batch_size, length)
        if self.chunk is None:
            _places.check_longest(self.max_length, length, None, 0, None)
        kept = min(self._reach(), length)
        dtype = self.compute_dtype
        return {
            "ema": self.ema.initial_cache(batch_size, length),
            "key": ops.zeros((batch_size, kept, self.shared_dim), dtype),
            "value": ops.zeros((batch_size, kept, self._value_dim), dtype),
        }

    def step(self, x, cache, index, *, training=False):
        """As `Mixer`; its time is constant with `chunk`, else that of one row
        of the attention."""
        return self.change_step(x, x, cache, index, training=training)

    def change_step(self, x, residual, cache, index, *, training=False):
        """`change` of one token: as `step`, `residual` (B, D) beside x."""
        kept = cache["key"].shape[1]
        longest = kept if self.chunk is None else None
        _steps.check_step(self, x, cache, index, longest)
        x = ops.cast(x, self.compute_dtype)
        index = ops.cast(index, "int32")
        averaged, averages = self.ema.step(x, cache["ema"], index)
        update, query, key, reset, hidden = self._parts(averaged)
        slot = ops.mod(index, kept)
        zero = ops.zeros_like(slot)
        start = ops.stack([zero, slot, zero])
        value = ops.silu(self.dense_value(x))
        cache = {
            "ema": averages,
            "key": ops.slice_update(cache["key"], start, key[:, None]),
            "value": ops.slice_update(cache["value"], start, value[:, None]),
        }
        places = ops.arange(kept, dtype="int32")
        bias = ops.take(
            ops.convert_to_tensor(self.distances),
            places - slot + self._reach() - 1,
        )
        allowed = (places <= slot)[None, None]
        weights = self._weights(query[:, None], cache["key"], allowed, bias)
        mixed = self._mixed(weights, cache["value"], training)[:, 0]
        hidden = self._hidden(hidden, mixed, reset, training)
        return update * (hidden - ops.cast(residual, hidden.dtype)), cache

    def get_config(self):
        config = super().get_config()
        config.update(
            shared_dim=self.shared_dim,
            value_dim=self.value_dim,
            state_dim=self.state_dim,
            function=self.function,
            chunk=self.chunk,
            max_length=self.max_length,
            truncation=self.truncation,
            form=self.form,
            block=self.block,
            hidden_dropout=self.hidden_dropout,
        )
        return config
