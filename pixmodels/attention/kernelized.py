import functools
import math

from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _kernels
from pixmodels.attention import _random_features
from pixmodels.attention import _spectral
from pixmodels.attention.mixer import Mixer
from pixmodels.layers._masked_softmax import NEGATIVE
from pixmodels.layers._masked_softmax import masked_softmax

VARIANTS = ("gmm", "positive", "fastfood", "generator")
_LEAST = 1e-37


@MIXERS.register("kernelized")
class KernelizedAttention(Mixer):
    """Linear attention whose kernel is learned, by its spectral distribution.

    Queries and keys, `x' = x / E^(1/4)`, have the features
    `[cos(w x'), sin(w x'), smoothing]` over frequencies w that are made of a
    noise by learned weights; their products estimate the kernel whose spectrum
    is the distribution of w. The variants:

    - "gmm": per head the mixture of N(mean, S'S) and N(-mean, S'S);
    - "positive": per head N(+-mean, diag(spread^2)), and the features
      `exp(w x' - |x'|^2)`, which are never negative;
    - "fastfood": a product of three learned diagonals, two Hadamard matrices
      and a permutation, 2 E features;
    - "generator": a network of two hidden layers that turns normal noise into
      frequencies in (-1, 1).

    Source: Chowdhury et al. 2022, "On Learning the Transformer Kernel",
    section 3; numbers as the authors' code for all but "positive", which is
    our reading. Where we differ: the noise is the weight `noise` outside
    training, theirs is drawn anew there too; the generator's batch norm has
    the statistics of the noise at hand and no running ones; "fastfood" begins
    with the Gaussian kernel of Le et al. 2013 and fills E up to a power of 2;
    nothing is added to denominators, which without a key are 1. Padding has no
    features. Features and sums are float32 under any policy.

    Args:
        num_heads: A.
        variant: see above.
        num_features: n, those of a head besides the constant; about
            `2 E ln E` by default, a power of 2. A multiple of 4 for "gmm", of
            2 otherwise; None for "fastfood".
        smoothing: the constant; 1 by default and 0 for "positive". It adds
            `smoothing^2` to the kernel, so that denominators stay away from 0:
            without it the kernel is at least -1 (-2 for "gmm").
        seed: int; the noise is a function of it and `salt`. It is the weight
            `noise`, which is saved and not trained.
        redraw_interval: None, or steps after which training draws the noise
            anew, as `PerformerAttention`.
        block: tokens in a block of the causal form; changes speed only.
        dropout_rate: on the mixed values, as there are no probabilities.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `positions` do not matter beyond their order.

    Raises:
        ValueError: for an unknown variant, a negative smoothing, counts below
            1, or a `num_features` that the variant cannot have.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.attention.get("kernelized")
        >>> mixer = cls(num_heads=2, num_features=16)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N n)"
    permutation_equivariant = True
    small_options = {"num_features": 8, "block": 3}

    def __init__(
        self,
        num_heads,
        *,
        variant="gmm",
        num_features=None,
        smoothing=None,
        seed=0,
        redraw_interval=1,
        block=128,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        if variant not in VARIANTS:
            raise ValueError(
                f"Expected variant among {VARIANTS}. Received: "
                f"variant={variant!r}."
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
        if smoothing is not None and smoothing < 0:
            raise ValueError(
                f"Expected smoothing >= 0. Received: smoothing={smoothing}."
            )
        _check_features(variant, num_features)
        self.variant = variant
        self.num_features = num_features
        self.smoothing = smoothing
        self.seed = seed
        self.redraw_interval = redraw_interval
        self.block = block

    def build(self, input_shape):
        super().build(input_shape)
        size = self._head_dim
        wanted = max(2.0, size * math.log(size))
        count = self.num_features or 2 << round(math.log2(wanted))
        _spectral.build(self, self.variant, size)
        whole = self.variant == "fastfood"
        if whole:
            shape = (_spectral.power_of_two(size),)
        else:
            shape = _spectral.noise_shape(self.variant, count, size)
        self.noise = self.add_weight(
            name="noise",
            shape=shape,
            initializer=self._first_noise,
            trainable=False,
            dtype="int32" if whole else "float32",
            autocast=False,
        )

    def _first_noise(self, shape, dtype=None):
        options = {"seed": self.seed, "salt": self.salt}
        if self.variant == "fastfood":
            drawn = _random_features.draw_permutation(shape[0], **options)
        else:
            drawn = _random_features.draw(*shape, orthogonal=False, **options)
        return ops.convert_to_tensor(drawn, dtype)

    def _noise(self, training):
        """That of this step."""
        shape = self.noise.shape
        if self.variant == "fastfood":
            draw = functools.partial(
                _random_features.redraw_permutation, shape[0]
            )
        else:
            draw = functools.partial(
                _random_features.redraw, *shape, orthogonal=False
            )
        return _random_features.of_step(
            self.noise,
            training,
            interval=self.redraw_interval,
            seed=self.seed,
            salt=self.salt,
            draw=draw,
        )

    @property
    def constant(self):
        """The constant beside the features of each query and key, a float."""
        if self.smoothing is not None:
            return self.smoothing
        return 0.0 if self.variant == "positive" else 1.0

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self._products(x, training)
        value = self.split_heads(self.value(x))
        options = {}
        if self.causal:
            options["size"] = self.block
        if self.variant == "positive":
            query, _ = _exponentials(query)
            key, shift = _exponentials(key)
            if mask is not None:
                shift = ops.where(mask[:, None], shift, NEGATIVE)
            if self.causal:
                options["shift"] = shift
            else:
                # Relative to the largest of all keys.
                top = ops.max(shift, axis=-1, keepdims=True)
                key = key * ops.exp(shift - top)[..., None]
        attend = _kernels.attend_past if self.causal else _kernels.attend
        mixed = attend(query, key, value, mask, **options)
        mixed = ops.cast(mixed, self.compute_dtype)
        mixed = self.dropout(self.merge_heads(mixed), training=training)
        return self.output_dense(mixed)

    def _products(self, x, training=False):
        """Features of queries and keys, or their logarithms for "positive".

        Returns:
            Two (B, A, N, M) float32, of which the last is the constant where
            there is one.
        """
        frequencies = _spectral.frequencies(
            self, self.variant, self._noise(training), self._head_dim
        )
        return tuple(
            self._features(part(x), frequencies)
            for part in (self.query, self.key)
        )

    def _features(self, x, frequencies):
        x = ops.cast(self.split_heads(x), "float32") * self._head_dim**-0.25
        turned = ops.swapaxes(frequencies, -1, -2)
        angles = ops.matmul(x, turned)  # (B, A, N, m)
        # Their common factor cancels, but for the constant beside them:
        # (2 / m)^(1/2) for "gmm", m^(-1/2) for the others.
        count = frequencies.shape[1] / (2 if self.variant == "gmm" else 1)
        constant = self.constant * count**0.5
        if self.variant == "positive":
            square = ops.sum(ops.square(x), axis=-1, keepdims=True)
            found = [angles - square]
            beside = math.log(constant) if constant else None
        else:
            found, beside = [ops.cos(angles), ops.sin(angles)], constant
        if constant:
            found.append(ops.full_like(angles[..., :1], beside))
        return ops.concatenate(found, axis=-1)

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self._products(x)
        mask = None if mask is None else ops.cast(mask, "bool")
        if self.variant != "positive":
            return _kernels.attention_map(query, key, mask, causal=self.causal)
        (query, _), (key, shift) = _exponentials(query), _exponentials(key)
        pairs = ops.matmul(query, ops.swapaxes(key, -1, -2))
        logits = ops.log(ops.maximum(pairs, _LEAST)) + shift[..., None, :]
        allowed = None if mask is None else mask[:, None, None, :]
        if self.causal:
            allowed = self.and_past(allowed, ops.shape(x)[1])
        return masked_softmax(logits, allowed)

    def get_config(self):
        config = super().get_config()
        config.update(
            variant=self.variant,
            num_features=self.num_features,
            smoothing=self.smoothing,
            seed=self.seed,
            redraw_interval=self.redraw_interval,
            block=self.block,
        )
        return config


def _check_features(variant, count):
    if count is None:
        return
    if variant == "fastfood":
        raise ValueError(
            "Expected num_features=None: 'fastfood' has two for each dimension "
            f"of a head. Received: num_features={count}."
        )
    factor = 4 if variant == "gmm" else 2
    if count % factor:
        raise ValueError(
            f"Expected num_features a multiple of {factor} for {variant!r}. "
            f"Received: num_features={count}."
        )


def _exponentials(logarithms):
    """(B, A, N, M) features relative to the largest of each token's, and the
    logarithms of these, (B, A, N)."""
    top = ops.stop_gradient(ops.max(logarithms, axis=-1))
    return ops.exp(logarithms - top[..., None]), top
