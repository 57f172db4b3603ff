import math

from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _blocks
from pixmodels.attention import _places
from pixmodels.attention.mixer import Mixer
from pixmodels.layers.dropout import Dropout

NORMS = ("ortho", "backward")


@MIXERS.register("fnet")
class FNetMixer(Mixer):
    """The real part of a Fourier transform over tokens and features.

    `Re(F_N x F_D)`, without weights. Source: Lee-Thorp et al. 2022, "FNet",
    eq. 3. The transform mixes all places, so that a mask can only set padding
    to 0: its content does not matter, its length does (`length_invariant` is
    False). The places that a subset leaves out are 0 in the same way. The
    transform is float32 under any policy.

    Args:
        num_heads: A; unused, as there are no heads.
        norm: "ortho" divides by `sqrt(N D)`, so that the result is as large
            as `x` (our blocks normalise before the mixer); "backward" does
            not, as published, where a LayerNorm follows.
        dropout_rate: on the result.
        Others: as `Mixer`; `use_bias` and `qkv_bias` have nothing to act on.

    Call arguments:
        As `Mixer`. `positions` need `grid`, whose patches (and the prefix)
        are the N places of the transform.

    Raises:
        ValueError: for an unknown norm, for a `head_dim`, or for positions
            without a grid.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("fnet")(num_heads=1)
        >>> x = np.zeros((1, 2, 2), "float32")
        >>> x[0, 1, 0] = 2  # one wave over the two tokens
        >>> print(np.asarray(mixer(x))[0])
        [[ 1.  1.]
         [-1. -1.]]
    """

    complexity = "O(N log N)"
    any_length = False
    length_invariant = False

    def __init__(self, num_heads, *, norm="ortho", **kwargs):
        super().__init__(num_heads, **kwargs)
        if norm not in NORMS:
            raise ValueError(
                f"Expected norm among {NORMS}. Received: norm={norm!r}."
            )
        if self.head_dim is not None:
            raise ValueError(
                "Expected head_dim=None: a Fourier transform has no heads. "
                f"Received: head_dim={self.head_dim}."
            )
        self.norm = norm

    def build(self, input_shape):
        # None of the projections of `Mixer`.
        self.dropout = Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/mixed",
            name="dropout",
            dtype=self.dtype_policy,
        )
        self.built = True

    def mix(self, x, mask, positions, prefix, state, training, grid):
        dtype, x = x.dtype, ops.cast(x, "float32")
        if mask is not None:
            x = x * ops.cast(mask, "float32")[..., None]
        if positions is None:
            mixed = self._transform(x)
        else:
            places = self._places(positions, prefix, grid)
            mixed = self._transform(
                _blocks.scattered(x, places, prefix + grid[0] * grid[1])
            )
            mixed = ops.take_along_axis(mixed, places[..., None], axis=1)
        return self.dropout(ops.cast(mixed, dtype), training=training)

    def _transform(self, x):
        if self.norm == "ortho":
            # Before, so that sums over long sequences stay small.
            count = _blocks.static_length(x) * x.shape[-1]
            x = x * (1.0 / math.sqrt(count))
        return ops.fft2((x, ops.zeros_like(x)))[0]

    def _places(self, positions, prefix, grid):
        """(B, prefix + N) int32, places of all tokens in the transform."""
        if grid is None:
            raise ValueError(
                "Expected a grid with positions: the length of the transform "
                "is that of all patches. Received: grid=None."
            )
        return _places.places(positions, prefix)

    def get_config(self):
        config = super().get_config()
        config.update(norm=self.norm)
        return config
