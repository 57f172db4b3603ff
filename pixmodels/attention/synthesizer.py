import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _places
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import masked_softmax

PARTS = ("random", "factorised", "dense", "dot_product")


@MIXERS.register("synthesizer")
class SynthesizerAttention(Mixer):
    """Attention whose logits come from places, or from one token at a time.

    `softmax(S) V`, where S (A, N, N) is

    - "random": a table R of logits for each pair of places;
    - "factorised": `R1 R2'` of two tables with `rank` columns;
    - "dense": `relu(z_i W1 + b1) W2 + b2`, one logit for each place, from the
      token's own query z_i;
    - a mixture, as "random+dot_product" or "dense+factorised": the sum of its
      parts with learned weights that add up to 1. "dot_product" stands for
      softmax attention's logits, and takes the queries of "dense".

    Source: Tay et al. 2021, "Synthesizer: Rethinking Self-Attention for
    Transformer Models", section 3. Shorter sequences use the first rows and
    columns, a subset those of its places. Where we differ from Long-Range
    Arena (factorised, rank 32, no dot product): padding is not attended, which
    is forgotten there, and heads of the dense form are not mixed up with
    tokens. Logits are float32 under any policy.

    Args:
        num_heads: A.
        variant: a part, or parts with "+" between them.
        rank: columns of the two tables of "factorised".
        max_length: longest sequence, prefix included; None means the length
            at which the layer is built.
        learned: False leaves the tables of "random" and "factorised" as they
            were drawn, the paper's fixed form.
        weighted: False adds the parts of a mixture up as they are, as
            Long-Range Arena does.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. With `positions`, each token takes the row and the column
        of its place.

    Raises:
        ValueError: for an unknown, a repeated or no synthetic part, counts
            below 1, if there is no `max_length` to be known, or for a
            sequence or a grid longer than it.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("synthesizer")
        >>> mixer = cls(num_heads=2, variant="random+dot_product")
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
        >>> tuple(mixer.random_logits.shape)
        (2, 7, 7)
    """

    causal = True
    complexity = "O(N^2)"
    any_length = False
    small_options = {"rank": 5, "max_length": 17}

    def __init__(
        self,
        num_heads,
        *,
        variant="dense",
        rank=8,
        max_length=None,
        learned=True,
        weighted=True,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        parts = str(variant).split("+")
        if (
            set(parts) - set(PARTS)
            or len(set(parts)) < len(parts)
            or parts == ["dot_product"]
        ):
            raise ValueError(
                f"Expected a variant among {PARTS[:-1]}, or a mixture such as "
                "'random+dot_product' ('dot_product' alone is the mechanism "
                f"'softmax'). Received: variant={variant!r}."
            )
        _checks.check_counts(
            rank=rank, max_length=max_length, optional=("max_length",)
        )
        self.variant = variant
        self.rank = rank
        self.max_length = max_length
        self.learned = learned
        self.weighted = weighted
        self._parts = parts
        self.projections = ("value",)
        if "dot_product" in parts:
            self.projections = ("query", "key", "value")
        elif "dense" in parts:
            self.projections = ("query", "value")

    def build(self, input_shape):
        super().build(input_shape)
        self.max_length = _places.longest_of(self.max_length, input_shape)
        longest, size = self.max_length, self._head_dim
        # Logits begin as those of normal queries and keys, of variance 1.
        if "random" in self._parts:
            self.random_logits = self._table("random_logits", (longest,) * 2, 1)
        if "factorised" in self._parts:
            shape, scale = (longest, self.rank), self.rank**-0.25
            self.row_factors = self._table("row_factors", shape, scale)
            self.column_factors = self._table("column_factors", shape, scale)
        if "dense" in self._parts:
            for name, shape, scale in (
                ("hidden_kernel", (size, size), size**-0.5),
                ("hidden_bias", (1, size), None),
                ("place_kernel", (size, longest), size**-0.5),
                ("place_bias", (1, longest), None),
            ):
                setattr(self, name, self._weight(name, shape, scale))
        if self.weighted and len(self._parts) > 1:
            shape = (len(self._parts),)
            self.mixture = self.add_weight(
                name="mixture", shape=shape, initializer="zeros", autocast=False
            )

    def _table(self, name, shape, scale):
        return self._weight(name, shape, scale, trainable=self.learned)

    def _weight(self, name, shape, scale=None, trainable=True):
        """(A, ...) of normal numbers, or zeros; never rounded."""
        initializer = "zeros"
        if scale is not None:
            initializer = keras.initializers.RandomNormal(stddev=scale)
        return self.add_weight(
            name=name,
            shape=(self.num_heads, *shape),
            initializer=initializer,
            trainable=trainable,
            autocast=False,
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        weights = self._weights(x, mask, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        if training and self.dropout_rate:
            # Each example drops pairs of its own.
            weights = weights + ops.zeros_like(x[:, None, :1, :1], "float32")
        weights = ops.cast(weights, self.compute_dtype)
        mixed = ops.matmul(self.dropout(weights, training=training), value)
        return self.output_dense(self.merge_heads(mixed))

    def _weights(self, x, mask, positions, prefix, grid):
        """(B or 1, A, N, N) float32, rows add up to 1."""
        logits = self._logits(x, positions, prefix, grid)
        allowed = None if mask is None else mask[:, None, None, :]
        if self.causal:
            allowed = self.and_past(allowed, logits.shape[-1])
        return masked_softmax(logits, allowed)

    def _logits(self, x, positions, prefix, grid):
        """(B or 1, A, N, N) float32, those of all parts together."""
        length = _blocks.static_length(x)
        _places.check_longest(self.max_length, length, positions, prefix, grid)
        place = None
        if positions is not None:
            place = _places.places(positions, prefix)
        query = None
        if "query" in self.projections:
            query = ops.cast(self.split_heads(self.query(x)), "float32")
        found = []
        for part in self._parts:
            if part == "random":
                found.append(self._random(length, place))
            elif part == "factorised":
                found.append(self._factorised(length, place))
            elif part == "dense":
                found.append(self._dense_logits(query, length, place))
            else:
                found.append(self._dot_product(query, x))
        if self.weighted and len(found) > 1:
            shares = ops.softmax(ops.cast(self.mixture, "float32"))
            found = [shares[i] * logits for i, logits in enumerate(found)]
        return sum(found[1:], found[0])

    def _random(self, length, place):
        table = ops.cast(self.random_logits, "float32")
        if place is None:
            return table[None, :, :length, :length]
        # One index for each pair: (B, N, N).
        pair = place[:, :, None] * self.max_length + place[:, None, :]
        table = ops.reshape(table, (self.num_heads, -1))
        return ops.moveaxis(ops.take(table, pair, axis=1), 1, 0)

    def _factorised(self, length, place):
        rows, columns = (
            self._at(table, 1, length, place)
            for table in (self.row_factors, self.column_factors)
        )
        return ops.matmul(rows, ops.swapaxes(columns, -1, -2))

    def _dense_logits(self, query, length, place):
        hidden = ops.matmul(query, ops.convert_to_tensor(self.hidden_kernel))
        hidden = ops.relu(hidden + self.hidden_bias)
        kernel = self._at(self.place_kernel, 2, length, place)
        logits = ops.matmul(hidden, kernel)
        return logits + self._at(self.place_bias, 2, length, place)

    def _dot_product(self, query, x):
        key = ops.cast(self.split_heads(self.key(x)), "float32")
        query = query * self._head_dim**-0.5
        return ops.matmul(query, ops.swapaxes(key, -1, -2))

    def _at(self, table, axis, length, place):
        """The part of (A, ...) for the tokens: (B or 1, A, ...) float32."""
        table = ops.cast(table, "float32")
        if place is None:
            index = (slice(None),) * axis + (slice(0, length),)
            return table[index][None]
        return ops.moveaxis(ops.take(table, place, axis=axis), axis, 0)

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        x = ops.convert_to_tensor(x)
        mask = None if mask is None else ops.cast(mask, "bool")
        weights = self._weights(x, mask, positions, prefix, grid)
        return weights + ops.zeros_like(x[:, None, :1, :1], "float32")

    def num_pairs(self, length, prefix=0):
        return length * (length + 1) // 2 if self.causal else length**2

    def get_config(self):
        config = super().get_config()
        config.update(
            variant=self.variant,
            rank=self.rank,
            max_length=self.max_length,
            learned=self.learned,
            weighted=self.weighted,
        )
        return config
