import harness
import mixer_numbers
import numpy as np
import pytest
from keras import ops

from pixmodels import attention
from pixmodels.sequence import _moving_average

WEIGHTS = ("delta", "alpha", "beta", "gamma", "omega")


def golden(shared, **options):
    """The layer of the fixture, and its arrays."""
    arrays = mixer_numbers.golden(shared, "mega_ema")
    layer = attention.get("ema")(1, state_dim=4, **options)
    layer.build((None, *arrays["in/x"].shape[1:]))
    for name in WEIGHTS:
        getattr(layer, name).assign(arrays[f"w/{name}"])
    return layer, arrays


def plain(layer, x, mask=None):
    """The sums as they are written, in float64."""
    delta, alpha, beta, gamma, omega = (
        np.float64(ops.convert_to_numpy(getattr(layer, name)))
        for name in WEIGHTS
    )
    p, a = 1 / (1 + np.exp(-delta)), 1 / (1 + np.exp(-alpha))
    share = gamma * p * beta / np.sqrt(layer.state_dim)
    x = np.float64(x)
    width, length = x.shape[2], x.shape[1]
    real = x if mask is None else x * mask[..., None]
    longest = layer.truncation or length
    mixed = omega * real
    for t in range(length):
        for s in range(length):
            lag = abs(t - s)
            if lag >= longest:
                continue
            table = (share * (1 - a * p) ** lag).sum(-1)
            if s <= t:
                mixed[:, t] += table[:width] * real[:, s]
            if s >= t and not layer.causal:
                mixed[:, t] += table[width:] * real[:, s]
    return mixed / (1 + np.exp(-mixed))


def steps(layer, x, length=None):
    cache = layer.initial_cache(len(x), length or x.shape[1])
    found = []
    for i in range(x.shape[1]):
        y, cache = layer.step(x[:, i], cache, i)
        found.append(y)
    return ops.stack(found, axis=1)


@pytest.mark.parametrize("form", ["chunks", "transform"])
def test_golden_numbers(shared, form):
    layer, arrays = golden(shared, form=form, block=11)
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"], atol=2e-6)
    mixer_numbers.close(layer.kernels(64), arrays["out/kernel"], atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 29])
def test_all_forms_are_the_sums(length, causal):
    x = np.random.default_rng(3).normal(size=(2, length, 5)).astype("float32")
    for options in ({"block": 3}, {"form": "transform"}, {"truncation": 5}):
        layer = mixer_numbers.made(
            "ema", 1, 5, state_dim=3, scale=0.7, causal=causal, **options
        )
        expected = plain(layer, x)
        mixer_numbers.close(layer(x), expected, atol=3e-6)
        if causal:
            mixer_numbers.close(steps(layer, x), expected, atol=3e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_chunks_over_several_levels_agree_with_the_transform(causal):
    x = np.random.default_rng(3).normal(size=(2, 613, 3)).astype("float32")
    options = {"state_dim": 5, "causal": causal, "scale": 0.9}
    by_chunks = mixer_numbers.made("ema", 1, 3, block=2, **options)
    transform = mixer_numbers.made("ema", 1, 3, form="transform", **options)
    expected = ops.convert_to_numpy(transform(x))
    assert np.abs(expected).max() > 1
    mixer_numbers.close(by_chunks(x), expected, atol=1e-4)


def test_steps_are_the_same_in_any_number_of_tokens():
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3, causal=True)
    cache = layer.initial_cache(2, 7)
    assert cache["state"].shape == (2, 5, 3)
    assert layer.initial_cache(2, 70)["state"].shape == (2, 5, 3)


@pytest.mark.parametrize("prefix", [0, 2])
def test_a_subset_leaves_zeros(prefix):
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3, block=4)
    positions = np.array([[0, 3, 4, 11], [2, 5, 13, 14]], "int32")
    x = rng.normal(size=(2, prefix + 4, 5)).astype("float32")
    mask = np.ones((2, prefix + 4), bool)
    mask[1, -1] = False
    whole = np.zeros((2, prefix + 15, 5))
    whole[:, :prefix] = x[:, :prefix]
    for row in range(2):
        whole[row, prefix + positions[row]] = x[row, prefix:]
    whole[1, prefix + 14] = 0
    expected = plain(layer, whole)
    y = layer(x, mask=mask, positions=positions, prefix=prefix, grid=(3, 5))
    y = ops.convert_to_numpy(y)
    mixer_numbers.close(y[:, :prefix], expected[:, :prefix])
    for row in range(2):
        found = expected[row, prefix + positions[row]]
        mixer_numbers.close(y[row, prefix:], found)


@pytest.mark.parametrize("form", ["chunks", "transform"])
def test_padding_counts_nothing_whatever_it_holds(form):
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3, form=form, block=4)
    x = rng.normal(size=(3, 13, 5)).astype("float32")
    mask = np.arange(13) < np.array([[13], [7], [0]])
    expected = plain(layer, x, mask)
    x[~mask] = np.nan
    mixer_numbers.close(layer(x, mask=mask), expected)


@pytest.mark.parametrize("form", ["chunks", "transform"])
def test_the_future_changes_nothing(form):
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made(
        "ema", 1, 5, state_dim=3, causal=True, form=form, block=4
    )
    x = rng.normal(size=(2, 19, 5)).astype("float32")
    before = ops.convert_to_numpy(layer(x))
    for t in (0, 3, 4, 17):
        changed = x.copy()
        changed[:, t:] += 1
        after = ops.convert_to_numpy(layer(changed))
        mixer_numbers.close(after[:, :t], before[:, :t])
        assert np.abs(after[:, t:] - before[:, t:]).max() > 1e-2


def test_gradients():
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3, block=4)
    x = np.random.default_rng(3).normal(size=(2, 13, 5)).astype("float32")
    mixer_numbers.check_gradient(layer, lambda x: plain(layer, x), x)
    mixer_numbers.check_weight_gradients(layer, x)


def test_decays_keep_their_digits_at_both_ends():
    """Against float64, in the form that is good at the end in question."""
    values = [-90.0, -30.0, -11.0, -2.0, 0.0, 3.0, 17.0, 60.0, 90.0]
    a, b = np.meshgrid(values, values)
    found = ops.convert_to_numpy(
        _moving_average.log_decay(
            ops.convert_to_tensor(a, "float32"),
            ops.convert_to_tensor(b, "float32"),
        )
    )
    # log q = log(e^-a + e^-b + e^-(a + b)) - log(1 + e^-a) - log(1 + e^-b);
    # exact to first order where sigmoid(a) sigmoid(b) is tiny.
    damped = np.exp(-np.logaddexp(0, -a) - np.logaddexp(0, -b))
    top = np.logaddexp(np.logaddexp(-a, -b), -a - b)
    q = top - np.logaddexp(0, -a) - np.logaddexp(0, -b)
    expected = np.where(damped < 1e-3, np.log1p(-np.minimum(damped, 0.5)), q)
    expected = np.maximum(expected, np.log(1e-30))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-37)
    assert (found <= 0).all()


def test_all_damped_away_is_finite_and_has_gradients():
    layer = mixer_numbers.made("ema", 1, 3, state_dim=2, block=3, causal=True)
    layer.alpha.assign(np.full((3, 2), 200.0))
    layer.delta.assign(np.full((3, 2), 200.0))
    x = np.random.default_rng(3).normal(size=(1, 7, 3)).astype("float32")
    share = np.float64(layer.gamma) * np.float64(layer.beta) / np.sqrt(2)
    mixed = x * (share.sum(-1) + np.float64(layer.omega))
    mixer_numbers.close(layer(x), mixed / (1 + np.exp(-mixed)))
    _, found = harness.loss_and_gradients(
        lambda: ops.sum(layer(x)), layer.trainable_weights
    )
    assert all(np.isfinite(gradient).all() for gradient in found)


def test_nan_stays_in_its_example():
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3, block=4)
    x = np.random.default_rng(3).normal(size=(3, 13, 5)).astype("float32")
    expected = plain(layer, x)
    x[1, 6] = np.nan
    y = ops.convert_to_numpy(layer(x))
    assert np.isnan(y[1, 6]).all()
    mixer_numbers.close(y[[0, 2]], expected[[0, 2]])


def test_no_tokens():
    layer = mixer_numbers.made("ema", 1, 5, state_dim=3)
    assert layer(np.ones((2, 0, 5), "float32")).shape == (2, 0, 5)


def test_what_cannot_be_is_refused():
    cls = attention.get("ema")
    with pytest.raises(ValueError, match="form='loop'"):
        cls(1, form="loop")
    with pytest.raises(ValueError, match="truncation=7"):
        cls(1, form="chunks", truncation=7)
    with pytest.raises(ValueError, match="state_dim >= 1"):
        cls(1, state_dim=0)
    with pytest.raises(ValueError, match="head_dim=5"):
        cls(3, head_dim=5)
    x = np.ones((2, 2, 5), "float32")
    with pytest.raises(ValueError, match="grid=None"):
        cls(3)(x, positions=np.array([[0, 3], [1, 2]]))
    layer = mixer_numbers.made("ema", 1, 5, causal=True)
    with pytest.raises(ValueError, match="batch size 2"):
        layer.step(x[:, 0], layer.initial_cache(3, 7), 0)
    layer = mixer_numbers.made("ema", 1, 5)
    with pytest.raises(ValueError, match="causal=False"):
        layer.step(x[:, 0], {"state": np.zeros((2, 5, 16))}, 0)
