"""The learning rate as a function of the step, and nothing else.

One Keras schedule: linear warm-up, then cosine, linear, rsqrt or no decay.
"""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pixmodels")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then decay to a final rate.

    Update number `step` (from 0) uses `peak * (step + 1) / warmup_steps`
    while `step < warmup_steps`; after that the decay has progressed by
    `(step - warmup_steps) / (steps - warmup_steps)`, in [0, 1]. `"rsqrt"`
    is `peak * sqrt(warmup_steps / (step + 1))` (Raffel et al. 2020, T5,
    section 3.1.2), whatever `steps` is, and not below `final`.
    The first update already moves the weights (Hugging Face's schedules,
    which PIXEL used, start from 0 and lag by one step).

    Args:
        peak: learning rate at the end of the warm-up.
        steps: updates in the whole run.
        warmup_steps: updates of the warm-up.
        decay: `"cosine"`, `"linear"`, `"rsqrt"` or `"constant"`.
        final: learning rate that cosine and linear decay arrive at, and
            below which rsqrt does not fall.

    Raises:
        ValueError: if `decay` is none of these.
    """

    def __init__(
        self, peak, steps, *, warmup_steps=0, decay="cosine", final=0.0
    ):
        super().__init__()
        if decay not in ("cosine", "linear", "rsqrt", "constant"):
            raise ValueError(
                "Expected decay to be 'cosine', 'linear', 'rsqrt' or "
                f"'constant'. Received: decay={decay!r}"
            )
        self.peak = peak
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.decay = decay
        self.final = final

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warm = self.peak * (step + 1.0) / max(self.warmup_steps, 1)
        if self.decay == "rsqrt":
            fallen = ops.rsqrt((step + 1.0) / max(self.warmup_steps, 1))
            fallen = ops.maximum(self.peak * fallen, self.final)
            return ops.where(step < self.warmup_steps, warm, fallen)
        span = max(self.steps - self.warmup_steps, 1)
        progress = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
        if self.decay == "cosine":
            left = 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif self.decay == "linear":
            left = 1.0 - progress
        else:
            left = ops.ones_like(progress)
        decayed = self.final + (self.peak - self.final) * left
        return ops.where(step < self.warmup_steps, warm, decayed)

    def get_config(self):
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
            "final": self.final,
        }


def schedule_of(config):
    """The schedule that a `TrainConfig` describes."""
    return WarmupDecay(
        config.learning_rate,
        config.steps,
        warmup_steps=config.warmup_steps,
        decay=config.schedule,
        final=config.final_learning_rate,
    )
