import math

import numpy as np
import pytest

from pixmodels.training.schedules import WarmupDecay


def by_hand(step, peak, steps, warmup, decay, final):
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay == "rsqrt":
        return max(final, peak * math.sqrt(max(warmup, 1) / (step + 1)))
    progress = min((step - warmup) / (steps - warmup), 1)
    left = {
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "linear": 1 - progress,
        "constant": 1,
    }[decay]
    return final + (peak - final) * left


@pytest.mark.parametrize("decay", ["cosine", "linear", "rsqrt", "constant"])
@pytest.mark.parametrize("warmup", [0, 5])
def test_by_hand(decay, warmup):
    settings = {"warmup_steps": warmup, "decay": decay, "final": 0.01}
    schedule = WarmupDecay(0.3, 17, **settings)
    again = WarmupDecay.from_config(schedule.get_config())
    for step in (0, 1, 4, 5, 6, 11, 16, 17, 23):
        expected = by_hand(step, 0.3, 17, warmup, decay, 0.01)
        np.testing.assert_allclose(float(schedule(step)), expected, rtol=2e-6)
        assert float(again(step)) == float(schedule(step))


def test_unknown_decay():
    with pytest.raises(ValueError, match="decay='root'"):
        WarmupDecay(0.1, 7, decay="root")
