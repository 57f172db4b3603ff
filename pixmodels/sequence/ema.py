import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer
from pixmodels.layers.dropout import Dropout
from pixmodels.sequence import _moving_average
from pixmodels.sequence import _subset

FORMS = ("chunks", "transform", None)


@MIXERS.register("ema")
class EMA(Mixer):
    """Damped moving averages, several of them in each feature.

    `silu(c + omega x)` with `c_t = sum_{s <= t} k(t - s) x_s` and the kernel
    `k(l) = sum_n gamma_n p_n beta_n q_n^l / sqrt(N)`, `p = sigmoid(delta)`,
    `q = 1 - sigmoid(alpha) p`, each feature with its own ones. Without
    `causal` a second kernel adds the same over `s >= t`, so that both count
    the token itself. Source: Ma et al. 2022, "Mega: Moving Average Equipped
    Gated Attention", section 3.1; numbers as transformers 4.57.1
    (`MegaMultiDimensionDampedEma`). There the whole kernel is made, here it is
    only where a transform asks for it; where all of the q is damped away, ours
    stays finite. Sums are float32 under any policy, float64 under float64.

    There are no projections: the block around has them in its MLP. `mega` is
    the layer in which the paper uses these averages.

    Args:
        num_heads: A; unused, as there are no heads.
        state_dim: N, averages in a feature.
        truncation: lags from which on the kernel is 0; None: never.
        form: "chunks": products inside chunks of `block` tokens and states
            between them, linear in the length; "transform": by FFT; None: by
            chunks where the kernel is whole. Both give the same but for
            rounding.
        block: tokens in a chunk; changes speed only.
        dropout_rate: on the result.
        Others: as `Mixer`; `use_bias` and `qkv_bias` have nothing to act on.

    Call arguments:
        As `Mixer`. Tokens of the prefix are the first of the sequence.
        `positions` need `grid`, whose other patches are 0, like padding.

    Raises:
        ValueError: for counts below 1, an unknown form, "chunks" with a
            `truncation`, a `head_dim`, positions without a grid, a length
            that is not static, or a cache of another batch size.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("ema")(num_heads=1, causal=True)
        >>> x = np.ones((3, 7, 8), "float32")
        >>> mixer(x).shape
        TensorShape([3, 7, 8])
        >>> cache = mixer.initial_cache(3, 7)
        >>> y, cache = mixer.step(x[:, 0], cache, 0)
        >>> y.shape
        TensorShape([3, 8])
    """

    causal = True
    complexity = "O(N)"
    any_length = False
    projections = ()
    small_options = {"state_dim": 5, "block": 3}

    def __init__(
        self,
        num_heads,
        *,
        state_dim=16,
        truncation=None,
        form=None,
        block=64,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            state_dim=state_dim,
            truncation=truncation,
            block=block,
            optional=("truncation",),
        )
        if form not in FORMS or (form == "chunks" and truncation is not None):
            allowed = FORMS if truncation is None else FORMS[1:]
            raise ValueError(
                f"Expected form among {allowed} with truncation={truncation}. "
                f"Received: form={form!r}."
            )
        if self.head_dim is not None:
            raise ValueError(
                "Expected head_dim=None: moving averages have no heads. "
                f"Received: head_dim={self.head_dim}."
            )
        self.state_dim = state_dim
        self.truncation = truncation
        self.form = form
        self.block = block

    def build(self, input_shape):
        # None of the projections of `Mixer`.
        width = input_shape[-1]
        shape = (width if self.causal else 2 * width, self.state_dim)
        normal = keras.initializers.RandomNormal
        self.delta = self._table("delta", shape, normal(stddev=0.2))
        self.alpha = self._table("alpha", shape, normal(stddev=0.2))
        self.beta = self._table("beta", shape, _alternating)
        self.gamma = self._table("gamma", shape, normal(stddev=1.0))
        self.omega = self._table("omega", (width,), normal(stddev=1.0))
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/averaged",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def _table(self, name, shape, initializer):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, autocast=False
        )

    def kernels(self, length):
        """The kernels of the past and, without `causal`, of the future.

        Args:
            length: lags, int.

        Returns:
            (D or 2 D, length), lags 0, 1, ...; without `truncation`.
        """
        share, log_q = self._decays("float32")
        found = _moving_average.kernel(share, log_q, length)
        return ops.reshape(found, (-1, length))

    def _decays(self, dtype):
        """Factors and logarithms of the powers, each (1 or 2, D, N)."""
        alpha, beta, gamma, delta = (
            ops.cast(ops.convert_to_tensor(part), dtype)
            for part in (self.alpha, self.beta, self.gamma, self.delta)
        )
        share = gamma * beta * ops.sigmoid(delta) * self.state_dim**-0.5
        log_q = _moving_average.log_decay(alpha, delta)
        directions = 1 if self.causal else 2
        shape = (directions, -1, self.state_dim)
        return ops.reshape(share, shape), ops.reshape(log_q, shape)

    def mix(self, x, mask, positions, prefix, state, training, grid):
        dtype = x.dtype
        x, mask, places = _subset.placed(x, mask, positions, prefix, grid)
        averaged = self._averaged(at_least_float32(_subset.zeroed(x, mask)))
        averaged = ops.cast(_subset.taken(averaged, places), dtype)
        return self.dropout(averaged, training=training)

    def _averaged(self, x):
        length = _blocks.static_length(x)
        if not length:
            return x
        share, log_q = self._decays(x.dtype)
        omega = ops.cast(ops.convert_to_tensor(self.omega), x.dtype)
        longest = length if self.truncation is None else self.truncation
        if self.form == "transform" or longest < length:
            mixed = _moving_average.by_transform(
                x, share, log_q, omega, longest
            )
        else:
            mixed = _moving_average.by_chunks(
                x, share, log_q, omega, self.block
            )
        return ops.silu(mixed)

    def initial_cache(self, batch_size, length):
        """The averages before the first token.

        Args:
            batch_size: B.
            length: tokens at most; does not matter.

        Returns:
            dict of "state", (B, D, N) float32, and with `truncation`, T of
            it, "past", (B, T, D): the last T tokens.
        """
        _steps.check_cache(self, batch_size, length)
        dtype = self._state_dtype()
        width = self.omega.shape[0]
        shape = (batch_size, width, self.state_dim)
        cache = {"state": ops.zeros(shape, dtype)}
        if self.truncation is not None:
            shape = (batch_size, self.truncation, width)
            cache["past"] = ops.zeros(shape, dtype)
        return cache

    def _state_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        index = ops.cast(index, "int32")
        x = ops.cast(x, self._state_dtype())
        share, log_q = self._decays(x.dtype)
        state = cache["state"] * ops.exp(log_q[0]) + x[..., None]
        cache = {**cache, "state": state}
        if self.truncation is not None:
            slot = ops.mod(index, self.truncation)
            last = ops.take(cache["past"], slot, axis=1)
            gone = ops.exp(log_q[0] * self.truncation)
            cache["state"] = state = state - last[..., None] * gone
            here = ops.arange(self.truncation, dtype="int32") == slot
            cache["past"] = ops.where(here[:, None], x[:, None], cache["past"])
        omega = ops.cast(ops.convert_to_tensor(self.omega), x.dtype)
        y = ops.silu(ops.sum(state * share[0], axis=-1) + omega * x)
        y = self.dropout(ops.cast(y, self.compute_dtype), training=training)
        return y, cache

    def get_config(self):
        config = super().get_config()
        config.update(
            state_dim=self.state_dim,
            truncation=self.truncation,
            form=self.form,
            block=self.block,
        )
        return config


def _alternating(shape, dtype=None):
    """1, -1, 1, ... along the averages of a feature, and a little noise."""
    signs = np.where(np.arange(shape[-1]) % 2, -1, 1)
    noise = keras.random.normal(shape, stddev=0.02, dtype=dtype)
    return noise + ops.cast(ops.convert_to_tensor(signs), noise.dtype)
