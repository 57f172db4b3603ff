import keras
import mixer_numbers
import numpy as np
import pytest
from keras import ops
from state_space_numbers import MODES
from state_space_numbers import convolved
from state_space_numbers import load
from state_space_numbers import run

from pixmodels import attention
from pixmodels.sequence import _hippo

NAMES = {
    "log_dt": "w/log_dt",
    "log_a_real": "w/A_real",
    "a_imag": "w/A_imag",
    "p": "w/P",
    "b": "w/B",
    "c": "w/C",
    "skip": "w/D",
}


@pytest.mark.parametrize("mode", MODES)
def test_golden_numbers(shared, mode):
    arrays = mixer_numbers.golden(shared, "s4_dplr")
    arrays["w/log_dt"] = arrays["w/inv_dt"][:, 0]
    arrays["w/A_imag"] = -arrays["w/A_imag"]
    layer = load(
        "s4", arrays, NAMES, state_size=16, causal=True, mode=mode, chunk=19
    )
    system = layer.system(128)
    for kernel in (system.kernel(128), system.taps(128)):
        mixer_numbers.close(kernel, arrays["out/kernel"], atol=2e-6)
    mixed, y = run(layer, arrays["in/x"])
    mixer_numbers.close(mixed, arrays["out/ssm"], atol=2e-5)
    mixer_numbers.close(y, arrays["out/y"], atol=2e-5)


@pytest.mark.parametrize("size", [2, 6, 64])
def test_hippo_is_diagonal_plus_low_rank(size):
    n = np.arange(size)
    root = np.sqrt(2 * n + 1)
    matrix = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    half = _hippo.legs(size)
    a, p, b = (np.concatenate([part, part.conj()]) for part in half)
    other = np.diag(a) - np.outer(p, p.conj())
    # The same system in another basis: B to B, at points of the plane.
    for s in (0.7 + 0.3j, 2j, 31 - 11j):
        eye = s * np.eye(size)
        expected = root @ np.linalg.solve(eye - matrix, root)
        found = b.conj() @ np.linalg.solve(eye - other, b)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def _plain_kernel(layer, length):
    """By recurrence of the dense system in float64: (K, D, L)."""
    dt, real, imag, p, b, c = (
        np.float64(ops.convert_to_numpy(getattr(layer, name)))
        for name in ("log_dt", "log_a_real", "a_imag", "p", "b", "c")
    )
    p, b, c = (part[..., 0] + 1j * part[..., 1] for part in (p, b, c))
    p, b, c = (np.concatenate([t, t.conj()], axis=-1) for t in (p, b, c))
    a = -np.exp(real) + 1j * imag
    a = np.concatenate([a, a.conj()], axis=-1)
    kernel = np.zeros((*c.shape[:2], length))
    eye = np.eye(a.shape[-1])
    for h, step in enumerate(np.exp(dt)):
        row = h % len(a)
        matrix = np.diag(a[row]) - np.outer(p[row], p[row].conj())
        left = np.linalg.inv(eye - step / 2 * matrix)
        state = step * left @ b[row]
        turn = left @ (eye + step / 2 * matrix)
        for i in range(length):
            kernel[:, h, i] = (c[:, h] @ state).real
            state = turn @ state
    return kernel


@pytest.mark.parametrize("length", [1, 2, 3, 7, 131])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_its_plain_form(length, causal):
    rng = np.random.default_rng(3)
    layer = attention.get("s4")(
        1, state_size=6, num_systems=1, causal=causal, output=None, mode="fft"
    )
    layer.build((None, None, 5))
    x = rng.normal(size=(2, length, 5)).astype("float32")
    expected = convolved(x, _plain_kernel(layer, length), layer)
    for mode, chunk in (("fft", 1), ("chunked", 7), ("auto", 64)):
        layer.mode, layer.chunk = mode, chunk
        mixer_numbers.close(layer(x), expected, atol=2e-5)


def test_the_kernel_of_4096_taps_in_float32():
    keras.utils.set_random_seed(3)
    layer = attention.get("s4")(1, causal=True)
    layer.build((None, None, 3))
    layer.log_dt.assign(np.log([1e-3, 1e-2, 1e-1]))
    expected = _plain_kernel(layer, 4096)
    found = ops.convert_to_numpy(layer.system(4096).kernel(4096))
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    # Of 30 draws of C the largest errors were 1.1e-5, 1.1e-6 and 1.4e-6, on
    # TensorFlow and torch alike, and 3e-6, 6e-7 and 7e-7 in the median: the
    # longer taps last, the more the lowest frequencies outweigh each of them.
    bound = np.array([1e-5, 4e-6, 4e-6])[:, None]
    assert (np.abs(found - expected) <= bound * scale).all()
