import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _steps
from pixmodels.sequence import _hippo
from pixmodels.sequence import _states
from pixmodels.sequence import _vandermonde
from pixmodels.sequence._state_space import StateSpaceMixer


@MIXERS.register("s5")
class S5(StateSpaceMixer):
    """One diagonal state-space system from all features to all (S5).

    `dx/dt = A x + B u`, `y = 2 Re(C x) + skip * u` with `A = -exp(a) + i b`,
    (N / 2,), B (N / 2, D) and C (D, N / 2), by the zero-order hold at a step
    of dt for each state. All states are computed along the sequence; blocks of
    tokens take the place of the parallel scan. Source: Smith et al. 2023,
    "Simplified State Space Layers for Sequence Modeling" (S5), secs. 3 and 4.
    Where we differ: without `causal`, the second way has states of its own
    that end before the token, as in S4 (theirs counts it twice).

    Args:
        num_heads: A; unused.
        state_size: N of the whole layer, a multiple of `2 blocks`.
        blocks: J, HiPPO matrices in the initial A.
        Others: as `StateSpaceMixer`; `output` is "half_glu" by default.

    Call arguments:
        As `StateSpaceMixer`.

    Raises:
        ValueError: for a `state_size` that J pairs do not divide, and what
            `StateSpaceMixer` refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("s5")(num_heads=1)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    complexity = "O(N)"
    default_output = "half_glu"

    def __init__(self, num_heads, *, blocks=1, **kwargs):
        super().__init__(num_heads, **kwargs)
        if blocks < 1 or self.state_size % (2 * blocks):
            raise ValueError(
                "Expected state_size to be a multiple of 2 * blocks. Received: "
                f"state_size={self.state_size}, blocks={blocks}."
            )
        self.blocks = blocks

    def build_system(self, width, ways):
        half = self.state_size // 2
        a = _hippo.diagonal("legs", self.state_size // self.blocks)
        a = np.tile(a, self.blocks)
        self.log_dt = self._add_time_step((half,))
        self.log_a_real = self._add_matrix("log_a_real", np.log(-a.real))
        self.a_imag = self._add_matrix("a_imag", a.imag)
        # Complex numbers of variance 1 / D and 1 / N, as their fans.
        normal = keras.initializers.RandomNormal
        asks = (self.ssm_learning_rate,)
        draw = normal(stddev=(0.5 / width) ** 0.5)
        self.b = self._add("b", (half, width, 2), draw, asks=asks)
        draw = normal(stddev=(0.5 / half) ** 0.5)
        self.c = self._add("c", (ways, width, half, 2), draw)

    def _discrete(self):
        """Rates, angles, (M,), and what makes states of inputs: (D, 2 M)."""
        log_dt = at_least_float32(self.log_dt)
        dt = ops.exp(log_dt)
        a = (
            -ops.exp(at_least_float32(self.log_a_real)),
            at_least_float32(self.a_imag),
        )
        angle = _vandermonde.turning(log_dt, a[1])
        step = (dt * a[0], angle[0])
        hold = _vandermonde.over(_vandermonde.exp_minus_one(*step), a)
        b = at_least_float32(self.b)
        b = _vandermonde.times(
            tuple(part[:, None] for part in hold), (b[..., 0], b[..., 1])
        )
        enter = ops.transpose(ops.concatenate(b, axis=0))
        return -step[0], angle, enter

    def _leave(self, way):
        """What makes outputs of states: (2 M, D)."""
        c = at_least_float32(self.c)[way]
        c = ops.concatenate([2.0 * c[..., 0], -2.0 * c[..., 1]], axis=-1)
        return ops.transpose(c)

    def mixed(self, u):
        u = at_least_float32(u)
        length = _blocks.static_length(u)
        if not length:
            return u
        rate, angle, enter = self._discrete()
        inputs = ops.matmul(u, enter)
        states = self._along(inputs, rate, angle)
        y = at_least_float32(self.skip) * u
        y = y + ops.matmul(states, self._leave(0))
        if self.causal:
            return y
        inputs = ops.flip(inputs, axis=1)
        states = self._along(inputs, rate, angle)
        # Those before the token, in this direction.
        states = ops.pad(states[:, :-1], ((0, 0), (1, 0), (0, 0)))
        return y + ops.matmul(ops.flip(states, axis=1), self._leave(1))

    def _along(self, inputs, rate, angle):
        mode = self.mode_of(inputs.shape[1])
        if mode == "recurrent":
            return _states.one_by_one(inputs, rate, angle)
        if mode == "fft":
            return _states.by_transform(inputs, rate, angle)
        return _states.by_blocks(inputs, rate, angle, self.chunk)

    def mode_of(self, length):
        """Blocks at any length: states would each take their own kernel."""
        return "chunked" if self.mode == "auto" else self.mode

    def initial_cache(self, batch_size, length):
        """As `Mixer`: the state (B, N), float32 at least."""
        _steps.check_cache(self, batch_size, length)
        dtype = at_least_float32(self.log_dt).dtype
        return {"state": ops.zeros((batch_size, self.state_size), dtype=dtype)}

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        u = at_least_float32(x)
        rate, angle, enter = self._discrete()
        inputs = ops.matmul(u, enter)
        state = _states.step(inputs, cache["state"], rate, angle)
        y = ops.matmul(state, self._leave(0))
        y = y + at_least_float32(self.skip) * u
        y = self.finished(y[:, None], training=training)[:, 0]
        return y, {"state": state}

    def get_config(self):
        config = super().get_config()
        config.update(blocks=self.blocks)
        return config
