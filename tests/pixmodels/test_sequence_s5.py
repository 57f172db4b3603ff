import mixer_numbers
import numpy as np
import pytest
from keras import ops
from state_space_numbers import MODES
from state_space_numbers import run

from pixmodels import attention


def _plain(layer, x):
    """By recurrence in complex128: (B, N, D)."""
    dt, real, imag, b, c, skip = (
        np.float64(ops.convert_to_numpy(getattr(layer, name)))
        for name in ("log_dt", "log_a_real", "a_imag", "b", "c", "skip")
    )
    dt, a = np.exp(dt), -np.exp(real) + 1j * imag
    b, c = (part[..., 0] + 1j * part[..., 1] for part in (b, c))
    z = np.exp(dt * a)
    b = ((z - 1) / a)[:, None] * b
    x = np.float64(x)
    y = skip * x
    for row in range(len(x)):
        state = np.zeros(len(a), complex)
        for t in range(x.shape[1]):
            state = z * state + b @ x[row, t]
            y[row, t] += 2 * (c[0] @ state).real
        if len(c) == 2:
            state = np.zeros(len(a), complex)
            for t in reversed(range(x.shape[1])):
                y[row, t] += 2 * (c[1] @ state).real
                state = z * state + b @ x[row, t]
    return y


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 5, 131])
def test_equals_its_plain_form(length, causal, mode):
    rng = np.random.default_rng(3)
    layer = attention.get("s5")(
        1,
        state_size=12,
        blocks=3,
        causal=causal,
        mode=mode,
        chunk=2 if length == 131 else 7,  # 66 blocks: groups of groups
        output=None,
    )
    layer.build((None, None, 5))
    x = rng.normal(size=(2, length, 5)).astype("float32")
    mixer_numbers.close(run(layer, x)[0], _plain(layer, x), atol=1e-5)


def test_blocks_share_their_eigenvalues():
    layer = attention.get("s5")(1, state_size=12, blocks=3)
    layer.build((None, None, 5))
    values = ops.convert_to_numpy(layer.a_imag).reshape(3, 2)
    np.testing.assert_array_equal(values[0], values[1])
    with pytest.raises(ValueError, match=r"state_size=12, blocks=4"):
        attention.get("s5")(1, state_size=12, blocks=4)


def test_half_glu_gates_its_input():
    layer = mixer_numbers.made("s5", 1, state_size=4, causal=True)
    x = np.random.default_rng(3).normal(size=(2, 7, 15)).astype("float32")
    mixed = np.float64(ops.convert_to_numpy(layer.mixed(x)))
    import scipy.special

    a = mixed * scipy.special.ndtr(mixed)
    kernel, bias = (
        np.float64(w) for w in layer.output_dense.dense.get_weights()
    )
    expected = a / (1 + np.exp(-(a @ kernel + bias)))
    mixer_numbers.close(layer(x), expected, atol=1e-5)
