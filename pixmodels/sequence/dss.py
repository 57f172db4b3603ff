import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.sequence import _hippo
from pixmodels.sequence import _vandermonde
from pixmodels.sequence._diagonal import Diagonal
from pixmodels.sequence._state_space import StateSpaceMixer

VERSIONS = ("softmax", "exp")
_EPSILON = 1e-7


@MIXERS.register("dss")
class DSS(StateSpaceMixer):
    """Diagonal state spaces whose features share their eigenvalues (DSS).

    With `a = dt_re Re(L) + i dt_im Im(L)`, the kernel is `Re sum_n w_n e^(a_n
    l)`: in the version "exp" `w = W (e^a - 1) / L` with `Re(L) = -exp(.)`; in
    the version "softmax" the real parts are free, and `w = W (e^a - 1) /
    ((e^(a T) - 1) L)` divides by the sum over T tokens, terms with `Re(L) > 0`
    being counted from the last token (`e^(a (l - T + 1))`). States are single
    complex numbers, not pairs. Source: Gupta et al. 2022, "Diagonal State
    Spaces are as Effective as Structured State Spaces", secs. 3 and 4, and
    `dss.py` of ag1988/dss 777084e. Where we differ: T may be fixed.

    Args:
        num_heads: A; unused.
        state_size: N, complex numbers in a state, any count.
        version: "softmax" or "exp".
        training_length: T of "softmax", the length that a model is trained
            at. None: the length of each call, as published; trimming padding
            then changes the kernel (`length_invariant` is False), and there
            are no steps.
        separate_dt: a time step for real parts and one for imaginary parts.
        Others: as `StateSpaceMixer`; `output` is "dense" by default.

    Call arguments:
        As `StateSpaceMixer`. Where training has made a real part positive,
        blocks and recurrences hold numbers that grow with the length; "fft"
        does not.

    Raises:
        ValueError: for an unknown version, a `training_length` below 1, steps
            without one, and what `StateSpaceMixer` refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("dss")(num_heads=1, version="exp")
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    length_invariant = False
    default_output = "dense"
    paired = False
    small_options = {
        **StateSpaceMixer.small_options,
        "training_length": 11,
    }

    def __init__(
        self,
        num_heads,
        *,
        version="softmax",
        training_length=None,
        separate_dt=True,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        if version not in VERSIONS:
            raise ValueError(
                f"Expected version among {VERSIONS}. Received: "
                f"version={version!r}."
            )
        _checks.check_counts(
            training_length=training_length, optional=("training_length",)
        )
        self.version = version
        self.training_length = training_length
        self.separate_dt = separate_dt
        self.length_invariant = version == "exp" or training_length is not None

    def build_system(self, width, ways):
        a = _hippo.diagonal("legs", 2 * self.state_size)
        real = np.log(-a.real) if self.version == "exp" else a.real
        self.log_dt = self._add_time_step((width, 2 if self.separate_dt else 1))
        self.a_real = self._add_matrix("a_real", real)
        self.a_imag = self._add_matrix("a_imag", a.imag)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        shape = (ways, width, self.state_size, 2)
        self.c = self._add("c", shape, normal)

    def _add_time_step(self, shape):
        draw = self._time_step_initializer()

        def alike(shape, dtype=None):  # Both steps begin as one.
            return ops.tile(draw((shape[0], 1), dtype), (1, shape[1]))

        return self._add("log_dt", shape, alike, asks=(self.dt_learning_rate,))

    def system(self, length):
        log_dt = at_least_float32(self.log_dt)
        real = at_least_float32(self.a_real)
        if self.version == "exp":
            real = -ops.exp(real)
        a = (real, at_least_float32(self.a_imag))  # (N,)
        rate = -ops.exp(log_dt[:, :1]) * a[0]  # (D, N)
        angle = _vandermonde.turning(log_dt[:, -1:], a[1])
        c = at_least_float32(self.c)
        c = (c[..., 0], c[..., 1])
        if self.version == "exp":
            hold = _vandermonde.exp_minus_one(-rate, angle[0])
            size = ops.maximum(a[0] ** 2 + a[1] ** 2, _EPSILON)
            hold = _vandermonde.times(hold, (a[0] / size, -a[1] / size))
            return Diagonal(rate, angle, _vandermonde.times(c, hold))
        total = self._total(length)
        grows = a[0] > 0
        sign = 1.0 - 2.0 * ops.cast(grows, rate.dtype)
        hold = _vandermonde.exp_minus_one(-rate * sign, angle[0] * sign)
        whole = np.array([total])
        phase = _vandermonde.phases(angle, whole)[..., 0] * sign
        sums = _vandermonde.exp_minus_one(-rate * sign * total, phase)
        x = _vandermonde.times(sums, a)
        size = x[0] ** 2 + x[1] ** 2 + _EPSILON
        hold = _vandermonde.times(hold, (x[0] / size, -x[1] / size))
        weight = _vandermonde.times(c, hold)
        return Diagonal(rate, angle, weight, (grows, total - 1))

    def _total(self, length):
        total = self.training_length or length
        if total is None:
            raise ValueError(
                "Expected a training_length for steps of version='softmax', "
                "whose kernel depends on the length of the whole. Received: "
                f"training_length={self.training_length}."
            )
        return total

    def get_config(self):
        config = super().get_config()
        config.update(
            version=self.version,
            training_length=self.training_length,
            separate_dt=self.separate_dt,
        )
        return config
