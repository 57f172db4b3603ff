"""Updates against formulas of the papers, in numpy and float64."""

import keras
import numpy as np
import pytest
import toys
from keras import ops

from pixmodels import learning
from pixmodels.training import groups
from pixmodels.training.updates import Updates

KEYS = {"a": (5, 3), "b": (3,), "c": (3, 7)}
STEPS = 5


class Weights(keras.Model):
    """Three weights; the test makes their gradients."""

    def __init__(self, asks=None):
        super().__init__()
        rng = np.random.default_rng(3)
        self.parts = {}
        for name, shape in KEYS.items():
            variable = self.add_weight(shape=shape, name=name)
            variable.assign(rng.normal(size=shape))
            if asks and name in asks:
                learning.request(variable, **asks[name])
            self.parts[name] = variable
        self.built = True


def gradients_of(step):
    rng = np.random.default_rng(step)
    return {k: rng.normal(size=shape) for k, shape in KEYS.items()}


def run(config, steps=STEPS, model=None, spoil=None):
    """(model, updates, sums of each step) after updates by a count of 13."""
    model = model or Weights()
    updates = Updates(model, config)
    history = []
    for step in range(steps):
        scale = 1.0
        if updates.loss_scale is not None:
            scale = float(ops.convert_to_numpy(updates.loss_scale))
        gradients = [
            ops.convert_to_tensor((g * 13 * scale).astype("float32"))
            for g in gradients_of(step).values()
        ]
        if spoil == step:
            gradients[1] = gradients[1] * np.inf
        sums = {"loss": ops.convert_to_tensor([2.0, 13.0])}
        sums = updates.apply(sums, gradients)
        history.append({k: ops.convert_to_numpy(v) for k, v in sums.items()})
    return model, updates, history


def values(model):
    return {k: ops.convert_to_numpy(v) for k, v in model.parts.items()}


def by_hand(move, rates, decays, start=None, clip=None):
    """All weights after `STEPS` updates; `move(g, w, slots, t)` gives r."""
    weights = start or values(Weights())
    weights = {k: v.astype("float64") for k, v in weights.items()}
    slots = {k: {} for k in KEYS}
    history = []
    for step in range(STEPS):
        gradients = gradients_of(step)
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for k, g in gradients.items():
            if clip:
                g = g * min(1, clip / norm)
            w = weights[k] * (1 - rates[k] * decays[k])
            weights[k] = w - rates[k] * move(g, w, slots[k], step + 1)
        history.append(weights.copy())
    return weights, history


def adam(g, w, slots, t, b1=0.9, b2=0.98):
    m = slots["m"] = b1 * slots.get("m", 0) + (1 - b1) * g
    v = slots["v"] = b2 * slots.get("v", 0) + (1 - b2) * g**2
    return m / (1 - b1**t) / np.sqrt(v / (1 - b2**t))


def lamb(g, w, slots, t):
    r = adam(g, w, slots, t)
    return r * np.linalg.norm(w) / np.linalg.norm(r)


def lion(g, w, slots, t, b1=0.9, b2=0.98):
    m = slots.get("m", 0)
    slots["m"] = b2 * m + (1 - b2) * g
    return np.sign(b1 * m + (1 - b1) * g)


def sgd(g, w, slots, t, momentum=0.7):
    slots["m"] = momentum * slots.get("m", 0) + g
    return slots["m"]


MOVES = {"adamw": adam, "lamb": lamb, "lion": lion, "sgd": sgd}


def config(**settings):
    base = {
        "schedule": "constant",
        "learning_rate": 0.03,
        "weight_decay": 0.11,
        "beta_2": 0.98,
        "momentum": 0.7,
        "epsilon": 1e-12,
    }
    return toys.config(**(base | settings))


@pytest.mark.parametrize("name", MOVES)
def test_optimizers_by_hand(name):
    model, _, history = run(config(optimizer=name, global_clipnorm=2.0))
    rates = dict.fromkeys(KEYS, 0.03)
    decays = {"a": 0.11, "b": 0.0, "c": 0.11}  # not the vector
    expected, _ = by_hand(MOVES[name], rates, decays, clip=2.0)
    for k, value in values(model).items():
        # Five updates in float32.
        np.testing.assert_allclose(value, expected[k], atol=2e-6)
    norm = np.sqrt(sum((g**2).sum() for g in gradients_of(0).values()))
    np.testing.assert_allclose(history[0]["gradient_norm"], [norm, 1], 1e-6)


def test_groups_and_requests_by_hand():
    asks = {
        "a": {"max_learning_rate": 0.012, "weight_decay": False},
        "b": {"multiplier": 0.3, "weight_decay": True},
        "c": {"max_learning_rate": 5.0},  # above the peak: nothing
    }
    settings = {
        "groups": {"^[ab]$": {"multiplier": 0.5}, "c": {"weight_decay": False}}
    }
    model, _, _ = run(config(**settings), model=Weights(asks))
    # The patterns replace what they name: b's 0.3; a's bound stays.
    rates = {"a": 0.012, "b": 0.015, "c": 0.03}
    decays = {"a": 0.0, "b": 0.11, "c": 0.0}
    expected, _ = by_hand(adam, rates, decays)
    for k, value in values(model).items():
        np.testing.assert_allclose(value, expected[k], atol=2e-6)


def test_a_weight_without_gradient_stays():
    model = Weights()
    before = values(model)
    updates = Updates(model, config(ema=0.5))
    ones = [ops.ones(KEYS["a"]), None, ops.ones(KEYS["c"])]
    updates.apply({"loss": ops.convert_to_tensor([1.0, 1.0])}, ones)
    after = values(model)
    np.testing.assert_array_equal(after["b"], before["b"])
    assert abs(after["a"] - before["a"]).max() > 0.02
    with updates.averaged_weights():
        np.testing.assert_array_equal(values(model)["b"], before["b"])


def test_averages_by_hand():
    model, updates, _ = run(config(ema=0.6))
    _, history = by_hand(
        adam, dict.fromkeys(KEYS, 0.03), {"a": 0.11, "b": 0.0, "c": 0.11}
    )
    now = values(model)
    with updates.averaged_weights():
        averaged = values(model)
    for k in KEYS:
        expected = history[0][k]
        for weights in history[1:]:
            expected = 0.6 * expected + 0.4 * weights[k]
        np.testing.assert_allclose(averaged[k], expected, atol=2e-6)
        np.testing.assert_array_equal(values(model)[k], now[k])
        assert abs(averaged[k] - now[k]).max() > 1e-3
    with pytest.raises(ValueError, match="ema=None"):
        with run(config())[1].averaged_weights():
            pass


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_loss_scale_skips_what_is_not_finite(name):
    settings = {"dtype": "mixed_float16", "optimizer": name, "ema": 0.6}
    settings |= {"batch_size": 7}
    _, straight, history = run(config(**settings), steps=2)
    # 2 ** 15 for a mean; the sum of seven examples is up to eight times it.
    np.testing.assert_array_equal(history[0]["loss_scale"], [2.0**12, 1])
    np.testing.assert_array_equal(history[0]["skipped"], [0, 1])
    _, spoiled, history = run(config(**settings), steps=3, spoil=2)
    np.testing.assert_array_equal(history[2]["skipped"], [1, 1])
    np.testing.assert_array_equal(history[2]["gradient_norm"], [0, 0])
    keyed = spoiled.keyed()
    for key, variable in straight.keyed().items():
        value = ops.convert_to_numpy(keyed[key])
        expected = ops.convert_to_numpy(variable)
        if key == "loss_scale/scale":
            expected = expected / 2
        if key == "loss_scale/good_updates":
            assert expected == 2
            expected = 0
        np.testing.assert_array_equal(value, expected, err_msg=key)
    for ours, other in zip(straight.trainable, spoiled.trainable):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ours), ops.convert_to_numpy(other)
        )


def test_loss_scale_grows_and_cancels():
    settings = config(dtype="mixed_float16", batch_size=7)
    model = Weights()
    updates = Updates(model, settings)
    updates.good_updates.assign(1999)
    ones = [ops.ones(shape) * 4096.0 for shape in KEYS.values()]
    updates.apply({"loss": ops.convert_to_tensor([1.0, 1.0])}, ones)
    assert float(ops.convert_to_numpy(updates.loss_scale)) == 2.0**13
    assert int(ops.convert_to_numpy(updates.good_updates)) == 0
    plain = Weights()
    ones = [ops.ones(shape) for shape in KEYS.values()]
    Updates(plain, config()).apply(
        {"loss": ops.convert_to_tensor([1.0, 1.0])}, ones
    )
    for k, value in values(plain).items():
        np.testing.assert_array_equal(values(model)[k], value)


def test_keys():
    settings = config(dtype="mixed_float16", ema=0.5)
    updates = Updates(Weights(), settings)
    assert list(updates.keyed()) == [
        *(f"optimizer/{i:05d}" for i in range(7)),
        "ema/a",
        "ema/b",
        "ema/c",
        "loss_scale/scale",
        "loss_scale/good_updates",
    ]
    assert len(updates.variables) == 12


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"(": {}}, "regular expressions"),
        ({"a": 3}, r"train.groups\['a'\] to be a dict"),
        ({"a": {"multiplyer": 3}}, "Did you mean 'multiplier'"),
        ({"a": {"multiplier": True}}, "multiplier=True"),
        ({"a": {"multiplier": -1}}, "multiplier=-1"),
        ({"a": {"max_learning_rate": 0}}, "max_learning_rate=0"),
        ({"a": {"weight_decay": 0.1}}, "weight_decay=0.1"),
    ],
)
def test_bad_groups(wishes, words):
    with pytest.raises(ValueError, match=words):
        config(groups=wishes)


def test_a_pattern_must_be_found():
    with pytest.raises(ValueError, match=r"such as 'a', 'b', 'c'.*'d'"):
        groups.plan(Weights(), config(groups={"d": {"multiplier": 2.0}}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": "rsqrt"}, "warmup_steps=0"),
        ({"accumulate_steps": 5}, "accumulate_steps=5"),
        ({"eval_ema": True}, "ema=None"),
        ({"optimizer": "lion", "beta_1": 0.0}, "beta_1=0.0"),
        ({"optimizer": "adam"}, "Did you mean 'adamw'"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        config(**settings)
