import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer
from pixmodels.sequence import _subset
from pixmodels.sequence._relative_window import RelativeWindowAttention
from pixmodels.sequence._state_space import StateSpaceMixer

LOCALS = ("window", "chunk", "mega")
COMBINATIONS = ("concat", "add", "stack")


@MIXERS.register("spade")
class SPADE(Mixer):
    """Local attention, with a state-space layer beside it in the bottom layer.

    In a `TransformerStack` the first layer mixes its input by both, the state-
    space layer over the whole sequence and attention nearby; all others have
    the local attention alone. Source: Zuo et al. 2022, "Efficient Long
    Sequence Modeling via State Space Augmented Transformer", section 3;
    numbers as microsoft/EfficientLongSequenceModeling 0819294
    (`spade_layer.py`). Layers of a stack have biases of their own
    (`local="window"`), where those of the original share one table.

    Args:
        num_heads: A, of the local attention.
        window: positions to each side, or tokens in a chunk.
        local: "window", a band with biases of distances as in T5 (LongT5's
            local attention); "chunk" (`local`); or "mega" (`Mega` by chunks).
        local_options: dict of further arguments of that.
        combine: "concat", `dense([norm(g) | norm(l)])` of the global g and
            the local l; "add", `s norm(g) + (1 - s) norm(l)`; or "stack",
            local attention of g.
        global_weight: s.
        global_mixer: name of the mixer over the whole sequence; None: local
            attention alone.
        global_options: dict of further arguments of it. State-space layers
            give their system's output as it is (`output=None`), if nothing
            else is said.
        every: in a stack each layer with a number divisible by it has the
            global mixer; None: the first one.
        train_global: False freezes the global mixer.
        norm_epsilon: of the two norms.
        Others: as `Mixer`, for the local attention.

    Call arguments:
        As `Mixer`. Tokens of the prefix are the first of the sequence for the
        global mixer, and global to "window" and "chunk". `positions` need
        `grid`, whose other patches count as padding.

    Raises:
        ValueError: for an unknown local attention, combination or mixer, a
            window or `every` below 1, or positions without a grid.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("spade")
        >>> mixer = cls(num_heads=2, window=3)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N log N + N w)"
    any_length = False
    projections = ()
    small_options = {
        "window": 3,
        "global_mixer": "s4d",
        "global_options": {"state_size": 4, "chunk": 3},
    }

    def __init__(
        self,
        num_heads,
        *,
        window=64,
        local="window",
        local_options=None,
        combine="concat",
        global_weight=0.5,
        global_mixer="s4",
        global_options=None,
        every=None,
        train_global=True,
        norm_epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(window=window, every=every, optional=("every",))
        for name, value, allowed in (
            ("local", local, LOCALS),
            ("combine", combine, COMBINATIONS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"Expected {name} among {allowed}. Received: "
                    f"{name}={value!r}."
                )
        self.window = window
        self.local = local
        self.local_options = dict(local_options or {})
        self.combine = combine
        self.global_weight = global_weight
        self.global_mixer = global_mixer
        self.global_options = dict(global_options or {})
        self.every = every
        self.train_global = train_global
        self.norm_epsilon = norm_epsilon
        self.near = self._local()
        self.far = None if global_mixer is None else self._global()

    @classmethod
    def options_of_block(cls, options, index):
        every = options.get("every")
        if index == 0 or (every and index % every == 0):
            return options
        return {**options, "global_mixer": None}

    def _local(self):
        common = {
            "use_bias": self.use_bias,
            "qkv_bias": self.qkv_bias,
            "causal": self.causal,
            "dropout_rate": self.dropout_rate,
            "salt": f"{self.salt}/local",
            "name": "local",
            "dtype": self.dtype_policy,
        }
        if self.local == "mega":
            return MIXERS.get("mega")(
                1, chunk=self.window, **{**common, **self.local_options}
            )
        common.update(head_dim=self.head_dim, window=self.window)
        cls = RelativeWindowAttention
        if self.local == "chunk":
            cls = MIXERS.get("local")
        return cls(self.num_heads, **{**common, **self.local_options})

    def _global(self):
        cls = MIXERS.get(self.global_mixer)
        options = {
            "causal": self.causal,
            "salt": f"{self.salt}/global",
            "name": "global",
            "dtype": self.dtype_policy,
        }
        if issubclass(cls, StateSpaceMixer):
            options["output"] = None
        return cls(self.num_heads, **{**options, **self.global_options})

    def build(self, input_shape):
        # None of the projections of `Mixer`.
        shape = (None, *tuple(input_shape)[1:])
        self.near.build(shape)
        if self.far is not None:
            self.far.build(shape)
            self.far.trainable = self.train_global
        if self.far is not None and self.combine != "stack":
            self.norm_global = self._norm("norm_global", shape)
            self.norm_local = self._norm("norm_local", shape)
        if self.far is not None and self.combine == "concat":
            width = shape[-1]
            double = (None, None, 2 * width)
            self.dense = self._dense(width, "dense", double, self.use_bias)
        self.built = True

    def _norm(self, name, shape):
        layer = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, name=name, dtype=self.dtype_policy
        )
        layer.build(shape)
        return layer

    def mix(self, x, mask, positions, prefix, state, training, grid):
        x = _subset.zeroed(x, mask)
        whole, mask, places = _subset.placed(x, mask, positions, prefix, grid)

        def near(x):
            return self.near(x, mask=mask, prefix=prefix, training=training)

        def far(x):
            return self.far(x, mask=mask, prefix=prefix, training=training)

        return _subset.taken(self._combined(whole, near, far), places)

    def _combined(self, x, near, far):
        """Both parts of x, two functions, in one."""
        if self.far is None:
            return near(x)
        if self.combine == "stack":
            return near(far(x))
        parts = self.norm_global(far(x)), self.norm_local(near(x))
        if self.combine == "concat":
            return self.dense(ops.concatenate(parts, axis=-1))
        share = ops.cast(self.global_weight, parts[0].dtype)
        return share * parts[0] + (1 - share) * parts[1]

    def initial_cache(self, batch_size, length):
        """As `Mixer`: those of the local and of the global part."""
        _steps.check_cache(self, batch_size, length)
        cache = {"local": self.near.initial_cache(batch_size, length)}
        if self.far is not None:
            cache["global"] = self.far.initial_cache(batch_size, length)
        return cache

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        after = {}

        def part(name, layer):
            def step(x):
                y, after[name] = layer.step(
                    x[:, 0], cache[name], index, training=training
                )
                return y[:, None]

            return step

        near, far = part("local", self.near), part("global", self.far)
        y = self._combined(ops.cast(x, self.compute_dtype)[:, None], near, far)
        return y[:, 0], after

    def dense_mask(self, length, prefix=0, positions=None):
        if self.far is not None:
            return super().dense_mask(length, prefix, positions)
        return self.near.dense_mask(length, prefix, positions)

    def get_config(self):
        config = super().get_config()
        config.update(
            window=self.window,
            local=self.local,
            local_options=self.local_options,
            combine=self.combine,
            global_weight=self.global_weight,
            global_mixer=self.global_mixer,
            global_options=self.global_options,
            every=self.every,
            train_global=self.train_global,
            norm_epsilon=self.norm_epsilon,
        )
        return config
