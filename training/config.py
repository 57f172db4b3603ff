"""The one config type: frozen dataclasses, a table of settings per section.

Values are checked when a config is made. Not here: named configs
(`recipes`), what is built from a config (`experiment`), parsing (`_settings`).
"""

import dataclasses

from pixmodels.training import groups
from pixmodels.training._model_config import KINDS
from pixmodels.training._model_config import ModelConfig
from pixmodels.training._settings import Settings
from pixmodels.training._settings import from_dict
from pixmodels.training._settings import load_json
from pixmodels.training._settings import override
from pixmodels.training._settings import save_json
from pixmodels.training._settings import setting
from pixmodels.training._settings import to_dict

__all__ = [
    "DataConfig",
    "ExperimentConfig",
    "ModelConfig",
    "RendererConfig",
    "TrainConfig",
    "from_dict",
    "load_json",
    "override",
    "save_json",
    "to_dict",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Which data, and the static lengths its batches come in.

    `options` go to the function that reads the data. `buckets` are lengths
    in patches; an example goes to the smallest that holds it, one that is
    longer than all to the largest, where it is cut. Empty: one bucket as
    long as the longest example. `pack`: windows of the one bucket's length
    hold several texts, as many as fit. `workers`: processes that read, draw
    and decode (0: a thread of this one); the batches are the same.
    """

    name: str = setting("cldr_names")
    options: dict = setting(default_factory=dict)
    buckets: tuple[int, ...] = setting((), at_least=1)
    pack: bool = setting(False)
    workers: int = setting(0, at_least=0)

    def validate(self):
        if any(b <= a for a, b in zip(self.buckets, self.buckets[1:])):
            raise ValueError(
                "Expected data.buckets in rising order. "
                f"Received: data.buckets={self.buckets}"
            )
        if self.pack and len(self.buckets) > 1:
            raise ValueError(
                "Expected one length of a window in data.buckets for "
                f"data.pack. Received: data.buckets={self.buckets}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RendererConfig(Settings):
    """How text is drawn; the words are those of `CairoRenderer`.

    `fonts` are files in the order of fallback; empty: the default stack.
    `font_size` is in points, `patch_size` in pixels.
    """

    fonts: tuple[str, ...] = setting(())
    font_size: float = setting(8.0, above=0.0)
    dpi: int = setting(120, at_least=1)
    patch_size: int | tuple[int, ...] = setting(16, at_least=1)
    max_patches: int = setting(529, at_least=2)
    language: str | None = setting(None)
    layout: str = setting(
        "continuous",
        choices=("continuous", "words", "bigrams", "mono", "adaptive"),
    )
    direction: str = setting("auto", choices=("auto", "ltr", "rtl"))
    color_mode: str = setting("grey", choices=("grey", "rgb"))
    ink: str = setting("black")
    paper: str = setting("white")
    baseline: str = setting("pangocairo", choices=("pangocairo", "pygame"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The step loop and the optimizer.

    `batch_size` counts examples over all replicas. `eval_every=0` evaluates
    at the end only. `global_clipnorm=None` does not clip. `layer_decay`: see
    `pixmodels.tasks.layer_lr_multipliers`; None: one rate. `groups`: dict
    from a regular expression, found in the key of a variable
    (`encoder/block_0/mixer/query/kernel`), to `multiplier`,
    `max_learning_rate` and `weight_decay`, see
    `pixmodels.learning.LearningRequest`. `momentum` is that of SGD; Lion has
    `beta_1`, `beta_2`. `ema`: decay of an average of the weights, None: none;
    `eval_ema` evaluates it. `schedule="rsqrt"` falls with the root of the
    step after the warm-up. `accumulate_steps`: parts of a batch whose
    gradients are summed before one update. `steps_per_loop`: updates in one
    call of the device. `remat` computes blocks anew for their gradients
    instead of keeping what is inside them. `mixed_float16` scales the loss.
    `strategy`: see `strategies.make`. `worker_timeout`: seconds to wait for
    the other processes of `multi_worker`.

    Seeing a run: `curves` draws `curves.png` once a minute and at the end.
    `picture_every` steps (0: at the end only; None: never) a masked
    autoencoder writes `pictures/reconstruction_*.png`. `tensorboard` writes
    event files for it. `peak_flops` is that of one device in operations per
    second, for the model FLOPs utilisation; None: from a table of known
    accelerators.

    Checkpoints are written every `checkpoint_every` steps, every
    `checkpoint_minutes` (None: not by time), and after an evaluation that is
    among the `keep_best` best by `best_metric`, where `best_mode` values are
    the better ones. These best are kept besides the `keep_last` newest.
    A run ends before its last step where `early_stopping` evaluations in a
    row were no better than the best before them; None: it does not.
    """

    steps: int = setting(1000, at_least=1)
    batch_size: int = setting(32, at_least=1)
    seed: int = setting(42, at_least=0, below=2**31)
    learning_rate: float = setting(1e-3, above=0.0)
    warmup_steps: int = setting(0, at_least=0)
    schedule: str = setting(
        "cosine", choices=("cosine", "linear", "rsqrt", "constant")
    )
    final_learning_rate: float = setting(0.0, at_least=0.0)
    optimizer: str = setting("adamw", choices=("adamw", "lamb", "lion", "sgd"))
    momentum: float = setting(0.0, at_least=0.0, below=1.0)
    weight_decay: float = setting(0.05, at_least=0.0)
    beta_1: float = setting(0.9, at_least=0.0, below=1.0)
    beta_2: float = setting(0.999, at_least=0.0, below=1.0)
    epsilon: float = setting(1e-8, above=0.0)
    global_clipnorm: float | None = setting(None, above=0.0)
    layer_decay: float | None = setting(None, above=0.0, at_most=1.0)
    groups: dict = setting(default_factory=dict)
    ema: float | None = setting(None, at_least=0.0, below=1.0)
    eval_ema: bool = setting(False)
    accumulate_steps: int = setting(1, at_least=1)
    steps_per_loop: int = setting(1, at_least=1)
    remat: bool = setting(False)
    checkpoint_every: int = setting(500, at_least=1)
    checkpoint_minutes: float | None = setting(None, above=0.0)
    keep_last: int = setting(3, at_least=1)
    keep_best: int = setting(0, at_least=0)
    best_metric: str = setting("loss")
    best_mode: str = setting("min", choices=("min", "max"))
    early_stopping: int | None = setting(None, at_least=1)
    log_every: int = setting(50, at_least=1)
    eval_every: int = setting(0, at_least=0)
    jit_compile: bool = setting(True)
    dtype: str = setting(
        "float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16", "float64"),
    )
    deterministic: bool = setting(True)
    strategy: str = setting("one_device")
    worker_timeout: float = setting(300.0, above=0.0)
    curves: bool = setting(True)
    picture_every: int | None = setting(0, at_least=0)
    tensorboard: bool = setting(True)
    peak_flops: float | None = setting(None, above=0.0)

    def validate(self):
        if self.warmup_steps > self.steps:
            raise ValueError(
                "Expected train.warmup_steps to be at most train.steps. "
                f"Received: train.warmup_steps={self.warmup_steps}, "
                f"train.steps={self.steps}"
            )
        if self.schedule == "rsqrt" and not self.warmup_steps:
            raise ValueError(
                "Expected train.warmup_steps above 0 for "
                "train.schedule='rsqrt': the rate falls as the root of "
                "warmup_steps / step. Received: train.warmup_steps=0"
            )
        if self.batch_size % self.accumulate_steps:
            raise ValueError(
                "Expected train.batch_size to be a multiple of "
                "train.accumulate_steps. Received: "
                f"train.batch_size={self.batch_size}, "
                f"train.accumulate_steps={self.accumulate_steps}"
            )
        if self.eval_ema and self.ema is None:
            raise ValueError(
                "Expected train.ema for train.eval_ema=True. Received: "
                "train.ema=None"
            )
        if self.optimizer == "lion" and not self.beta_1:
            raise ValueError(
                "Expected train.beta_1 above 0 for train.optimizer='lion'. "
                "Received: train.beta_1=0.0"
            )
        groups.check(self.groups)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Settings):
    """One run: `pretrain` or `finetune`.

    `init` is where the weights of the backbone come from: the workdir of a
    run, or what `pixmodels.from_preset` takes (a folder, a file,
    "hf://org/name"); None: all weights are new.
    """

    name: str = setting("experiment")
    task: str = setting("pretrain", choices=("pretrain", "finetune"))
    init: str | None = setting(None)
    model: ModelConfig = setting(default_factory=ModelConfig)
    data: DataConfig = setting(default_factory=DataConfig)
    renderer: RendererConfig = setting(default_factory=RendererConfig)
    train: TrainConfig = setting(default_factory=TrainConfig)

    def validate(self):
        wanted = "pretrain" if self.model.kind == KINDS[0] else "finetune"
        if self.task != wanted:
            raise ValueError(
                f"Expected task={wanted!r} for model.kind="
                f"{self.model.kind!r}. Received: task={self.task!r}"
            )
        if self.init is None:
            self.model.check_heads()
        if not self.model.reads_text:
            return
        model = self.model.filled()
        for name in ("patch_size", "max_patches"):
            a, b = getattr(model, name), getattr(self.renderer, name)
            if a != b:
                raise ValueError(
                    f"Expected model.{name} and renderer.{name} to agree. "
                    f"Received: model.{name}={a}, renderer.{name}={b}"
                )
        if self.data.buckets and self.data.buckets[-1] > model.max_patches:
            raise ValueError(
                "Expected data.buckets to be at most model.max_patches="
                f"{model.max_patches}. "
                f"Received: data.buckets={self.data.buckets}"
            )
