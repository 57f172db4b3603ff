import functools
import math

from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _kernels
from pixmodels.attention import _random_features
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE

KERNELS = ("softmax", "relu")
SHIFTS = ("past", "sequence")
_FLOORS = {"softmax": 1e-4, "relu": 1e-3}
_EPSILON = 1e-6


@MIXERS.register("performer")
class PerformerAttention(Mixer):
    """FAVOR+: softmax attention estimated by positive random features.

    With m directions w and `x' = x / E^(1/4)`, the features are
    `exp(w . x' - |x'|^2 / 2 - c) + 1e-4`, whose products estimate
    `exp(q . k / sqrt(E))` (c, a largest w . x', cancels), or
    `relu(w . x') + 1e-3` (kernel "relu", a kernel of its own). Source:
    Choromanski et al. 2021, "Rethinking Attention with Performers", eqs. 4 to
    8 and lemma 1; constants as performer-pytorch 1.1.4.

    Where we differ: padding has no features (there only its values are 0, and
    Long-Range Arena forgets the mask). In the causal form, c of the keys is a
    maximum over past ones: over all keys, as published, a later token changes
    earlier ones through the constants and can wipe them out. Features and sums
    are float32 under any policy.

    Args:
        num_heads: A.
        num_features: m; `E ln E` by default.
        kernel: "softmax" or "relu".
        orthogonal: directions orthogonal in groups of E.
        seed: int; the directions are a function of it and `salt`. They are
            the weight `directions`, which is saved and not trained.
        redraw_interval: None, or steps after which training draws directions
            anew: inside `pixmodels.random.key_scope` of (seed, step) they are
            a function of that seed and `step // redraw_interval`, on any
            number of devices and after a resume. Otherwise, and outside
            training, the weight serves.
        causal_shift: "past", or "sequence" for the causal form as published,
            which also adds 1e-6 to the sums of key features: faster, with the
            leak described above.
        block: tokens in a block of the causal form; changes speed only.
        dropout_rate: on the mixed values, as there are no probabilities.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `positions` do not matter beyond their order, unless they
        are rotary.

    Raises:
        ValueError: for an unknown kernel or shift, or counts below 1.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("performer")
        >>> mixer = cls(num_heads=2, num_features=16)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N m)"
    permutation_equivariant = True
    rotary = True
    small_options = {"num_features": 7, "block": 3}

    def __init__(
        self,
        num_heads,
        *,
        num_features=None,
        kernel="softmax",
        orthogonal=True,
        seed=0,
        redraw_interval=None,
        causal_shift="past",
        block=128,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        for name, value, known in (
            ("kernel", kernel, KERNELS),
            ("causal_shift", causal_shift, SHIFTS),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected {name} among {known}. Received: "
                    f"{name}={value!r}."
                )
        _checks.check_counts(
            num_features=num_features,
            redraw_interval=redraw_interval,
            block=block,
            optional=(
                "num_features",
                "redraw_interval",
            ),
        )
        self.num_features = num_features
        self.kernel = kernel
        self.orthogonal = orthogonal
        self.seed = seed
        self.redraw_interval = redraw_interval
        self.causal_shift = causal_shift
        self.block = block

    def build(self, input_shape):
        super().build(input_shape)
        width = self._head_dim
        count = self.num_features or max(1, int(width * math.log(width)))
        self.directions = self.add_weight(
            name="directions",
            shape=(count, width),
            initializer=self._first_directions,
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def _first_directions(self, shape, dtype=None):
        drawn = _random_features.draw(
            *shape, seed=self.seed, salt=self.salt, orthogonal=self.orthogonal
        )
        return ops.convert_to_tensor(drawn, dtype)

    def _directions(self, training):
        """(m, E) float32, those of this step."""
        return _random_features.of_step(
            self.directions,
            training,
            interval=self.redraw_interval,
            seed=self.seed,
            salt=self.salt,
            draw=functools.partial(
                _random_features.redraw,
                *self.directions.shape,
                orthogonal=self.orthogonal,
            ),
        )

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        directions = self._directions(training)
        options = {"floor": _FLOORS[self.kernel]}
        query = self._query_features(query, directions)
        if not self.causal:
            key = self._key_features(key, directions, mask)
            mixed = _kernels.attend(query, key, value, mask, **options)
        else:
            options.update(size=self.block, epsilon=self._epsilon())
            if self.kernel == "softmax" and self.causal_shift == "past":
                key, options["shift"] = self._shifted_keys(
                    key, directions, mask
                )
            else:
                key = self._key_features(key, directions, mask)
            mixed = _kernels.attend_past(query, key, value, mask, **options)
        mixed = ops.cast(mixed, self.compute_dtype)
        mixed = self.dropout(self.merge_heads(mixed), training=training)
        return self.output_dense(mixed)

    def _epsilon(self):
        """What the published causal form adds to sums of key features."""
        if self.causal_shift == "past" or not self.causal:
            return 0.0
        # Our features go without the factor m^(-1/2), which cancels but here.
        count = self.directions.shape[0]
        return _EPSILON * (count**0.5 if self.kernel == "softmax" else 1.0)

    def _projected(self, x, directions):
        """Products of `x'` with the directions, and `|x'|^2 / 2`, float32."""
        x = ops.cast(x, "float32")
        scale = self._head_dim**-0.25
        half = 0.5 * scale**2 * ops.sum(ops.square(x), axis=-1, keepdims=True)
        return ops.matmul(x, ops.transpose(directions * scale)), half

    def _query_features(self, query, directions):
        """(B, A, N, m) float32, without the constant."""
        projected, half = self._projected(query, directions)
        if self.kernel == "relu":
            return ops.relu(projected)
        top = ops.stop_gradient(ops.max(projected, axis=-1, keepdims=True))
        return ops.exp(projected - (half + top))

    def _key_features(self, key, directions, mask):
        """(B, A, N, m) float32, without the constant; finite at padding."""
        projected, half = self._projected(key, directions)
        if self.kernel == "relu":
            return ops.relu(projected)
        top = ops.max(projected, axis=-1, keepdims=True)  # (B, A, N, 1)
        if mask is not None:
            top = ops.where(mask[:, None, :, None], top, NEGATIVE)
        base = half + ops.stop_gradient(ops.max(top, axis=2, keepdims=True))
        if mask is not None:
            base = ops.where(mask[:, None, :, None], base, -NEGATIVE)
        return ops.exp(projected - base)

    def _shifted_keys(self, key, directions, mask):
        """Features relative to each key's own maximum, and the maxima."""
        projected, half = self._projected(key, directions)
        shift = ops.stop_gradient(ops.max(projected, axis=-1))  # (B, A, N)
        features = ops.exp(projected - (half + shift[..., None]))
        if mask is not None:
            shift = ops.where(mask[:, None], shift, NEGATIVE)
        return features, shift

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        if self.causal and self.kernel == "softmax":
            raise ValueError(
                "Expected causal=False or kernel='relu' for an attention map: "
                "the constant of the features depends on the query. Received: "
                f"causal={self.causal}, kernel={self.kernel!r}."
            )
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        mask = None if mask is None else ops.cast(mask, "bool")
        directions = self._directions(False)
        return _kernels.attention_map(
            self._query_features(query, directions),
            self._key_features(key, directions, mask),
            mask,
            causal=self.causal,
            floor=_FLOORS[self.kernel],
            epsilon=self._epsilon(),
        )

    def get_config(self):
        config = super().get_config()
        config.update(
            num_features=self.num_features,
            kernel=self.kernel,
            orthogonal=self.orthogonal,
            seed=self.seed,
            redraw_interval=self.redraw_interval,
            causal_shift=self.causal_shift,
            block=self.block,
        )
        return config
