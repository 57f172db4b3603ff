import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.layers import _heads
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.transformer_block import activation
from pixmodels.sequence import _carried
from pixmodels.sequence import _relative_bias
from pixmodels.sequence import _scaled_attention


@keras.saving.register_keras_serializable(package="pixmodels")
class SlidingWindowBlock(keras.layers.Layer):
    """A causal block with a sliding window and a memory of the segment before.

    `x + attention(norm(x))`, then `x + mlp(norm(x))`. A token attends to the
    `window` tokens before it, not to itself; the first ones of a segment to
    those at the end of the segment before, if its `memory` is given, whose
    gradients stop there (Transformer-XL, Dai et al. 2019). Queries and keys are
    vectors of length 1, logits `|s| (q . k + b)` with a scale s for each head
    and a learned bias b of the distance, in T5's buckets. Norms are RMS norms;
    projections have no biases.

    Source: Hutchins et al. 2022, "Block-Recurrent Transformers", sections 3.1
    and 4.1, the layers "Slide" of its Table 1; numbers as
    google-research/meliad cc1aef5, `transformer/memory`. Where we differ:
    before the first segment there is nothing to attend to, where meliad
    attends to zeros.

    Args:
        num_heads: A.
        mlp_dim: width of the hidden layer.
        head_dim: E; D / A by default.
        window: W, tokens before a token that it attends to.
        num_buckets, max_distance: of the bias.
        initial_scale: of all s, above 0. With meliad's 1 attention begins
            almost uniform, and the scales must grow; its optimizer moves a
            weight by a share of its size. One that moves it by its learning
            rate (Adam) is slow at that: about 8 learns faster with it.
        dropout_rate: on the two branch outputs.
        attention_dropout: on attention probabilities.
        norm_epsilon: of the RMS norms.
        activation: of the hidden layer, as `TransformerBlock`.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D) floating point; N static, and a multiple of W where a
            `memory` is given.
        mask: (B, N) bool, True = real; padding is never attended.
        memory: None, or `initial_memory`, or what the call before returned.
        training: bool, turns dropout on.

    Returns:
        (B, N, D); with a `memory` the pair of it and the next memory.

    Raises:
        ValueError: for a window below 1, a `num_heads` that does not divide
            D, a memory of another batch size, or a length that is not of
            whole windows with a memory.

    Example:
        >>> import numpy as np
        >>> block = pixmodels.sequence.SlidingWindowBlock(2, 16, window=3)
        >>> x = np.ones((5, 6, 8), "float32")
        >>> block(x).shape
        TensorShape([5, 6, 8])
        >>> y, memory = block(x, memory=block.initial_memory(5))
        >>> memory["key"].shape
        TensorShape([5, 2, 3, 4])
    """

    # Windows of keys that are kept token by token.
    kept_windows = 1

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        head_dim=None,
        window=512,
        num_buckets=32,
        max_distance=128,
        initial_scale=1.0,
        dropout_rate=0.0,
        attention_dropout=0.0,
        norm_epsilon=1e-6,
        activation="relu",
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        _checks.check_counts(
            num_heads=num_heads,
            window=window,
            head_dim=head_dim,
            optional=("head_dim",),
        )
        _checks.check_counts(num_buckets=num_buckets, least=2)
        _checks.check_counts(max_distance=max_distance, least=num_buckets)
        if not 0 < initial_scale < float("inf"):
            raise ValueError(
                "Expected initial_scale > 0. Received: "
                f"initial_scale={initial_scale}."
            )
        self.supports_masking = True
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.head_dim = head_dim
        self.window = window
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.initial_scale = initial_scale
        self.dropout_rate = dropout_rate
        self.attention_dropout = attention_dropout
        self.norm_epsilon = norm_epsilon
        self.activation = activation
        self.salt = salt

    def build(self, input_shape):
        width = input_shape[-1]
        self._activation = activation(self.activation)
        self._width = width
        self._head_dim = _heads.size(self.num_heads, self.head_dim, input_shape)
        inner = self.num_heads * self._head_dim
        self.norm_1 = self._norm("norm_1")
        self.norm_2 = self._norm("norm_2")
        for name in ("query", "key", "value"):
            setattr(self, name, self._dense(inner, name, width))
        self.scale = self._scale("scale")
        self.bias = self.add_weight(
            name="relative_bias",
            shape=(self.num_buckets, self.num_heads),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        inner = self._mixed_width(inner)
        self.output_dense = self._dense(width, "output", inner)
        self.dense_1 = self._dense(self.mlp_dim, "dense_1", width)
        self.dense_2 = self._dense(width, "dense_2", self.mlp_dim)
        self.dropout_1 = self._dropout(self.dropout_rate, "dropout_1")
        self.dropout_2 = self._dropout(self.dropout_rate, "dropout_2")
        self.probabilities = self._dropout(
            self.attention_dropout, "probabilities"
        )
        self.built = True

    def _mixed_width(self, inner):
        """Width of all heads that the output projection reads."""
        return inner

    def _norm(self, name):
        layer = keras.layers.RMSNormalization(
            epsilon=self.norm_epsilon, name=name, dtype=self.dtype_policy
        )
        layer.build((None, None, self._width))
        return layer

    def _dense(self, units, name, width):
        layer = keras.layers.Dense(
            units,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(1.0),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, width))
        return layer

    def _scale(self, name):
        return self.add_weight(
            name=name,
            shape=(self.num_heads,),
            initializer=keras.initializers.Constant(self.initial_scale),
        )

    def _dropout(self, rate, name):
        return Dropout(
            rate,
            salt=f"{self.salt}/{name}",
            name=name,
            dtype=self.dtype_policy,
        )

    @property
    def head_size(self):
        """E, int; known once the block is built."""
        return self._head_dim

    def split_heads(self, x):
        """(B, N, A * E) -> (B, A, N, E)."""
        return _heads.split(x, self.num_heads)

    def merge_heads(self, x):
        """(B, A, N, E) -> (B, N, A * E)."""
        return _heads.merged(x)

    def _projected(self, x, *parts):
        """Heads of normalised x by some projections, the last one as it is."""
        *turned, plain = (self.split_heads(part(x)) for part in parts)
        return (*map(_scaled_attention.normalised, turned), plain)

    # --- Segments -----------------------------------------------------------

    def initial_memory(self, batch_size):
        """What is carried into a first segment: nothing to attend to.

        Args:
            batch_size: B.

        Returns:
            dict of `key` and `value`, (B, A, W, E), and `real` (B, W) bool.
        """
        return _carried.empty(self, batch_size, self.window)

    def call(self, x, mask=None, memory=None, training=None):
        length = _blocks.static_length(x)
        _checks.check_call(x, mask, None, 0)
        if memory is not None:
            _carried.check(self, x, memory, length)
        if not length:
            return x if memory is None else (x, memory)
        t = self.norm_1(x)
        query, key, value = self._projected(t, self.query, self.key, self.value)
        windows = _carried.windows(self, key, value, mask, memory)
        mixed = self._near(query, *windows, training)
        far, carried = self._far(t, windows, mask, memory, training)
        x = x + self._branch(mixed, far, training)
        x = x + self._mlp(x, training)
        if memory is None:
            return x
        memory = _carried.last(key, value, mask, self.window)
        memory.update(carried)
        return x, {
            name: part if name == "real" else ops.stop_gradient(part)
            for name, part in memory.items()
        }

    def _near(self, query, key, value, real, training):
        """What tokens find in the window before them: (B, A, N, E)."""
        size = key.shape[3] // 2
        bias = _relative_bias.of_windows(self._bias(size), size)
        allowed = _carried.before(size, self.window)
        allowed = allowed & real[:, None, :, None]
        mixed = _scaled_attention.attend(
            _blocks.split(query, 2, size),
            key,
            value,
            self.scale,
            bias=bias[:, None],
            allowed=allowed,
            dropout=self._dropped(training),
        )
        return _blocks.joined(mixed, query.shape[2])

    def _bias(self, most):
        table = at_least_float32(self.bias)
        return _relative_bias.by_distance(table, most, self.max_distance)

    def _dropped(self, training):
        return lambda weights: self.probabilities(weights, training=training)

    def _far(self, t, windows, mask, memory, training):
        """What else tokens attend to (None) and what else is carried."""
        return None, {}

    def _branch(self, mixed, far, training):
        if far is not None:
            mixed = ops.concatenate([mixed, far], axis=1)
        mixed = self.output_dense(self.merge_heads(mixed))
        return self.dropout_1(mixed, training=training)

    def _mlp(self, x, training):
        hidden = self._activation(self.dense_1(self.norm_2(x)))
        return self.dropout_2(self.dense_2(hidden), training=training)

    # --- Token by token -----------------------------------------------------

    def initial_cache(self, batch_size, length, memory=None):
        """What `step` starts from; as `Mixer.initial_cache`.

        Args:
            batch_size: B.
            length: most tokens that will be given.
            memory: None, or what the segment before gave.
        """
        slots = self.kept_windows * self.window
        if memory is None:
            return _carried.empty(self, batch_size, max(1, min(slots, length)))
        more = ((0, 0), (0, 0), (slots - self.window, 0), (0, 0))
        return {
            "key": ops.pad(memory["key"], more),
            "value": ops.pad(memory["value"], more),
            "real": ops.pad(ops.cast(memory["real"], "bool"), more[1:3]),
        }

    def step(self, x, cache, index, *, training=False):
        """One more token, (B, D); as `Mixer.step`."""
        _steps.check_token(x, cache, index)
        index = ops.cast(index, "int32")
        x = ops.cast(x, self.compute_dtype)[:, None]
        t = self.norm_1(x)
        query, key, value = self._projected(t, self.query, self.key, self.value)
        distance = _carried.distances(cache, index)  # (C,), 1 and more
        near = ops.minimum(distance, self.window) - 1
        mixed = _scaled_attention.attend(
            query,
            cache["key"],
            cache["value"],
            self.scale,
            bias=ops.take(self._bias(self.window), near, axis=1)[:, None],
            allowed=(cache["real"] & (distance <= self.window))[:, None, None],
            dropout=self._dropped(training),
        )
        after = _carried.written(cache, key, value, index)
        far, after = self._far_step(t, after, index, training)
        x = x + self._branch(mixed, far, training)
        return (x + self._mlp(x, training))[:, 0], after

    def _far_step(self, t, cache, index, training):
        return None, cache

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        names = (
            "num_heads mlp_dim head_dim window num_buckets max_distance "
            "initial_scale dropout_rate attention_dropout norm_epsilon "
            "activation salt"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        return config
