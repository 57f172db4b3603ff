"""State-space layers against float64 numpy and golden numbers, for tests.

Here: loading of weights and the plain convolution. Not here: any use of the
code under test beyond its weights."""

import harness
import numpy as np
import pixel_weights
from keras import ops

from pixmodels import attention

MODES = ("auto", "fft", "chunked", "recurrent")


def load(name, arrays, names, **options):
    """A layer with the weights of a fixture.

    Args:
        name: mixer.
        arrays: dict.
        names: dict from the layer's attributes to names in `arrays`.
        options: of the mixer.
    """
    layer = attention.get(name)(1, **options)
    layer.build((None, *arrays["in/x"].shape[1:]))
    for mine, theirs in names.items():
        getattr(layer, mine).assign(arrays[theirs])
    if layer.output_form is not None:
        pixel_weights.load_dense(layer.output_dense.dense, arrays, "w/out")
    return layer


def run(layer, x):
    """(system's output, layer's output), numpy; loops in a graph."""

    def both(x):
        return layer.mixed(x), layer(x)

    if layer.mode == "recurrent":
        both = harness.compiled(both, False) or both
    return harness.arrays_of(both(x))


def convolved(x, kernel, layer):
    """Both ways and the skip in float64, term by term: (B, N, D).

    Args:
        x: (B, N, D).
        kernel: (K, D, L) float64, L >= N.
        layer: whose `skip` is meant.
    """
    x = np.float64(x)
    y = x * np.float64(ops.convert_to_numpy(layer.skip))
    length = x.shape[1]
    for t in range(length):
        for s in range(length):
            if s <= t:
                y[:, t] += kernel[0, :, t - s] * x[:, s]
            elif len(kernel) > 1:
                y[:, t] += kernel[1, :, s - t - 1] * x[:, s]
    return y
