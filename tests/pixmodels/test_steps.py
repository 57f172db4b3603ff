"""Token by token: caches in loops and stacks, orders of examples, refusals."""

import harness
import keras
import mixer_numbers
import numpy as np
import pytest
from keras import ops

from pixmodels import attention
from pixmodels.attention import _rotary
from pixmodels.layers import TransformerStack
from pixmodels.positions import rotary_2d


def _stack(name, num_layers=2, **options):
    options = {**attention.get(name).small_options, **options}
    keras.utils.set_random_seed(3)
    stack = TransformerStack(
        num_layers,
        3,
        13,
        attention=name,
        attention_options={"causal": True, **options},
        layer_scale=0.5,
    )
    stack.build((None, 11, 12))
    return stack


def _x(seed=5, batch=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, 11, 12)).astype("float32")


def _loop(stack, x):
    """All steps in a loop of the backend: (N, B, D)."""
    length = x.shape[1]
    cache = stack.initial_cache(x.shape[0], length)
    found = ops.zeros((length, x.shape[0], x.shape[2]))

    def body(i, cache, found):
        y, cache = stack.step(ops.take(x, i, axis=1), cache, i)
        zero = ops.zeros_like(i)
        start = ops.stack([i, zero, zero])
        return i + 1, cache, ops.slice_update(found, start, y[None])

    start = (ops.convert_to_tensor(0, "int32"), cache, found)
    return ops.while_loop(lambda i, *_: i < length, body, start)[2]


def test_stack_carries_the_state_of_its_first_mixer():
    stack, x = _stack("luna"), _x()
    whole = harness.arrays_of(stack(x))
    cache = stack.initial_cache(3, 11)
    for i in range(3):
        row, cache = stack.step(x[:, i], cache, i)
    np.testing.assert_allclose(
        harness.arrays_of(row), whole[:, 2], rtol=0, atol=2e-5
    )


def test_stack_in_a_loop_under_xla():
    stack = _stack("sliding_window", 1, rotary=5.0)
    x = ops.convert_to_tensor(_x())
    whole = harness.arrays_of(stack(x))
    run = harness.compiled(lambda x: _loop(stack, x), True) or (
        lambda x: _loop(stack, x)
    )
    found = np.swapaxes(harness.arrays_of(run(x)), 0, 1)
    np.testing.assert_allclose(found, whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sliding_window", {"exact": False}),
        ("sliding_window", {"window": 17}),
        ("longformer", {"num_global": 4, "window": 2}),
        ("longformer", {"num_global": 0}),
        ("longformer", {"num_global": 13}),
        ("local", {"window": 17}),
    ],
)
def test_options(name, options):
    harness.check_steps(harness.mixer_case(name, causal=True, **options))


def test_examples_can_change_places():
    stack, x = _stack("longformer"), _x()
    whole = harness.arrays_of(stack(x))
    cache = stack.initial_cache(3, 11)
    order = np.array([2, 0, 1])
    for i in range(7):
        _, cache = stack.step(x[:, i], cache, i)
    cache = keras.tree.map_structure(
        lambda part: ops.take(part, order, axis=0), cache
    )
    row, _ = stack.step(x[order, 7], cache, 7)
    np.testing.assert_allclose(
        harness.arrays_of(row), whole[order, 7], rtol=0, atol=2e-5
    )


def test_caches_of_windows_do_not_grow():
    for name, most in (("sliding_window", 4), ("local", 3)):
        layer = mixer_numbers.made(name, window=3, causal=True)
        cache = layer.initial_cache(2, 10**6)
        assert cache["key"].shape[2] == most
        assert layer.initial_cache(2, 2)["key"].shape[2] == 2


def test_angles_far_away_are_those_of_float64():
    for place in (3, 255, 256, 70_001, 3_000_001):
        index = ops.convert_to_tensor(place, "int32")
        cos, sin = (
            ops.convert_to_numpy(a) for a in _rotary.angles(8, 7, index)
        )
        angles = place * 7.0 ** (-np.arange(2) / 2)
        np.testing.assert_allclose(cos[:2], np.cos(angles), atol=1e-6)
        np.testing.assert_allclose(sin[:2], np.sin(angles), atol=1e-6)
        if place < 1000:
            table = rotary_2d(8, (1, 1000), 7)[place]
            np.testing.assert_allclose(np.cos(table), cos, atol=5e-5)


def test_lengths_zero_and_one():
    for name in ("softmax", "linear", "sparse"):
        stack = _stack(name, 1)
        cache = stack.initial_cache(3, 1)
        row, _ = stack.step(_x()[:, 0], cache, 0)
        whole = harness.arrays_of(stack(_x()[:, :1]))[:, 0]
        np.testing.assert_allclose(
            harness.arrays_of(row), whole, rtol=0, atol=2e-5
        )
    cache = _stack("softmax").initial_cache(3, 0)
    assert cache["block_0"]["key"].shape == (3, 3, 0, 4)


def test_nan_stays_with_its_example_and_its_future():
    stack, x = _stack("softmax"), _x()
    x[1, 2] = np.nan
    cache = stack.initial_cache(3, 11)
    for i in range(4):
        row, cache = stack.step(x[:, i], cache, i)
        bad = np.isnan(harness.arrays_of(row)).any(axis=1)
        assert bad.tolist() == [False, i >= 2, False]


def test_refusals():
    layer = mixer_numbers.made("softmax", width=12)
    with pytest.raises(ValueError, match="causal=False"):
        layer.initial_cache(2, 3)
    cache = {"key": np.ones((2, 3, 5, 4), "float32")}
    with pytest.raises(ValueError, match="causal=False"):
        layer.step(np.ones((2, 12), "float32"), cache, 0)
    with pytest.raises(ValueError, match="no causal"):
        _stack("bigbird")
    with pytest.raises(ValueError, match="built=False"):
        attention.get("linear")(3, causal=True).initial_cache(2, 3)
    with pytest.raises(ValueError, match="built=False"):
        TransformerStack(1, 3, 13).initial_cache(2, 3)
    for name in ("softmax", "linear", "local", "longformer", "performer"):
        stack = _stack(name, 1)
        cache = stack.initial_cache(2, 3)
        with pytest.raises(ValueError, match="batch size 5"):
            stack.step(np.ones((5, 12), "float32"), cache, 0)
        with pytest.raises(ValueError, match="0 <= index"):
            stack.step(np.ones((2, 12), "float32"), cache, -1)
    for name in ("softmax", "performer"):
        layer = mixer_numbers.made(name, width=12, causal=True)
        cache = layer.initial_cache(2, 3)
        with pytest.raises(ValueError, match="index < 3"):
            layer.step(np.ones((2, 12), "float32"), cache, 3)
        with pytest.raises(ValueError, match="one token"):
            layer.step(np.ones((2, 1, 12), "float32"), cache, 0)
    with pytest.raises(ValueError, match="batch_size=-1"):
        layer.initial_cache(-1, 3)
