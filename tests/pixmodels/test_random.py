import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import random

INT32 = st.integers(-(2**31), 2**31 - 1)
MASK = 2**32 - 1


def _mix(x):
    """The finaliser on Python integers, 32 bits unsigned."""
    x ^= x >> 16
    x = x * 0x7FEB352D & MASK
    x ^= x >> 15
    x = x * 0x846CA68B & MASK
    return x ^ x >> 16


def _bits(seed, step, example, salt, index):
    weyl = 0x9E3779B9
    start = _mix((seed + salt * weyl) & MASK)
    start = _mix(start ^ step * 0x7FEB352D & MASK)
    first = _mix(start ^ example * weyl & MASK)
    second = _mix((first + 0x846CA68B) & MASK)
    x = _mix(index * weyl & MASK ^ first)
    return _mix((x + second) & MASK) >> 8


@given(INT32, INT32, INT32, st.integers(0, 2**31 - 1))
def test_bits_equal_integer_arithmetic(seed, step, example, salt):
    ours = random.bits(salt, 7, key=[seed, step], example_ids=[example, 3])
    expected = [
        [_bits(seed, step, e, salt, i) for i in range(7)] for e in (example, 3)
    ]
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), expected)


def test_draws_belong_to_the_example():
    with random.key_scope([3, 5], [2, 7, 11]):
        a = ops.convert_to_numpy(random.uniform(13, 31))
    with random.key_scope([3, 5], [11, 2]):
        b = ops.convert_to_numpy(random.uniform(13, 31))
    np.testing.assert_array_equal(a[[2, 0]], b)


@pytest.mark.parametrize(
    "change", [{"key": [4, 5]}, {"key": [3, 6]}, {"salt": 14}]
)
def test_every_part_of_the_key_matters(change):
    base = {"salt": 13, "size": 997, "key": [3, 5], "example_ids": [2]}
    a = ops.convert_to_numpy(random.uniform(**base))
    b = ops.convert_to_numpy(random.uniform(**{**base, **change}))
    # Independent uniforms correlate like 1 / sqrt(n): five sigmas.
    assert abs(np.corrcoef(a[0], b[0])[0, 1]) < 5 / np.sqrt(997)


def test_uniform_statistics():
    ids = np.arange(1009)
    x = ops.convert_to_numpy(
        random.uniform(17, 1013, key=[1, 2], example_ids=ids)
    )
    n = x.size
    assert 0 <= x.min() <= x.max() < 1
    assert abs(x.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    counts = np.histogram(x, 256, (0, 1))[0]
    chi2 = ((counts - n / 256) ** 2 / (n / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
    # Neighbours in the row, in the column, and rows among each other.
    for a, b in ((x[:, 1:], x[:, :-1]), (x[1:], x[:-1])):
        r = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert abs(r) < 5 / np.sqrt(n)
    correlations = np.corrcoef(x[:101])[np.triu_indices(101, 1)]
    assert abs(correlations).max() < 6 / np.sqrt(1013)


def test_needs_a_key():
    with pytest.raises(ValueError, match="key_scope"):
        random.bits(1, 3)


def test_dropout_rate_and_scale():
    layer = pixmodels.layers.Dropout(0.3, salt="a")
    x = np.ones((101, 103), "float32")
    with random.key_scope([1, 2], np.arange(101)):
        y = ops.convert_to_numpy(layer(x, training=True))
    dropped = (y == 0).mean()
    assert abs(dropped - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)
    for y in (layer(x, training=False), layer(x)):
        np.testing.assert_array_equal(ops.convert_to_numpy(y), x)


def test_dropout_outside_a_scope_draws_anew():
    layer = pixmodels.layers.Dropout(0.5, seed=3)
    x = np.ones((5, 97), "float32")
    a, b = (ops.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert (a != b).any()


def test_dropout_refuses_a_rate():
    with pytest.raises(ValueError, match="rate=1"):
        pixmodels.layers.Dropout(1)


def test_parts_draw_as_examples_of_their_own():
    assert not random.in_key_scope()
    with random.part_scope(3):
        assert not random.in_key_scope()
    with random.key_scope([3, 5], [7, 11]), random.part_scope(3):
        found = ops.convert_to_numpy(random.bits(13, 17))
    ids = [21, 22, 23, 33, 34, 35]
    expected = random.bits(13, 17, key=[3, 5], example_ids=ids)
    np.testing.assert_array_equal(found, ops.convert_to_numpy(expected))
