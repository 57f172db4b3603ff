import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import _registry

CASES = harness.cases()
TASKS = tuple(_registry.TASKS.names())
CHECKS = [
    harness.check_config,
    harness.check_compiled,
    harness.check_symbolic,
    harness.check_mixed_precision,
    harness.check_padding,
    harness.check_training_step,
]


def is_slow(case, check):
    """Whether others come near enough: all of them together take minutes.

    Of what an autoencoder asks of its mixer besides the mixer's own case (a
    subset of positions, gradients through both) one check is quick; of what
    tasks ask of another backbone none.
    """
    task, _, rest = case.name.partition("-")
    if task not in TASKS:
        return False
    if task == "masked_autoencoder" and rest.startswith("pixel"):
        quick = check is harness.check_training_step
        return not (quick or rest.endswith("-softmax"))
    other = "pixel" if task == "image_classifier" else "vit"
    return rest.startswith(other)


def runs(checks):
    """Parameters (case, check), slow ones marked; one case's in a row."""
    return [
        pytest.param(
            case,
            check,
            id=f"{case.name}-{check.__name__}",
            marks=[pytest.mark.slow] if is_slow(case, check) else [],
        )
        for case in CASES
        for check in checks
    ]


@pytest.mark.parametrize(("case", "check"), runs(CHECKS))
def test_registered(case, check):
    check(case)


@pytest.mark.parametrize(("case", "check"), runs([harness.check_save]))
def test_saved(case, check, tmp_path):
    check(case, tmp_path)


STEPPED = [
    harness.mixer_case(name, causal=True, **options)
    for name in harness.causal_mixers()
    for options in harness.options_of_steps(name)
]


@pytest.mark.parametrize("case", STEPPED, ids=lambda case: case.name)
def test_token_by_token(case):
    harness.check_steps(case)


class _Leaky(keras.layers.Layer):
    """Breaks the contract on purpose: ignores the mask, drops a weight."""

    def build(self, shape):
        self.used = self.add_weight(shape=(shape[-1],), name="used")
        self.idle = self.add_weight(shape=(1,), name="idle")

    def call(self, x, mask=None, prefix=0, training=None):
        return x * self.used + ops.mean(x, axis=1, keepdims=True)


def _leaky_case():
    case = harness.cases()[0]
    keywords = {**vars(case), "name": "leaky"}

    def make(dtype="float32"):
        layer = _Leaky(dtype=dtype)
        layer.build((None, harness.LENGTH, harness.WIDTH))
        return layer

    return harness.Case(**{**keywords, "make": make})


@pytest.mark.filterwarnings("ignore:Layer '.*passed an input with a mask")
def test_harness_catches_a_leak():
    with pytest.raises(AssertionError):
        harness.check_padding(_leaky_case())


@pytest.mark.filterwarnings("ignore:Layer '.*passed an input with a mask")
def test_harness_catches_a_weight_without_gradient():
    with pytest.raises((AssertionError, TypeError)):
        harness.check_training_step(_leaky_case())


def test_cases_cover_the_registries():
    names = " ".join(case.name for case in CASES)
    for registry in (
        _registry.MIXERS,
        _registry.BACKBONES,
        _registry.TASKS,
    ):
        for name in registry.names():
            assert name in names
    assert len({case.name for case in CASES}) == len(CASES)
    assert np.all([harness.LENGTH % n for n in range(2, harness.LENGTH)])
