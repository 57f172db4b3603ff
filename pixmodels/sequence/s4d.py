import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.sequence import _hippo
from pixmodels.sequence import _systems
from pixmodels.sequence import _vandermonde
from pixmodels.sequence._diagonal import Diagonal
from pixmodels.sequence._state_space import StateSpaceMixer

DISCRETISATIONS = ("zoh", "bilinear")
_LEAST = 1e-30


@MIXERS.register("s4d")
class S4D(StateSpaceMixer):
    """Diagonal state-space systems, one for each feature (S4D).

    `dx/dt = A x + u`, `y = 2 Re(C x) + skip u`, `A = -exp(a) + i b`, at steps
    of dt. With the zero-order hold the kernel is `2 Re sum_n C_n (e^(dt A_n) -
    1) / A_n e^(dt A_n l)`; B is 1, as it would only scale C. Source: Gu et al.
    2022, "On the Parameterization and Initialization of Diagonal State Space
    Models" (S4D), secs. 3 and 4, and `s4d.py` of state-spaces/s4 e757cef;
    bidirectional as `s4.py` there. Where we differ: phases at large l are
    exact (`_vandermonde`), and kernels come from about `2 sqrt(N)` powers.

    Args:
        num_heads: A; unused.
        init: of A, "lin" (S4D-Lin), "legs" (S4D-LegS) or "inv" (S4D-Inv).
        discretisation: "zoh" or "bilinear".
        num_systems: how many different A there are, shared in turn by the
            features; None: each feature has its own.
        Others: as `StateSpaceMixer`.

    Call arguments:
        As `StateSpaceMixer`.

    Raises:
        ValueError: for an unknown init or discretisation, `num_systems` that
            do not divide D, and what `StateSpaceMixer` refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("s4d")(num_heads=1, causal=True)
        >>> x = np.ones((3, 7, 8), "float32")
        >>> y = mixer(x)
        >>> cache = mixer.initial_cache(3, length=7)
        >>> for index in range(7):
        ...     token, cache = mixer.step(x[:, index], cache, index)
        >>> float(np.abs(y[:, -1] - token).max()) < 1e-5
        True
    """

    def __init__(
        self,
        num_heads,
        *,
        init="lin",
        discretisation="zoh",
        num_systems=None,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        for name, value, allowed in (
            ("init", init, _hippo.INITS),
            ("discretisation", discretisation, DISCRETISATIONS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"Expected {name} among {allowed}. Received: "
                    f"{name}={value!r}."
                )
        self.init = init
        self.discretisation = discretisation
        self.num_systems = num_systems

    def build_system(self, width, ways):
        count = _systems.count_of(self.num_systems, width)
        a = _hippo.diagonal(self.init, self.state_size)
        a = np.tile(a, (count, 1))
        self.log_dt = self._add_time_step((width,))
        self.log_a_real = self._add_matrix("log_a_real", np.log(-a.real))
        self.a_imag = self._add_matrix("a_imag", a.imag)
        normal = keras.initializers.RandomNormal(stddev=0.5**0.5)
        shape = (ways, width, self.state_size // 2, 2)
        self.c = self._add("c", shape, normal)

    def system(self, length):
        log_dt = at_least_float32(self.log_dt)[:, None]
        dt = ops.exp(log_dt)
        real, imaginary = (
            _systems.spread(at_least_float32(part), self._width)
            for part in (self.log_a_real, self.a_imag)
        )
        a = (-ops.exp(real), imaginary)
        c = at_least_float32(self.c)
        c = (2.0 * c[..., 0], 2.0 * c[..., 1])
        angle = _vandermonde.turning(log_dt, a[1])
        step = (dt * a[0], angle[0])
        if self.discretisation == "zoh":
            hold = _vandermonde.over(_vandermonde.exp_minus_one(*step), a)
            return Diagonal(-step[0], angle, _vandermonde.times(c, hold))
        return bilinear(step, dt, c)

    def get_config(self):
        config = super().get_config()
        config.update(
            init=self.init,
            discretisation=self.discretisation,
            num_systems=self.num_systems,
        )
        return config


def bilinear(step, dt, c):
    """`z = (1 + h) / (1 - h)`, `w = c dt / (1 - h)` for `h = dt A / 2`.

    Args:
        step: `dt A`, a pair of (D, M), the real part negative.
        dt: (D, 1).
        c: pair of (K, D, M).

    Returns:
        `Diagonal`.
    """
    p, q = -0.5 * step[0], 0.5 * step[1]
    size = (1.0 + p) ** 2 + q * q
    # |z|^2 = 1 - 4 p / size, 0 at h = -1.
    left = ops.maximum(((1.0 - p) ** 2 + q * q) / size, _LEAST)
    rate = -0.5 * ops.where(
        left > 0.5, ops.log1p(-4.0 * p / size), ops.log(left)
    )
    angle = ops.arctan2(q, 1.0 - p) + ops.arctan2(q, 1.0 + p)
    hold = _vandermonde.over((dt, 0.0 * dt), (1.0 + p, -q))
    return Diagonal(rate, angle, _vandermonde.times(c, hold))
