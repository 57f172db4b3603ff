"""Directions of random features, orthogonal in groups, and permutations.

Here: drawing them once in numpy, and again in the graph as a function of a
step. Not here: the features themselves (performer, kernelized)."""

import math

import numpy as np
from keras import ops

from pixmodels import random


def draw(count, width, *, seed, salt, orthogonal=True):
    """Random directions as a pure function of the arguments.

    Args:
        count: m, rows.
        width: E, the length of a row.
        seed: int >= 0.
        salt: str, tells layers apart.
        orthogonal: rows of each group of E are orthogonal (and as long as
            independent normal rows would be), which lowers the variance.

    Returns:
        (m, E) float32. Source: Choromanski et al. 2021, "Rethinking Attention
        with Performers", section 2.4 and appendix B.2 (regularised "R-ORF"
        lengths); signs are such that each group is uniform over rotations.
    """
    key = [seed, random.salt_of(f"{salt}/features")]
    rng = np.random.Generator(np.random.Philox(key=key))
    groups = -(-count // width)
    normal = rng.normal(size=(groups, width, width))
    if not orthogonal:
        return normal.reshape(-1, width)[:count].astype("float32")
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    rows = q.transpose(0, 2, 1).reshape(-1, width)
    lengths = np.linalg.norm(rng.normal(size=rows.shape), axis=1)
    return (rows * lengths[:, None])[:count].astype("float32")


def of_step(weight, training, *, interval, seed, salt, draw):
    """What a layer drew first, or in training what this step draws.

    Args:
        weight: variable that holds the first draw.
        training: bool.
        interval: None, or the steps after which training draws anew.
        seed, salt: those of the layer.
        draw: `redraw` or the like, as a function of `seed`, `number` and
            `salt` alone.

    Returns:
        A tensor like `weight`: its value outside training, without `interval`
        and outside of `pixmodels.random.key_scope`, else the draw of that
        scope's seed and `step // interval`.
    """
    key = random.scope_key()
    if not training or interval is None or key is None:
        return ops.convert_to_tensor(weight)
    number = key[1] // interval
    return draw(seed=key[0], number=number, salt=f"{salt}/{seed}")


def redraw(count, width, *, seed, number, salt, orthogonal=True):
    """As `draw`, in the graph, for the draw of a number.

    Args:
        count, width, salt, orthogonal: as `draw`.
        seed, number: scalar int32 tensors.

    Returns:
        (m, E) float32 tensor, a function of the arguments alone.
    """
    groups = -(-count // width)
    key = ops.stack([ops.cast(seed, "int32"), ops.cast(number, "int32")])
    size = groups * width * width
    normal = _normal(random.salt_of(f"{salt}/features"), size, key)
    normal = ops.reshape(normal, (groups, width, width))
    if not orthogonal:
        return ops.reshape(normal, (-1, width))[:count]
    q, r = ops.qr(normal)
    signs = ops.sign(ops.diagonal(r, axis1=1, axis2=2))
    rows = ops.transpose(q * signs[:, None, :], (0, 2, 1))
    rows = ops.reshape(rows, (-1, width))
    again = _normal(random.salt_of(f"{salt}/lengths"), size, key)
    again = ops.reshape(again, (-1, width))
    lengths = ops.sqrt(ops.sum(ops.square(again), axis=1, keepdims=True))
    return (rows * lengths)[:count]


def draw_permutation(size, *, seed, salt):
    """(size,) int32, a random order of 0 to size - 1; arguments as `draw`."""
    key = [seed, random.salt_of(f"{salt}/permutation")]
    rng = np.random.Generator(np.random.Philox(key=key))
    return rng.permutation(size).astype("int32")


def redraw_permutation(size, *, seed, number, salt):
    """As `draw_permutation`, in the graph; arguments as `redraw`."""
    key = ops.stack([ops.cast(seed, "int32"), ops.cast(number, "int32")])
    bits = random.bits(
        random.salt_of(f"{salt}/permutation"),
        size,
        key=key,
        example_ids=ops.zeros((1,), dtype="int32"),
    )
    return ops.cast(ops.argsort(bits[0]), "int32")


def _normal(salt, size, key):
    """(size,) float32 standard normal numbers (Box and Muller 1958)."""
    ids = ops.zeros((1,), dtype="int32")
    first, second = (
        random.uniform(
            random.salt_of(f"{salt}/{i}"), size, key=key, example_ids=ids
        )[0]
        for i in range(2)
    )
    # uniform is below 1, never 1: the logarithm is of (0, 1].
    radius = ops.sqrt(-2.0 * ops.log(1.0 - first))
    return radius * ops.cos(2.0 * math.pi * second)
