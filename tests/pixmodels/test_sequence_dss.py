import mixer_numbers
import numpy as np
import pytest
from keras import ops
from state_space_numbers import MODES
from state_space_numbers import convolved
from state_space_numbers import load
from state_space_numbers import run

from pixmodels import attention

NAMES = {"log_dt": "w/log_dt", "c": "w/W", "skip": "w/D"}


def _golden(shared, version):
    arrays = mixer_numbers.golden(shared, f"dss_{version}")
    if version == "softmax":
        arrays["w/real"], arrays["w/imag"] = arrays["w/Lambda"].T
    else:
        arrays["w/real"] = arrays["w/Lambda_log_neg_re"]
        arrays["w/imag"] = arrays["w/Lambda_im"]
    return arrays


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", ["softmax", "exp"])
def test_golden_numbers(shared, version, mode):
    arrays = _golden(shared, version)
    names = {**NAMES, "a_real": "w/real", "a_imag": "w/imag"}
    options = {"training_length": 128} if mode == "recurrent" else {}
    layer = load(
        "dss",
        arrays,
        names,
        state_size=16,
        version=version,
        causal=version == "softmax",
        mode=mode,
        chunk=19,
        **options,
    )
    kernel = layer.system(128).kernel(128)
    mixer_numbers.close(kernel, arrays["out/kernel"], atol=5e-6)
    mixed, y = run(layer, arrays["in/x"])
    # 128 states one after another round more: 5.1e-5 of 13 (float64: 4e-7).
    atol = 1e-4 if mode == "recurrent" else 5e-5
    mixer_numbers.close(mixed, arrays["out/ssm"], atol=atol)
    mixer_numbers.close(y, arrays["out/y"], atol=atol)


def _plain_kernel(layer, length):
    """As published, in complex128: (K, D, L)."""
    dt, real, imag, c = (
        np.float64(ops.convert_to_numpy(getattr(layer, name)))
        for name in ("log_dt", "a_real", "a_imag", "c")
    )
    total = layer.training_length or length
    a = real + 1j * imag
    step = np.exp(dt[:, :1]) * real + 1j * np.exp(dt[:, -1:]) * imag
    place = np.arange(length)
    taps = step[..., None] * place
    taps -= np.where(real > 0, step, 0)[..., None] * (total - 1)
    step = np.where(real > 0, -step, step)
    x = (np.exp(step * total) - 1) * a
    hold = (np.exp(step) - 1) * x.conj() / (x * x.conj() + 1e-7)
    c = c[..., 0] + 1j * c[..., 1]
    return np.einsum("kdm,dml->kdl", c * hold, np.exp(taps)).real


@pytest.mark.parametrize("separate_dt", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_real_parts_above_zero(causal, separate_dt):
    rng = np.random.default_rng(3)
    layer = attention.get("dss")(
        1, state_size=3, causal=causal, output=None, separate_dt=separate_dt
    )
    layer.build((None, None, 5))
    steps = np.linspace(np.log(0.011), np.log(0.1), 5)[:, None]
    layer.log_dt.assign(np.tile(steps, (1, layer.log_dt.shape[1])))
    layer.a_real.assign([-0.7, 0.6, -0.1])
    layer.a_imag.assign([0.3, 1.1, 7.0])
    x = rng.normal(size=(2, 131, 5)).astype("float32")
    expected = convolved(x, _plain_kernel(layer, 131), layer)
    for mode in ("fft", "chunked"):
        layer.mode, layer.chunk = mode, 19
        mixer_numbers.close(layer(x), expected, atol=5e-5)
    # Far more than a float32 holds as a power: e^260.
    layer.log_dt.assign(np.zeros(layer.log_dt.shape))
    kernel = ops.convert_to_numpy(layer.system(433).kernel(433))
    expected = _plain_kernel(layer, 433)
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5)


def test_training_length():
    cls = attention.get("dss")
    assert not cls(1).length_invariant
    assert cls(1, version="exp").length_invariant
    layer = cls(1, training_length=131, output=None, causal=True, state_size=6)
    assert layer.length_invariant
    layer.build((None, None, 5))
    x = np.random.default_rng(3).normal(size=(2, 131, 5)).astype("float32")
    whole = ops.convert_to_numpy(layer(x))
    mixer_numbers.close(layer(x[:, :71]), whole[:, :71])
    layer.training_length = None
    assert (
        np.abs(ops.convert_to_numpy(layer(x[:, :71])) - whole[:, :71]).max()
        > 1e-3
    )
    cache = layer.initial_cache(2, 131)
    with pytest.raises(ValueError, match="Expected a training_length"):
        layer.step(x[:, 0], cache, 0)
    with pytest.raises(ValueError, match="version='sigmoid'"):
        cls(1, version="sigmoid")
