import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer
from pixmodels.layers.dropout import Dropout
from pixmodels.sequence import _vandermonde
from pixmodels.sequence._diagonal import Diagonal
from pixmodels.sequence._state_space import StateSpaceMixer


@MIXERS.register("gss")
class GSS(Mixer):
    """Gated state spaces: a short DSS inside of a wide gated unit (GSS).

    `y = W_o ((W_g s) * u)` with `u = gelu(W_u x)` of 4 D, `v = gelu(W_v x)` of
    D / 4 and s a diagonal state space of v: long convolutions act on a quarter
    of the features only. Its eigenvalues `L = -exp(a) + i exp(b)` are shared
    by all features and begin random, without time steps: `K_l = Re sum_n C_n
    (e^L_n - 1) / L_n e^(L_n l)`. Source: Mehta et al. 2022, "Long Range
    Language Modeling via Gated State Spaces", sec. 3, with the LayerNorm of v
    that `gss.py` of gated-state-spaces-pytorch 0.1.0 has (`ssm_norm`). Norm
    and residual around are the block's. Where we differ: the bidirectional
    form has a second kernel for later tokens, as S4's.

    Args:
        num_heads: A; unused.
        state_size: N, complex numbers in a state.
        expansion: width of u over D.
        ssm_dim: width of v; None: a quarter of D, at least 1.
        ssm_norm: LayerNorm of v.
        mode, chunk, ssm_learning_rate: as `StateSpaceMixer`.
        dropout_rate: before the last Dense.
        Others: as `Mixer`; `use_bias` is that of the last Dense.

    Call arguments:
        As `StateSpaceMixer`.

    Raises:
        ValueError: for counts below 1, a `head_dim`, and what
            `StateSpaceMixer` refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("gss")(num_heads=1, causal=True)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N log N)"
    any_length = False
    small_options = {"state_size": 5, "chunk": 3}

    def __init__(
        self,
        num_heads,
        *,
        state_size=512,
        expansion=4,
        ssm_dim=None,
        ssm_norm=True,
        mode="auto",
        chunk=64,
        ssm_learning_rate=1e-3,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(
            expansion=expansion, ssm_dim=ssm_dim, optional=("ssm_dim",)
        )
        if self.head_dim is not None:
            raise ValueError(
                "Expected head_dim=None: state-space systems have no heads. "
                f"Received: head_dim={self.head_dim}."
            )
        self.state_size = state_size
        self.expansion = expansion
        self.ssm_dim = ssm_dim
        self.ssm_norm = ssm_norm
        self.mode = mode
        self.chunk = chunk
        self.ssm_learning_rate = ssm_learning_rate
        self.ssm = GatedSystem(
            num_heads,
            state_size=state_size,
            mode=mode,
            chunk=chunk,
            ssm_learning_rate=ssm_learning_rate,
            causal=self.causal,
            output=None,
            name="ssm",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        width = input_shape[-1]
        wide, narrow = (
            self.expansion * width,
            self.ssm_dim or max(1, width // 4),
        )
        shape = (None, None, width)
        self.u_dense = self._dense(wide, "u", shape, False)
        self.v_dense = self._dense(narrow, "v", shape, False)
        shape = (None, None, narrow)
        if self.ssm_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=1e-5, name="norm", dtype=self.dtype_policy
            )
            self.norm.build(shape)
        self.ssm.build(shape)
        self.gate_dense = self._dense(wide, "gate", shape, False)
        shape = (None, None, wide)
        self.output_dense = self._dense(width, "output", shape, self.use_bias)
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/mixed",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def mix(self, x, mask, positions, prefix, state, training, grid):
        mixed = self.ssm(
            self._narrow(x),
            mask=mask,
            positions=positions,
            prefix=prefix,
            grid=grid,
        )
        return self._gated(x, mixed, training)

    def _narrow(self, x):
        """v, (..., ssm_dim)."""
        v = ops.gelu(self.v_dense(x), approximate=False)
        return self.norm(v) if self.ssm_norm else v

    def _gated(self, x, mixed, training):
        u = ops.gelu(self.u_dense(x), approximate=False)
        mixed = self.dropout(self.gate_dense(mixed) * u, training=training)
        return self.output_dense(mixed)

    def initial_cache(self, batch_size, length):
        """As `Mixer`: the states of the state space."""
        _steps.check_cache(self, batch_size, length)
        return self.ssm.initial_cache(batch_size, length)

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        x = ops.cast(x, self.compute_dtype)[:, None]
        mixed, cache = self.ssm.step(self._narrow(x)[:, 0], cache, index)
        return self._gated(x, mixed[:, None], training)[:, 0], cache

    def get_config(self):
        config = super().get_config()
        config.update(
            state_size=self.state_size,
            expansion=self.expansion,
            ssm_dim=self.ssm_dim,
            ssm_norm=self.ssm_norm,
            mode=self.mode,
            chunk=self.chunk,
            ssm_learning_rate=self.ssm_learning_rate,
        )
        return config


@keras.saving.register_keras_serializable(package="pixmodels")
class GatedSystem(StateSpaceMixer):
    """The state space inside of `GSS`; arguments as `StateSpaceMixer`."""

    paired = False

    def build_system(self, width, ways):
        normal = keras.initializers.RandomNormal(stddev=1.0)
        asks = (self.ssm_learning_rate,)
        shape = (self.state_size,)
        self.log_a_real = self._add("log_a_real", shape, normal, asks=asks)
        self.log_a_imag = self._add("log_a_imag", shape, normal, asks=asks)
        shape = (ways, width, self.state_size, 2)
        self.c = self._add("c", shape, normal)

    def system(self, length):
        real = -ops.exp(at_least_float32(self.log_a_real))
        ones = ops.ones((self._width, 1), dtype=real.dtype)
        angle = _vandermonde.turning(at_least_float32(self.log_a_imag), ones)
        a = (real, ops.exp(at_least_float32(self.log_a_imag)))
        hold = _vandermonde.over(_vandermonde.exp_minus_one(*a), a)
        c = at_least_float32(self.c)
        weight = _vandermonde.times((c[..., 0], c[..., 1]), hold)
        return Diagonal(-real * ones, angle, weight)
