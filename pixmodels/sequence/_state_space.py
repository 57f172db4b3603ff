import math

import keras
import numpy as np
from keras import ops

from pixmodels import learning
from pixmodels._precision import at_least_float32
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _places
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer
from pixmodels.sequence import _blockwise
from pixmodels.sequence import _convolve
from pixmodels.sequence import _output

MODES = ("auto", "fft", "chunked", "recurrent")


class StateSpaceMixer(Mixer):
    """What the layers with linear state-space systems share.

    Each feature goes through systems of its own, from the first token to the
    last and, unless `causal`, from the last to the first with other output
    weights: `y_t = sum_(s<=t) k0[t - s] u_s + sum_(s>t) k1[s - t - 1] u_s +
    skip u_t`. Padding and places that a subset leaves out are 0. Everything up
    to y is float32 under mixed precision (float64 under a float64 policy).

    Subclasses add weights in `build_system` and return an object with the
    methods of `_diagonal.Diagonal` in `system`.

    Args:
        num_heads: A; unused, as there are no heads.
        state_size: N, real numbers in a system's state, even: N / 2 complex
            ones are kept.
        mode: how y is computed. "fft": a kernel as long as the sequence, by
            Fourier transforms; each output then depends on all inputs by
            rounding, later ones included. "chunked": blocks of tokens with
            states between them, linear in N. "recurrent": token by token.
            "auto": by length, see `mode_of`. They agree within rounding.
        chunk: tokens in a block.
        output: what is made of y: gelu, dropout and "glu" (Dense to 2 D, one
            half gates the other), "half_glu" (a Dense that gates its input)
            or "dense"; None returns y itself.
        tie_dropout: the same features are dropped at all tokens.
        dt_min, dt_max: range of the initial time steps, uniform in the
            logarithm.
        ssm_learning_rate: most that the weights of the systems' matrices
            learn by (`pixmodels.learning`); None: as all others. They and the
            time steps are never decayed.
        dt_learning_rate: the same for time steps.
        causal: without the second way; a token sees those before it.
        dropout_rate: before the output's Dense.
        Others: as `Mixer`; `use_bias` is the output's.

    Call arguments:
        As `Mixer`. The prefix stands in front of the sequence as any tokens.
        `positions` need `grid`, whose patches (and the prefix) are the places
        of the sequence.

    Raises:
        ValueError: for an unknown mode or output, a `state_size` that is odd
            or below 1, a chunk below 1, time steps that are not ascending
            and above 0, a `head_dim`, or positions without a grid.
    """

    causal = True
    complexity = "O(N log N)"
    any_length = False
    small_options = {"state_size": 4, "chunk": 3}
    default_output = "glu"
    paired = True  # whether states come in conjugate pairs

    def __init__(
        self,
        num_heads,
        *,
        state_size=64,
        mode="auto",
        chunk=64,
        output="default",
        tie_dropout=False,
        dt_min=1e-3,
        dt_max=1e-1,
        ssm_learning_rate=1e-3,
        dt_learning_rate=1e-3,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        output = self.default_output if output == "default" else output
        for name, value, allowed in (
            ("mode", mode, MODES),
            ("output", output, (*_output.FORMS, None)),
        ):
            if value not in allowed:
                raise ValueError(
                    f"Expected {name} among {allowed}. Received: "
                    f"{name}={value!r}."
                )
        _checks.check_counts(state_size=state_size, chunk=chunk)
        if self.paired and state_size % 2:
            raise ValueError(
                "Expected an even state_size: states come in conjugate pairs. "
                f"Received: state_size={state_size}."
            )
        if not 0 < dt_min <= dt_max:
            raise ValueError(
                "Expected 0 < dt_min <= dt_max. Received: "
                f"dt_min={dt_min}, dt_max={dt_max}."
            )
        if self.head_dim is not None:
            raise ValueError(
                "Expected head_dim=None: state-space systems have no heads. "
                f"Received: head_dim={self.head_dim}."
            )
        self.state_size = state_size
        self.mode = mode
        self.chunk = chunk
        self.output_form = output
        self.tie_dropout = tie_dropout
        self.dt_min = dt_min
        self.dt_max = dt_max
        self.ssm_learning_rate = ssm_learning_rate
        self.dt_learning_rate = dt_learning_rate

    # --- Weights ------------------------------------------------------------

    def build(self, input_shape):
        # None of the projections of `Mixer`.
        self._width = width = input_shape[-1]
        self.build_system(width, 1 if self.causal else 2)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.skip = self._add("skip", (width,), normal)
        if self.output_form is not None:
            self.output_dense = _output.SequenceOutput(
                width,
                form=self.output_form,
                use_bias=self.use_bias,
                dropout_rate=self.dropout_rate,
                tie_dropout=self.tie_dropout,
                salt=self.salt,
                name="output",
                dtype=self.dtype_policy,
            )
            self.output_dense.build((None, None, width))
        self.built = True

    @property
    def width(self):
        """D, int; known once the layer is built."""
        return self._width

    def build_system(self, width, ways):
        """Adds the weights of `width` systems with one or two ways."""
        raise NotImplementedError

    def system(self, length):
        """The systems as they are now; `length` is that of the sequence."""
        raise NotImplementedError

    def _add(self, name, shape, initializer, *, asks=None):
        """A weight in full precision; `asks`: its highest learning rate."""
        if isinstance(initializer, np.ndarray):
            initializer = keras.initializers.Constant(initializer)
        weight = self.add_weight(
            name=name, shape=shape, initializer=initializer, autocast=False
        )
        if asks is not None:
            learning.request(
                weight, max_learning_rate=asks[0], weight_decay=False
            )
        return weight

    def _add_matrix(self, name, value):
        """A weight of the systems' matrices, with its initial value."""
        asks = (self.ssm_learning_rate,)
        return self._add(name, value.shape, value, asks=asks)

    def _add_time_step(self, shape):
        return self._add(
            "log_dt",
            shape,
            self._time_step_initializer(),
            asks=(self.dt_learning_rate,),
        )

    def _time_step_initializer(self):
        ends = (math.log(self.dt_min), math.log(self.dt_max))
        return keras.initializers.RandomUniform(*ends)

    # --- Sequences ----------------------------------------------------------

    def mix(self, x, mask, positions, prefix, state, training, grid):
        u = at_least_float32(x)
        if mask is not None:
            # Chosen, not multiplied: padding may hold anything.
            u = ops.where(mask[..., None], u, ops.zeros_like(u))
        if positions is None:
            y = self.mixed(u)
        else:
            if grid is None:
                raise ValueError(
                    "Expected a grid with positions: what a subset leaves out "
                    "is zeros at its places. Received: grid=None."
                )
            places = _places.places(positions, prefix)
            length = prefix + grid[0] * grid[1]
            y = self.mixed(_blocks.scattered(u, places, length))
            y = ops.take_along_axis(y, places[..., None], axis=1)
        return self.finished(y)

    def finished(self, y, **options):
        """The layer's output for that of the systems: (B, N, D).

        `training` may be left to the call around.
        """
        y = ops.cast(y, self.compute_dtype)
        if self.output_form is None:
            return y
        return self.output_dense(y, **options)

    def mixed(self, u):
        """The systems' output and the skip: (B, N, D), float32 at least."""
        u = at_least_float32(u)
        length = _blocks.static_length(u)
        if not length:
            return u
        system, mode = self.system(length), self.mode_of(length)
        skip = at_least_float32(self.skip)
        if mode == "fft":
            return _convolve.convolve(u, system.kernel(length), skip)
        if mode == "recurrent":
            return self._scanned(u, system) + skip * u
        size = self._block_size(length)
        ways = system.ways(size) if size < length else []
        y = _blockwise.convolve(u, system.taps(size), ways, size)
        return y + skip * u

    def mode_of(self, length):
        """What "auto" means for a length.

        Blocks in the causal form: they are as quick, and with them no
        rounding, nan or infinity of a later block reaches an earlier token.
        Where there is a second way, a Fourier transform from two blocks on,
        which is the quicker one at 65,536 tokens, too.
        """
        if self.mode != "auto":
            return self.mode
        blocks = self.causal or length <= 2 * self.chunk
        return "chunked" if blocks else "fft"

    def _block_size(self, length):
        if self.mode == "auto" and length <= 2 * self.chunk:
            return length  # At once.
        return min(self.chunk, length)

    def _scanned(self, u, system):
        state = system.state(ops.shape(u)[0])
        y = _blockwise.scan(u, state, system.step)
        if self.causal:
            return y
        back = _blockwise.scan(
            ops.flip(u, axis=1), state, lambda u, s: system.step(u, s, 1)
        )
        return y + ops.flip(back, axis=1)

    # --- Token by token -----------------------------------------------------

    def initial_cache(self, batch_size, length):
        """As `Mixer`: the systems' states; `length` is no limit."""
        _steps.check_cache(self, batch_size, length)
        return self.system(length).state(batch_size)

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        u = at_least_float32(x)
        y, cache = self.system(None).step(u, cache)
        y = y + at_least_float32(self.skip) * u
        return self.finished(y[:, None], training=training)[:, 0], cache

    def get_config(self):
        config = super().get_config()
        config.update(
            state_size=self.state_size,
            mode=self.mode,
            chunk=self.chunk,
            output=self.output_form,
            tie_dropout=self.tie_dropout,
            dt_min=self.dt_min,
            dt_max=self.dt_max,
            ssm_learning_rate=self.ssm_learning_rate,
            dt_learning_rate=self.dt_learning_rate,
        )
        return config
