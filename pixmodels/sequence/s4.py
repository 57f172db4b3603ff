import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels._registry import MIXERS
from pixmodels.sequence import _hippo
from pixmodels.sequence import _systems
from pixmodels.sequence._low_rank import LowRank
from pixmodels.sequence._state_space import StateSpaceMixer


@MIXERS.register("s4")
class S4(StateSpaceMixer):
    """Structured state-space systems, HiPPO-LegS to begin with (S4).

    `dx/dt = A x + B u`, `y = 2 Re(C x) + skip u`, `A = diag(L) - P P^*`,
    `L = -exp(a) + i b`, by the bilinear rule at steps of dt. Long kernels come
    from their frequencies. Source: Gu et al. 2022, "Efficiently Modeling Long
    Sequences with Structured State Spaces" (S4), sec. 3 and appendix C, and
    `s4.py` of state-spaces/s4 e757cef, its two directions included. Where we
    differ: the weight is C itself, not `C (1 - Abar^L)` of the training
    length L, so that lengths may vary and steps need no inverse; the formula
    at the frequencies has no pole at -1, so that float32 will do; B begins
    real, by the choice of the eigenvectors' phases.

    Args:
        num_heads: A; unused.
        num_systems: how many different A and B there are, shared in turn by
            the features; None: each feature has its own.
        Others: as `StateSpaceMixer`.

    Call arguments:
        As `StateSpaceMixer`.

    Raises:
        ValueError: for `num_systems` that do not divide D, and what
            `StateSpaceMixer` refuses.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("s4")(num_heads=1)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    def __init__(self, num_heads, *, num_systems=None, **kwargs):
        super().__init__(num_heads, **kwargs)
        self.num_systems = num_systems

    def build_system(self, width, ways):
        count = _systems.count_of(self.num_systems, width)
        a, p, b = (
            np.tile(part, (count, 1)) for part in _hippo.legs(self.state_size)
        )
        self.log_dt = self._add_time_step((width,))
        self.log_a_real = self._add_matrix("log_a_real", np.log(-a.real))
        self.a_imag = self._add_matrix("a_imag", a.imag)
        self.p = self._add_matrix("p", np.stack([p.real, p.imag], axis=-1))
        self.b = self._add_matrix("b", np.stack([b.real, b.imag], axis=-1))
        normal = keras.initializers.RandomNormal(stddev=0.5**0.5)
        shape = (ways, width, self.state_size // 2, 2)
        self.c = self._add("c", shape, normal)

    def system(self, length):
        real, imaginary, p, b = (
            _systems.spread(at_least_float32(part), self._width)
            for part in (self.log_a_real, self.a_imag, self.p, self.b)
        )
        dt = ops.exp(at_least_float32(self.log_dt))[:, None]
        c = at_least_float32(self.c)
        p, b, c = ((part[..., 0], part[..., 1]) for part in (p, b, c))
        return LowRank(dt, (-ops.exp(real), imaginary), p, b, c)

    def get_config(self):
        config = super().get_config()
        config.update(num_systems=self.num_systems)
        return config
