import math

import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _kernels
from pixmodels.attention.mixer import Mixer
from pixmodels.layers import _heads
from pixmodels.layers._masked_softmax import masked_softmax

NORMS = ("before", "after", None)
_BETA = math.log(2)


@MIXERS.register("luna")
class LunaAttention(Mixer):
    """Attention through a short learned sequence P: packed, then unpacked.

    The r tokens of P attend to all of x, which gives P'; the tokens of x then
    attend to P'. P + P' is carried to the next layer as its P, so that only the
    first layer of a `TransformerStack` has a learned one. In the causal form,
    weights that are not normalised, `softplus(x_s . p_l)`, take the place of
    the first softmax, and sums over the past that of both products; P is
    carried as it is.

    Source: Ma et al. 2021, "Luna: Linear Unified Nested Attention", eqs. 4 to
    9 (the released softplus has the slope ln 2); numbers as its code
    (fairseq-apollo 3644d20, `luna_attention.py`). Where we differ: P is
    normalised before it is used, as x in our blocks, where the released model
    normalises sums ("after"); it has no positions, and no row of it is left
    out for short inputs; the causal form counts real tokens only, where the
    released one has no mask.

    Args:
        num_heads: A.
        packed_length: r.
        tie_kv: keys are values, in both attentions.
        pack_heads: heads of the first attention; A by default. It must divide
            D, whatever `head_dim` is; with `causal` it is A.
        carry: whether P goes from layer to layer; without, each has its own.
        first: whether the layer has a learned P; stacks see to it.
        packed_norm: "before" (what is packed into is `LayerNorm(P)`), "after"
            (what is carried is `LayerNorm(P + P')`) or None. There is none
            without `carry`.
        packed_norm_epsilon: of that norm.
        block: tokens in a block of the causal form; changes speed only.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `state` is P, (B, r, D); `positions` do not matter beyond
        their order.

    Returns:
        (B, N, D), and with a `state` also the next one, (B, r, D).

    Raises:
        ValueError: for counts below 1, a `pack_heads` that does not fit, an
            unknown `packed_norm`, a layer that is not the first without
            `carry` or without a `state`, or a `state` without `carry`.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("luna")
        >>> mixer = cls(num_heads=2, packed_length=5)
        >>> x = np.ones((3, 7, 8), "float32")
        >>> mixer(x).shape
        TensorShape([3, 7, 8])
        >>> y, state = mixer(x, state=mixer.initial_state(x))
        >>> state.shape
        TensorShape([3, 5, 8])
    """

    causal = True
    complexity = "O(N r)"
    permutation_equivariant = True
    stateful = True
    projections = ("query",)
    small_options = {"packed_length": 5, "block": 3}

    def __init__(
        self,
        num_heads,
        *,
        packed_length=128,
        tie_kv=True,
        pack_heads=None,
        carry=True,
        first=True,
        packed_norm="before",
        packed_norm_epsilon=1e-6,
        block=128,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            packed_length=packed_length,
            pack_heads=pack_heads,
            block=block,
            optional=("pack_heads",),
        )
        if packed_norm not in NORMS:
            raise ValueError(
                f"Expected packed_norm among {NORMS}. Received: "
                f"packed_norm={packed_norm!r}."
            )
        if not (first or carry):
            raise ValueError(
                "Expected first=True without carry: there is no other P. "
                f"Received: first={first}, carry={carry}."
            )
        if self.causal and pack_heads not in (None, num_heads):
            raise ValueError(
                "Expected pack_heads=None or num_heads in the causal form. "
                f"Received: pack_heads={pack_heads}, num_heads={num_heads}."
            )
        self.packed_length = packed_length
        self.tie_kv = tie_kv
        self.pack_heads = pack_heads
        self.carry = carry
        self.first = first
        self.packed_norm = packed_norm
        self.packed_norm_epsilon = packed_norm_epsilon
        self.block = block

    @classmethod
    def options_of_block(cls, options, index):
        if index and options.get("carry", True):
            return {**options, "first": False}
        return options

    def build(self, input_shape):
        super().build(input_shape)
        width = input_shape[-1]
        self._pack_heads = self.pack_heads or self.num_heads
        if width % self._pack_heads:
            raise ValueError(
                "Expected pack_heads, or num_heads without it, to divide the "
                f"width of the input. Received: {self._pack_heads}, "
                f"input_shape={tuple(input_shape)}."
            )
        shape = (None, None, width)
        bias = self.use_bias if self.qkv_bias is None else self.qkv_bias
        inner = self.num_heads * self._head_dim
        sizes = {"packed_query": width, "key": width, "packed_key": inner}
        if not self.tie_kv:
            sizes["packed_value"] = inner
            if not self.causal:
                sizes["value"] = width
        for name, size in sizes.items():
            setattr(self, name, self._dense(size, name, shape, bias))
        if self.first:
            self.packed = self.add_weight(
                name="packed",
                shape=(self.packed_length, width),
                initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
            )
        self.norm = None
        # In the causal form nothing is added to P.
        if self.carry and self.packed_norm is not None:
            if self.packed_norm == "before" or not self.causal:
                self.norm = keras.layers.LayerNormalization(
                    epsilon=self.packed_norm_epsilon,
                    name="packed_norm",
                    dtype=self.dtype_policy,
                )
                self.norm.build(shape)

    def initial_state(self, x):
        if not self.carry:
            return None
        if not self.built:
            self.build(x.shape)
        return self._learned(x)

    def _learned(self, x):
        """The layer's own P for each example: (B, r, D)."""
        if not self.first:
            raise ValueError(
                "Expected a state: this layer is not the first one and has "
                "no P. Received: state=None."
            )
        packed = ops.cast(self.packed, self.compute_dtype)
        zeros = ops.zeros_like(ops.cast(x[:, :1], self.compute_dtype))
        return packed[None] + zeros

    def mix(self, x, mask, positions, prefix, state, training, grid):
        if state is not None and not self.carry:
            raise ValueError(
                "Expected state=None without carry. Received: state of shape "
                f"{tuple(state.shape)}."
            )
        before = self._learned(x) if state is None else state
        packed = before
        if self.norm is not None and self.packed_norm == "before":
            packed = self.norm(before)
        if self.causal:
            mixed, after = self._past(x, packed, mask, training), before
        else:
            packed = self._pack(x, packed, mask, training)
            mixed, after = self._unpack(x, packed, training), before + packed
            if self.norm is not None and self.packed_norm == "after":
                after = self.norm(after)
        mixed = self.output_dense(mixed)
        return mixed if state is None else (mixed, after)

    def _pack(self, x, packed, mask, training):
        """P': (B, r, D)."""
        query, key = self._packing(x, packed)
        value = key
        if not self.tie_kv:
            value = _heads.split(self.value(x), self._pack_heads)
        return _heads.merged(
            self.attend(query, key, value, _keys(mask), training)
        )

    def _packing(self, x, packed):
        """Queries (B, heads, r, E) and keys (B, heads, N, E)."""
        width = x.shape[-1] // self._pack_heads
        query = self.packed_query(packed)
        # `attend` divides by the root of the other attention's head size.
        query = query * (self._head_dim / width) ** 0.5
        parts = (query, self.key(x))
        return tuple(_heads.split(part, self._pack_heads) for part in parts)

    def _unpack(self, x, packed, training):
        """The tokens of x over P': (B, N, A E)."""
        key = self.packed_key(packed)
        value = key if self.tie_kv else self.packed_value(packed)
        query, key, value = (
            self.split_heads(part) for part in (self.query(x), key, value)
        )
        return _heads.merged(self.attend(query, key, value, training=training))

    def _past(self, x, packed, mask, training):
        """The causal form: (B, N, A E), sums in float32."""
        width = x.shape[-1] // self._pack_heads
        near, far = (
            at_least_float32(_heads.split(part, self._pack_heads))
            for part in (self.key(x), self.packed_query(packed))
        )
        pattern = ops.matmul(near * width**-0.5, ops.swapaxes(far, -1, -2))
        pattern = ops.softplus(_BETA * pattern) / _BETA  # (B, A, N, r)
        real = ops.ones_like(x[:1, :, 0], dtype=pattern.dtype)
        if mask is not None:
            real = ops.cast(mask, pattern.dtype)
            pattern = pattern * real[:, None, :, None]
        count = ops.maximum(ops.cumsum(real, axis=1), 1.0)[:, None, :, None]
        key = self.packed_key(x)
        value = key if self.tie_kv else self.packed_value(x)
        query, key, value = (
            at_least_float32(self.split_heads(part))
            for part in (self.query(x) * self._head_dim**-0.5, key, value)
        )
        logits = _kernels.sums_of_past(query, key, pattern, size=self.block)
        weights = masked_softmax(logits / count)
        weights = self.dropout(weights, training=training)
        mixed = _kernels.sums_of_past(weights, pattern, value, size=self.block)
        return _heads.merged(ops.cast(mixed / count, self.compute_dtype))

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        """As `Mixer`, from the layer's own P: the product of both attentions.

        The values pass a projection between the two. With other `pack_heads`
        than A, the mean over these takes the place of each.
        """
        if self.causal:
            raise ValueError(
                "Expected causal=False for an attention map: weights of the "
                f"past are not normalised. Received: causal={self.causal}."
            )
        x = ops.cast(x, self.compute_dtype)
        mask = None if mask is None else ops.cast(mask, "bool")
        packed = self._learned(x)
        if self.norm is not None and self.packed_norm == "before":
            packed = self.norm(packed)
        first = self.weights_of(*self._packing(x, packed), _keys(mask))
        key = self.packed_key(self._pack(x, packed, mask, False))
        parts = (self.split_heads(part) for part in (self.query(x), key))
        if self._pack_heads != self.num_heads:
            first = ops.mean(first, axis=1, keepdims=True)
        return ops.matmul(self.weights_of(*parts), first)

    def get_config(self):
        config = super().get_config()
        config.update(
            packed_length=self.packed_length,
            tie_kv=self.tie_kv,
            pack_heads=self.pack_heads,
            carry=self.carry,
            first=self.first,
            packed_norm=self.packed_norm,
            packed_norm_epsilon=self.packed_norm_epsilon,
            block=self.block,
        )
        return config


def _keys(mask):
    """(B, N) -> (B, 1, 1, N), or None."""
    return None if mask is None else mask[:, None, None, :]
