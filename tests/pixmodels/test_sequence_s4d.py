import mixer_numbers
import numpy as np
import pytest
from keras import ops
from state_space_numbers import MODES
from state_space_numbers import convolved
from state_space_numbers import load
from state_space_numbers import run

from pixmodels import attention
from pixmodels.sequence import _vandermonde

NAMES = {
    "log_dt": "w/log_dt",
    "log_a_real": "w/log_A_real",
    "a_imag": "w/A_imag",
    "skip": "w/D",
}


def _layer(arrays, **options):
    return load("s4d", arrays, NAMES, state_size=16, **options)


@pytest.mark.parametrize("mode", MODES)
def test_golden_numbers(shared, mode):
    arrays = mixer_numbers.golden(shared, "s4d")
    layer = _layer(arrays, causal=True, mode=mode, chunk=19)
    layer.c.assign(arrays["w/C"][None])
    kernel = layer.system(128).kernel(128)[0]
    mixer_numbers.close(kernel, arrays["out/kernel"], atol=1e-6)
    mixed, y = run(layer, arrays["in/x"])
    mixer_numbers.close(mixed, arrays["out/ssm"], atol=1e-5)
    mixer_numbers.close(y, arrays["out/y"], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_golden_numbers_of_two_ways(shared, mode):
    arrays = mixer_numbers.golden(shared, "s4_diag")
    arrays["w/log_dt"] = arrays["w/inv_dt"][:, 0]
    arrays["w/log_A_real"] = arrays.pop("w/A_real")
    arrays["w/A_imag"] = -arrays["w/A_imag"]
    layer = _layer(arrays, mode=mode, chunk=19)
    b, c = (arrays[f"w/{n}"].view("complex64")[..., 0] for n in "BC")
    layer.c.assign((b * c)[..., None].view("float32"))
    kernel = layer.system(128).kernel(128)
    mixer_numbers.close(kernel, arrays["out/kernel"], atol=2e-6)
    mixed, y = run(layer, arrays["in/x"])
    mixer_numbers.close(mixed, arrays["out/ssm"], atol=2e-5)
    mixer_numbers.close(y, arrays["out/y"], atol=2e-5)


def _plain_kernel(layer, length):
    """The kernel in complex128, as published: (K, D, L)."""
    dt, real, imag, c = (
        np.float64(ops.convert_to_numpy(weight))
        for weight in (layer.log_dt, layer.log_a_real, layer.a_imag, layer.c)
    )
    dt = np.exp(dt)[:, None]
    a = np.tile(-np.exp(real) + 1j * imag, (len(dt) // len(real), 1))
    c = c[..., 0] + 1j * c[..., 1]
    if layer.discretisation == "zoh":
        z, b = np.exp(dt * a), (np.exp(dt * a) - 1) / a
    else:
        z = (1 + dt * a / 2) / (1 - dt * a / 2)
        b = dt / (1 - dt * a / 2)
    taps = z[..., None] ** np.arange(length)
    return 2 * np.einsum("kdm,dml->kdl", c * b, taps).real


@pytest.mark.parametrize("discretisation", ["zoh", "bilinear"])
@pytest.mark.parametrize("init", ["lin", "legs", "inv"])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_its_plain_form(init, discretisation, causal):
    rng = np.random.default_rng(3)
    options = {"init": init, "discretisation": discretisation}
    if init == "legs":
        options["num_systems"] = 1
    layer = attention.get("s4d")(
        1, state_size=6, causal=causal, output=None, **options
    )
    layer.build((None, None, 5))
    x = rng.normal(size=(2, 131, 5)).astype("float32")
    kernel = _plain_kernel(layer, 131)
    expected = convolved(x, kernel, layer)
    mixer_numbers.close(layer(x), expected, atol=1e-5)
    short = convolved(x[:, :1], kernel, layer)
    mixer_numbers.close(layer(x[:, :1]), short, atol=1e-5)


def test_phases_at_16384_steps():
    # No decay: what a phase misses does not die away. Angles are as of
    # dt = 0.1 and a state of 64, up to 1.6e5 rad.
    length = 16384
    angle = (0.1 * np.pi * np.arange(32, dtype="float32"))[None]
    rate = np.full_like(angle, 1e-6)
    z = np.exp(-np.float64(rate) + 1j * np.float64(angle))
    steps = np.array([1, 2, 1023, length // 2, length - 1])
    found = _vandermonde.powers(
        ops.convert_to_tensor(rate), ops.convert_to_tensor(angle), steps
    )
    found = [np.float64(ops.convert_to_numpy(part)) for part in found]
    expected = z[..., None] ** steps
    np.testing.assert_allclose(found[0], expected.real, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found[1], expected.imag, rtol=0, atol=2e-5)


def test_the_kernel_of_16384_taps():
    layer = attention.get("s4d")(1)
    layer.build((None, None, 5))
    # The last two hardly decay: dt a may not be rounded, either.
    a = ops.convert_to_numpy(layer.log_a_real).copy()
    a[-2:] = -7.0
    layer.log_a_real.assign(a)
    layer.log_dt.assign(np.log([1e-3, 5e-3, 1e-1, 3e-3, 9e-2]))
    found = ops.convert_to_numpy(layer.system(16384).kernel(16384))
    expected = _plain_kernel(layer, 16384)
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-5)
