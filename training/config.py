"""The one config type: frozen dataclasses, a table of settings per section.

Values are checked when a config is made. Not here: named configs
(`recipes`), what is built from a config (`experiment`), parsing (`_settings`).
"""

import dataclasses

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

KINDS = ("masked_autoencoder", "text_classifier", "image_classifier")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """Sizes of a model; the words are those of its class.

    `image_shape=()`, (H, W, C), follows from the renderer or the images, and
    `num_classes=None` and `labels=()` from the data. The `decoder_*`,
    `mask*`, `max_span` and `norm_pix_loss` settings serve the masked
    autoencoder; `pooling`, `num_classes` and `labels` serve classifiers.
    """

    kind: str = setting("masked_autoencoder", choices=KINDS)
    num_layers: int = setting(4, at_least=1)
    num_heads: int = setting(4, at_least=1)
    hidden_dim: int = setting(128, at_least=1)
    mlp_dim: int = setting(512, at_least=1)
    dropout_rate: float = setting(0.1, at_least=0.0, below=1.0)
    attention_dropout: float = setting(0.1, at_least=0.0, below=1.0)
    attention: str = setting("softmax")
    attention_options: dict = setting(default_factory=dict)
    positions: str = setting("sincos", choices=("sincos", "learned", "none"))
    pixel_offset: float = setting(0.0)
    patch_size: int = setting(16, at_least=1)
    channels: int = setting(1, choices=(1, 3))
    max_patches: int = setting(529, at_least=2)
    image_shape: tuple[int, ...] = setting((), at_least=1)
    decoder_num_layers: int = setting(2, at_least=1)
    decoder_num_heads: int = setting(4, at_least=1)
    decoder_hidden_dim: int = setting(128, at_least=1)
    decoder_mlp_dim: int = setting(512, at_least=1)
    mask_ratio: float = setting(0.25, above=0.0, below=1.0)
    masking: str = setting("span", choices=("span", "random"))
    max_span: int = setting(6, at_least=1, at_most=6)
    norm_pix_loss: bool = setting(True)
    pooling: str = setting("mean")
    num_classes: int | None = setting(None, at_least=2)
    labels: tuple[str, ...] = setting(())

    def validate(self):
        if len(self.image_shape) not in (0, 3):
            raise ValueError(
                "Expected model.image_shape as (H, W, C), or empty. "
                f"Received: model.image_shape={self.image_shape}"
            )
        for width, heads in (
            ("hidden_dim", "num_heads"),
            ("decoder_hidden_dim", "decoder_num_heads"),
        ):
            a, b = getattr(self, width), getattr(self, heads)
            if a % b:
                raise ValueError(
                    f"Expected model.{width} to be a multiple of "
                    f"model.{heads}. Received: model.{width}={a}, "
                    f"model.{heads}={b}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Which data, and the static lengths its batches come in.

    `options` go to the function that reads the data. `buckets` are lengths
    in patches; an example goes to the smallest that holds it, one that is
    longer than all to the largest, where it is cut. Empty: one bucket as
    long as the longest example.
    """

    name: str = setting("cldr_names")
    options: dict = setting(default_factory=dict)
    buckets: tuple[int, ...] = setting((), at_least=1)

    def validate(self):
        if any(b <= a for a, b in zip(self.buckets, self.buckets[1:])):
            raise ValueError(
                "Expected data.buckets in rising order. "
                f"Received: data.buckets={self.buckets}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RendererConfig(Settings):
    """How text is drawn: point size, dots per inch, sizes in pixels.

    `fonts` are files in the order of fallback; empty: the default stack.
    """

    fonts: tuple[str, ...] = setting(())
    font_size: float = setting(8.0, above=0.0)
    dpi: int = setting(120, at_least=1)
    patch_size: int = setting(16, at_least=1)
    max_patches: int = setting(529, at_least=2)
    language: str | None = setting(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The step loop and the optimizer (AdamW).

    `batch_size` counts examples over all replicas. `eval_every=0` evaluates
    at the end only. `global_clipnorm=None` does not clip. `layer_decay`: see
    `pixmodels.tasks.layer_lr_multipliers`; None: one rate. `strategy`:
    `one_device` (alias `none`), `mirrored` (all GPUs), or `mirrored:K`
    (K logical CPU devices, for tests).

    Seeing a run: `curves` draws `curves.png` once a minute and at the end.
    `picture_every` steps (0: at the end only; None: never) a masked
    autoencoder writes `pictures/reconstruction_*.png`. `tensorboard` writes
    event files: None where their writer is installed. `peak_flops` is that
    of one device in operations per second, for the model FLOPs utilisation;
    None: from a table of known accelerators.
    """

    steps: int = setting(1000, at_least=1)
    batch_size: int = setting(32, at_least=1)
    seed: int = setting(42, at_least=0, below=2**31)
    learning_rate: float = setting(1e-3, above=0.0)
    warmup_steps: int = setting(0, at_least=0)
    schedule: str = setting("cosine", choices=("cosine", "linear", "constant"))
    final_learning_rate: float = setting(0.0, at_least=0.0)
    weight_decay: float = setting(0.05, at_least=0.0)
    beta_1: float = setting(0.9, at_least=0.0, below=1.0)
    beta_2: float = setting(0.999, at_least=0.0, below=1.0)
    epsilon: float = setting(1e-8, above=0.0)
    global_clipnorm: float | None = setting(None, above=0.0)
    layer_decay: float | None = setting(None, above=0.0, at_most=1.0)
    checkpoint_every: int = setting(500, at_least=1)
    keep_last: int = setting(3, at_least=1)
    log_every: int = setting(50, at_least=1)
    eval_every: int = setting(0, at_least=0)
    jit_compile: bool = setting(True)
    dtype: str = setting("float32", choices=("float32", "mixed_bfloat16"))
    deterministic: bool = setting(True)
    strategy: str = setting("one_device")
    curves: bool = setting(True)
    picture_every: int | None = setting(0, at_least=0)
    tensorboard: bool | None = setting(None)
    peak_flops: float | None = setting(None, above=0.0)

    def validate(self):
        if self.warmup_steps > self.steps:
            raise ValueError(
                "Expected train.warmup_steps to be at most train.steps. "
                f"Received: train.warmup_steps={self.warmup_steps}, "
                f"train.steps={self.steps}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Settings):
    """One run: `pretrain` or `finetune`.

    `init` names the workdir of a pretraining run whose encoder weights the
    model starts from, or None.
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
        if self.model.kind == "image_classifier":
            return
        for name in ("patch_size", "max_patches"):
            a, b = getattr(self.model, name), getattr(self.renderer, name)
            if a != b:
                raise ValueError(
                    f"Expected model.{name} and renderer.{name} to agree. "
                    f"Received: model.{name}={a}, renderer.{name}={b}"
                )
        if self.data.buckets and self.data.buckets[-1] > self.model.max_patches:
            raise ValueError(
                "Expected data.buckets to be at most model.max_patches="
                f"{self.model.max_patches}. "
                f"Received: data.buckets={self.data.buckets}"
            )
