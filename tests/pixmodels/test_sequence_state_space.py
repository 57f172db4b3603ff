"""What all state-space mixers share: modes, causality, learning, bad input."""

import keras
import mixer_numbers
import numpy as np
import pytest
from keras import ops

from pixmodels import attention
from pixmodels import learning
from pixmodels import sequence
from pixmodels.sequence import _convolve
from pixmodels.training import TrainConfig
from pixmodels.training import groups

NAMES = ("dss", "gss", "s4", "s4d", "s5")


def _x(shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _made(name, width=11, **options):
    keras.utils.set_random_seed(5)
    cls = attention.get(name)
    layer = cls(1, **{**cls.small_options, **options})
    layer.build((None, None, width))
    return layer


def _in_mode(layer, mode, chunk):
    for part in (layer, getattr(layer, "ssm", layer)):
        part.mode, part.chunk = mode, chunk
    return layer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("causal", [False, True])
def test_modes_agree_over_many_blocks(name, causal):
    layer = _made(name, state_size=16, causal=causal)
    x = _x((2, 331, 11))
    whole = ops.convert_to_numpy(_in_mode(layer, "fft", 1)(x))
    y = _in_mode(layer, "chunked", 31)(x)  # 11 blocks: groups of groups
    mixer_numbers.close(y, whole, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_causality_in_each_mode(name):
    layer = _made(name, causal=True)
    x = _x((1, 31, 11))
    changed = x.copy()
    changed[:, 17] += 1
    for mode, rounding in (("chunked", 0), ("auto", 0), ("fft", 1e-6)):
        _in_mode(layer, mode, 7)
        a, b = (ops.convert_to_numpy(layer(t)) for t in (x, changed))
        atol = rounding * np.abs(b).max()
        np.testing.assert_allclose(a[:, :17], b[:, :17], rtol=0, atol=atol)
        assert np.abs(a[:, 17:] - b[:, 17:]).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_example_and_its_future(name):
    layer = _made(name, causal=True, chunk=4)
    x = _x((2, 23, 11))
    clean = ops.convert_to_numpy(layer(x))
    x[0, 13] = np.nan
    y = ops.convert_to_numpy(layer(x))
    # Blocks of 4: the one from 12 on has it.
    np.testing.assert_array_equal(y[1], clean[1])
    np.testing.assert_array_equal(y[0, :12], clean[0, :12])
    assert np.isnan(y[0, 13:]).any(axis=-1).all()
    mask = np.ones((2, 23), bool)
    mask[0, 13:] = False
    y = ops.convert_to_numpy(layer(x, mask=mask))
    np.testing.assert_array_equal(y[0, :13], clean[0, :13])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("causal", [False, True])
def test_short_and_empty_sequences(name, causal):
    layer = _made(name, causal=causal)
    assert layer(_x((2, 0, 11))).shape == (2, 0, 11)
    one, two = _x((3, 1, 11)), _x((3, 2, 11))
    assert np.isfinite(ops.convert_to_numpy(layer(one))).all()
    assert layer(two[:0]).shape == (0, 2, 11)
    nothing = np.zeros((3, 2), bool)
    a = ops.convert_to_numpy(layer(two, mask=nothing))
    b = ops.convert_to_numpy(layer(0 * two, mask=nothing))
    assert np.isfinite(a).all()
    if name != "gss":  # whose gate sees the token itself
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_steps_refuse_what_does_not_fit(name):
    layer = _made(name, causal=True)
    cache = layer.initial_cache(3, 11)
    with pytest.raises(ValueError, match="cache of batch size 2"):
        layer.step(_x((2, 11)), cache, 0)
    with pytest.raises(ValueError, match="Expected 0 <= index"):
        layer.step(_x((3, 11)), cache, -1)
    with pytest.raises(ValueError, match="Expected a causal mixer"):
        _made(name).initial_cache(3, 11)


@pytest.mark.parametrize("name", NAMES)
def test_a_subset_leaves_zeros(name):
    layer = _made(name, output=None) if name != "gss" else _made(name).ssm
    positions = np.array([[0, 3, 4, 11], [2, 5, 13, 14]], "int32")
    x = _x((2, 6, layer.width))
    whole = np.zeros((2, 17, layer.width), "float32")
    whole[:, :2] = x[:, :2]
    for row in range(2):
        whole[row, 2 + positions[row]] = x[row, 2:]
    expected = ops.convert_to_numpy(layer(whole))
    y = layer(x, positions=positions, prefix=2, grid=(3, 11))
    y = ops.convert_to_numpy(y)
    mixer_numbers.close(y[:, :2], expected[:, :2])
    for row in range(2):
        found = expected[row, 2 + positions[row]]
        mixer_numbers.close(y[row, 2:], found)
    with pytest.raises(ValueError, match="grid=None"):
        layer(x, positions=positions, prefix=2)


@pytest.mark.parametrize("name", NAMES)
def test_systems_learn_slowly_and_are_not_decayed(name):
    layer = _made(name)
    model = keras.Sequential([keras.Input((7, 11)), layer])
    config = TrainConfig(
        steps=1, batch_size=1, learning_rate=0.01, weight_decay=0.05
    )
    found = {
        variable.path.split("/")[-1]: pair
        for variable, *pair in zip(
            model.trainable_variables, *groups.plan(model, config)
        )
        if "dense" not in variable.path and "norm" not in variable.path
    }
    slow = {"log_dt", "log_a_real", "log_a_imag", "a_real", "a_imag", "p", "b"}
    asked = {n for n in found if n in slow}
    assert len(asked) >= 2
    assert "log_dt" in asked or name == "gss"
    for key, (multiplier, decayed) in found.items():
        if key in slow:
            assert multiplier == pytest.approx(0.1)
            assert not decayed
        elif key in ("c", "skip"):
            assert multiplier == 1
            assert decayed == (key == "c")


def test_time_steps_at_the_global_rate():
    layer = _made("s4d", dt_learning_rate=None, ssm_learning_rate=1e-4)
    asked = learning.request_of(layer.log_dt)
    assert asked.max_learning_rate is None
    assert asked.weight_decay is False
    assert learning.request_of(layer.a_imag).max_learning_rate == 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_systems_are_float32_under_mixed_precision(name):
    options = {} if name == "gss" else {"output": None}
    exact = _made(name, **options)
    mixed = _made(name, dtype="mixed_bfloat16", **options)
    systems = getattr(mixed, "ssm", mixed)
    x = _x((2, 29, systems.width))
    found = systems.mixed(ops.cast(x, "bfloat16"))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    x = ops.cast(ops.cast(x, "bfloat16"), "float32")
    mixer_numbers.close(found, getattr(exact, "ssm", exact).mixed(x))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 8, 11, 31, 1025, 4097])
def test_fast_sizes(length):
    size = _convolve.fast_size(length)
    assert length <= size <= 1.25 * length + 1
    while size % 2 == 0:
        size //= 2
    assert size in (1, 3, 5)


@pytest.mark.parametrize("ways", [1, 2])
def test_convolution_of_the_backend_is_that_of_keras(ways):
    kernel, x, skip = _x((ways, 3, 13)), _x((2, 11, 3), 5), _x((3,), 7)
    found = _convolve.convolve(*map(ops.convert_to_tensor, (x, kernel, skip)))
    wrapped = _convolve.around(ops.convert_to_tensor(kernel[..., :11]), 24)
    turned = ops.convert_to_tensor(np.swapaxes(x, 1, 2))
    expected = _convolve.circular(turned, wrapped, 24)
    expected = np.swapaxes(ops.convert_to_numpy(expected)[..., :11], 1, 2)
    mixer_numbers.close(found, expected + skip * x)


def test_the_mode_goes_by_length():
    layer = attention.get("s4d")(1, chunk=64)
    modes = [layer.mode_of(n) for n in (1, 128, 129, 16384, 16385, 65536)]
    assert modes == ["chunked"] * 2 + ["fft"] * 4
    causal = attention.get("s4d")(1, causal=True)
    assert {causal.mode_of(n) for n in (1, 999, 65536)} == {"chunked"}
    assert attention.get("s5")(1).mode_of(999) == "chunked"
    assert attention.get("s4")(1, mode="fft").mode_of(7) == "fft"


def test_dropout_is_tied_over_the_tokens():
    layer = _made("s4d", dropout_rate=0.5, tie_dropout=True)
    output = layer.output_dense
    output.dense.kernel.assign(np.eye(11, 22))
    output.dense.bias.assign(np.arange(22) // 11 * 100.0)
    y = ops.convert_to_numpy(output(10 + _x((3, 7, 11)), training=True))
    kept = y != 0
    assert (kept == kept[:, :1]).all()
    assert 0 < kept[:, 0].sum() < 33


def test_what_cannot_be_is_refused():
    cls = attention.get("s4d")
    for options, found in (
        ({"mode": "scan"}, "mode='scan'"),
        ({"output": "mlp"}, "output='mlp'"),
        ({"state_size": 7}, "state_size=7"),
        ({"state_size": 0}, "state_size=0"),
        ({"chunk": 0}, "chunk=0"),
        ({"dt_min": 0.0}, "dt_min=0.0"),
        ({"dt_min": 0.2}, "dt_min=0.2"),
        ({"head_dim": 4}, "head_dim=4"),
        ({"init": "random"}, "init='random'"),
        ({"discretisation": "euler"}, "discretisation='euler'"),
    ):
        with pytest.raises(ValueError, match=found):
            cls(1, **options)
    for name in ("s4", "s4d"):
        layer = attention.get(name)(1, num_systems=3)
        with pytest.raises(ValueError, match="num_systems=3, width=11"):
            layer.build((None, None, 11))


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_block(norm, norm_first):
    block = sequence.StateSpaceBlock(
        "s4d",
        options={"state_size": 4, "causal": True},
        norm=norm,
        norm_first=norm_first,
        dropout_rate=0.1,
    )
    x = _x((2, 7, 11))
    y = block(x)
    normed = block.norm(x) if norm_first else x
    expected = x + ops.convert_to_numpy(block.mixer(normed))
    expected = expected if norm_first else block.norm(expected)
    mixer_numbers.close(y, ops.convert_to_numpy(expected), atol=1e-6)
    again = sequence.StateSpaceBlock.from_config(block.get_config())
    assert again.get_config() == block.get_config()
    cache = block.initial_cache(2, 7)
    for index in range(7):
        row, cache = block.step(x[:, index], cache, index)
        mixer_numbers.close(row, ops.convert_to_numpy(y)[:, index])
    with pytest.raises(ValueError, match="norm='group'"):
        sequence.StateSpaceBlock("s4d", norm="group")


def test_weights_of_a_published_block():
    found = sequence.settings.get("s4_text")
    block = sequence.StateSpaceBlock(**found["block"])
    block.build((None, 7, 256))
    # One system of two pairs for all features: L, P, B; two ways of C.
    expected = 256 + 2 * 2 + 2 * 4 + 2 * 256 * 2 * 2 + 256
    expected += 257 * 512 + 2 * 256
    assert sum(np.prod(w.shape) for w in block.trainable_weights) == expected
    assert found["training"]["learning_rate"] == 0.01
    assert learning.request_of(block.mixer.log_dt).max_learning_rate is None
