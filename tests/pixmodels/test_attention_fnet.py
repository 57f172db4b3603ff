import mixer_numbers
import numpy as np
import pytest
from keras import ops

from pixmodels import attention


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "fnet")
    layer = attention.get("fnet")(4, norm="backward")
    y = ops.convert_to_numpy(layer(arrays["in/x"]))
    expected = arrays["out/mix"]
    # The reference itself is float32: it is 1.6e-5 away from float64, with
    # numbers as large as 115.
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-5)


def _plain(x, norm):
    y = np.fft.fft2(np.float64(x)).real
    return y / np.sqrt(x.shape[1] * x.shape[2]) if norm == "ortho" else y


@pytest.mark.parametrize("norm", ["ortho", "backward"])
@pytest.mark.parametrize("length", [1, 7, 13])
def test_equals_numpy_and_padding_is_zero(length, norm):
    rng = np.random.default_rng(3)
    layer = attention.get("fnet")(3, norm=norm)
    x = rng.normal(size=(2, length, 11)).astype("float32")
    mixer_numbers.close(layer(x), _plain(x, norm))
    mask = rng.random((2, length)) < 0.6
    expected = _plain(x * mask[..., None], norm)
    mixer_numbers.close(layer(x, mask=mask), expected)


@pytest.mark.parametrize("prefix", [0, 2])
def test_a_subset_leaves_zeros(prefix):
    rng = np.random.default_rng(3)
    layer = attention.get("fnet")(3)
    positions = np.array([[0, 3, 4, 11], [2, 5, 13, 14]], "int32")
    x = rng.normal(size=(2, prefix + 4, 11)).astype("float32")
    whole = np.zeros((2, prefix + 15, 11))
    whole[:, :prefix] = x[:, :prefix]
    for row in range(2):
        whole[row, prefix + positions[row]] = x[row, prefix:]
    expected = _plain(whole, "ortho")
    y = layer(x, positions=positions, prefix=prefix, grid=(3, 5))
    y = ops.convert_to_numpy(y)
    mixer_numbers.close(y[:, :prefix], expected[:, :prefix])
    for row in range(2):
        found = expected[row, prefix + positions[row]]
        mixer_numbers.close(y[row, prefix:], found)


def test_what_cannot_be_is_refused():
    cls = attention.get("fnet")
    with pytest.raises(ValueError, match="norm='forward'"):
        cls(3, norm="forward")
    with pytest.raises(ValueError, match="head_dim=5"):
        cls(3, head_dim=5)
    with pytest.raises(ValueError, match="has no causal form"):
        cls(3, causal=True)
    with pytest.raises(ValueError, match="grid=None"):
        cls(3)(np.ones((1, 2, 5), "float32"), positions=np.array([[0, 3]]))
