import harness
import keras
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from keras import ops
from state_space_numbers import MODES

from pixmodels import attention

WEIGHTS = {"u_dense": "u", "v_dense": "v", "gate_dense": "gate"}


def _golden(shared, **options):
    arrays = mixer_numbers.golden(shared, "gss")
    layer = attention.get("gss")(
        1, state_size=16, ssm_dim=12, causal=True, **options
    )
    layer.build((None, *arrays["in/x"].shape[1:]))
    for mine, theirs in WEIGHTS.items():
        getattr(layer, mine).kernel.assign(arrays[f"w/{theirs}_kernel"])
    pixel_weights.load_dense(layer.output_dense, arrays, "w/out")
    layer.norm.gamma.assign(arrays["w/ln_dss_gain"])
    layer.norm.beta.assign(arrays["w/ln_dss_bias"])
    layer.ssm.log_a_real.assign(arrays["w/Lambda_real"])
    layer.ssm.log_a_imag.assign(arrays["w/Lambda_imag"])
    c = np.stack([arrays["w/C_real"], arrays["w/C_imag"]], axis=-1)
    layer.ssm.c.assign(c[None])
    layer.ssm.skip.assign(arrays["w/param_D"])
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    norm.build(arrays["in/x"].shape)
    norm.set_weights([arrays["w/ln_gain"], arrays["w/ln_bias"]])
    return layer, norm, arrays


@pytest.mark.parametrize("mode", MODES)
def test_golden_numbers(shared, mode):
    layer, norm, arrays = _golden(shared, mode=mode, chunk=19)

    def block(x):
        x = ops.convert_to_tensor(x)
        return x + layer(norm(x))

    if mode == "recurrent":
        block = harness.compiled(block, False) or block
    # The reference is float32 and 1.1e-5 away from float64; up to 33.
    mixer_numbers.close(block(arrays["in/x"]), arrays["out/y"], atol=5e-5)


def test_steps_are_the_golden_numbers(shared):
    layer, norm, arrays = _golden(shared)
    x = arrays["in/x"]
    h = norm(x)
    cache = layer.initial_cache(2, 3)
    for index in range(11):
        y, cache = layer.step(h[:, index], cache, index)
        expected = arrays["out/y"][:, index] - x[:, index]
        mixer_numbers.close(y, expected, atol=5e-5)


def test_padding_has_no_offset():
    # The norm of v gives padding numbers, which must not be mixed.
    layer = mixer_numbers.made("gss", 1, state_size=5, chunk=3)
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mask = np.arange(13)[None] < np.array([[13], [5]])
    y = ops.convert_to_numpy(layer(x, mask=mask))
    mixer_numbers.close(y[1:, :5], ops.convert_to_numpy(layer(x[1:, :5])))


def test_widths_and_refusals():
    cls = attention.get("gss")
    layer = cls(1)
    layer.build((None, None, 44))
    assert tuple(layer.gate_dense.kernel.shape) == (11, 176)
    assert tuple(layer.ssm.c.shape) == (2, 11, 512, 2)
    with pytest.raises(ValueError, match="head_dim=5"):
        cls(1, head_dim=5)
    with pytest.raises(ValueError, match="expansion=0"):
        cls(1, expansion=0)
    with pytest.raises(ValueError, match="mode='scan'"):
        cls(1, mode="scan")
