"""The settings of a model: all that its classes can do.

Here: which settings there are, and what those that are left out become. Not
here: models (`_build_model`), other sections (`config`).
"""

import dataclasses

from pixmodels import _sizes as sizes
from pixmodels.training._settings import Settings
from pixmodels.training._settings import setting

KINDS = (
    "masked_autoencoder",
    "text_classifier",
    "text_regressor",
    "token_classifier",
    "dependency_parser",
    "question_answerer",
    "image_classifier",
)
# Those whose labels come from the data.
LABELLED = (
    "text_classifier",
    "token_classifier",
    "dependency_parser",
    "image_classifier",
)
BACKBONES = ("pixel", "vit")
_FRACTION = {"at_least": 0.0, "below": 1.0}
# What a model shares with the one whose weights it starts from.
ARCHITECTURE = {
    "patch_size": 16,
    "num_layers": 4,
    "num_heads": 4,
    "hidden_dim": 128,
    "mlp_dim": 512,
    "channels": 1,
    "positions": None,
    "position_grid": None,
    "layer_norm_epsilon": None,
    "activation": "gelu",
    "pixel_offset": 0.0,
    "class_token": True,
    "num_registers": 0,
    "qkv_bias": True,
    "final_norm": True,
    "rotary_base": 100.0,
}
_OF_BACKBONE = {
    "pixel": {"positions": "sincos", "layer_norm_epsilon": 1e-12},
    "vit": {"positions": "learned", "layer_norm_epsilon": 1e-6},
}
_DECODER = {
    "decoder_num_layers": 2,
    "decoder_num_heads": 4,
    "decoder_hidden_dim": 128,
    "decoder_mlp_dim": 512,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """A backbone and what is around it; the words are those of the classes.

    `None` leaves a setting to others, see `filled`. `backbone` is "pixel" or
    "vit"; by default "vit" for image classifiers, else "pixel". `size` names
    a published one ("b16" or "base", see `pixmodels.models.SIZES`); it sets
    `patch_size`, `num_layers`, `num_heads`, `hidden_dim`, `mlp_dim` and the
    decoder of MAE where these are not given. `image_shape=()`, (H, W, C),
    follows from the renderer or the images, `num_classes` and `labels`
    follow from the data.

    The masked autoencoder alone has the `decoder_*` settings, `mask_ratio`,
    `masking` ("span" for text and "random" for images by default; "block"
    for pages and images), `max_span`, `mask_options` (further arguments of
    the function in `pixmodels.masking`) and `norm_pix_loss`. Heads have
    `pooling` (text: "mean", "max", "cls", "attention"; images: "mean", "cls",
    "map"), `pooling_heads`, `leaky`, `head_dropout` (`dropout_rate` by
    default), `linear_probe`, `probe_norm`, `pooled_norm` and
    `representation_dim`; what a head does not have is refused.
    """

    kind: str = setting("masked_autoencoder", choices=KINDS)
    backbone: str | None = setting(None, choices=BACKBONES)
    size: str | None = setting(None)
    patch_size: int | tuple[int, ...] | None = setting(None, at_least=1)
    num_layers: int | None = setting(None, at_least=1)
    num_heads: int | None = setting(None, at_least=1)
    hidden_dim: int | None = setting(None, at_least=1)
    mlp_dim: int | None = setting(None, at_least=1)
    channels: int | None = setting(None, choices=(1, 3))
    max_patches: int = setting(529, at_least=2)
    image_shape: tuple[int, ...] = setting((), at_least=1)
    attention: str = setting("softmax")
    attention_options: dict = setting(default_factory=dict)
    positions: str | None = setting(
        None, choices=("sincos", "learned", "rotary", "none")
    )
    position_grid: tuple[int, ...] | None = setting(None, at_least=1)
    trainable_positions: bool | None = setting(None)
    resample_positions: bool = setting(False)
    rotary_base: float | None = setting(None, above=0.0)
    pixel_offset: float | None = setting(None)
    class_token: bool | None = setting(None)
    num_registers: int | None = setting(None, at_least=0)
    qkv_bias: bool | None = setting(None)
    layer_scale: float | None = setting(None)
    layer_norm_epsilon: float | None = setting(None, above=0.0)
    activation: str | None = setting(None)
    final_norm: bool | None = setting(None)
    dropout_rate: float = setting(0.1, **_FRACTION)
    attention_dropout: float = setting(0.1, **_FRACTION)
    drop_path_rate: float = setting(0.0, **_FRACTION)
    decoder_num_layers: int | None = setting(None, at_least=1)
    decoder_num_heads: int | None = setting(None, at_least=1)
    decoder_hidden_dim: int | None = setting(None, at_least=1)
    decoder_mlp_dim: int | None = setting(None, at_least=1)
    decoder_attention: str | None = setting(None)
    decoder_attention_options: dict = setting(default_factory=dict)
    decoder_norm_epsilon: float | None = setting(None, above=0.0)
    mask_ratio: float = setting(0.25, above=0.0, below=1.0)
    masking: str | None = setting(None, choices=("span", "random", "block"))
    max_span: int = setting(6, at_least=1, at_most=6)
    mask_options: dict = setting(default_factory=dict)
    norm_pix_loss: bool = setting(True)
    pooling: str = setting("mean")
    pooling_heads: int | None = setting(None, at_least=1)
    leaky: bool = setting(False)
    head_dropout: float | None = setting(None, **_FRACTION)
    linear_probe: bool = setting(False)
    probe_norm: bool = setting(True)
    pooled_norm: bool = setting(False)
    representation_dim: int | None = setting(None, at_least=1)
    num_classes: int | None = setting(None, at_least=2)
    labels: tuple[str, ...] = setting(())

    def validate(self):
        for name, shape, length, words in (
            ("image_shape", self.image_shape, 3, "(H, W, C), or empty"),
            ("position_grid", self.position_grid, 2, "(R, C), or none"),
            ("patch_size", self.patch_size, 2, "a number or (height, width)"),
        ):
            if isinstance(shape, tuple) and len(shape) not in (0, length):
                raise ValueError(
                    f"Expected model.{name} as {words}. "
                    f"Received: model.{name}={shape}"
                )
        self._sizes()

    def check_heads(self):
        """Raises ValueError unless widths are multiples of heads.

        Heads that have a width of their own need not divide the model's.
        """
        full = self.filled()
        encoder = (self.attention, self.attention_options)
        decoder = (self.decoder_attention, self.decoder_attention_options)
        if self.decoder_attention is None:
            decoder = encoder
        for width, heads, (attention, options) in (
            ("hidden_dim", "num_heads", encoder),
            ("decoder_hidden_dim", "decoder_num_heads", decoder),
        ):
            a, b = getattr(full, width), getattr(full, heads)
            own = attention == "wide" or options.get("head_dim") is not None
            if a % b and not own:
                raise ValueError(
                    f"Expected model.{width} to be a multiple of "
                    f"model.{heads}. Received: model.{width}={a}, "
                    f"model.{heads}={b}"
                )

    @property
    def reads_text(self):
        """Whether it reads drawn text: whether its backbone is PIXEL's."""
        return self.filled().backbone == "pixel"

    def patch_sides(self):
        """(height, width) of a patch in pixels."""
        side = self.filled().patch_size
        return (side, side) if isinstance(side, int) else side

    def _sizes(self):
        if self.size is None:
            return {}
        return sizes.size(self.size)

    def filled(self, like=None):
        """A copy in which sizes and the like are given.

        A setting of the architecture is what it was set to, else what `size`
        says, else what `like` says, else a default: PIXEL's for drawn text,
        ViT's for images.

        Args:
            like: dict of the model whose weights this one starts from, with
                the keys of `ARCHITECTURE`; or None.

        Returns:
            A `ModelConfig`.
        """
        kind = "vit" if self.kind == "image_classifier" else "pixel"
        backbone = self.backbone or kind
        decoder = _DECODER
        if self.size is not None:
            decoder = sizes.MAE_DECODER
        text = backbone == "pixel"
        known = {
            **ARCHITECTURE,
            **_OF_BACKBONE[backbone],
            **decoder,
            "backbone": backbone,
            "masking": "span" if text else "random",
            **{k: v for k, v in (like or {}).items() if v is not None},
            **self._sizes(),
        }
        changes = {
            name: value
            for name, value in known.items()
            if getattr(self, name) is None
        }
        full = dataclasses.replace(self, **changes)
        if full.decoder_norm_epsilon is None:
            # 1e-5 in PIXEL's decoder; MAE's has the encoder's.
            epsilon = 1e-5 if text else full.layer_norm_epsilon
            full = dataclasses.replace(full, decoder_norm_epsilon=epsilon)
        return full

    def contradictions(self, like):
        """What is set or named by `size` and differs from `like`.

        Args:
            like: as `filled`.

        Returns:
            dict from setting to (value here, value there).
        """
        own = {name: getattr(self, name) for name in ARCHITECTURE}
        for name, value in self._sizes().items():
            own[name] = value if own[name] is None else own[name]
        found = {}
        for name, there in like.items():
            here = own.get(name)
            if name == "final_norm" and here is False:
                continue  # its weights are left out
            if name == "patch_size":
                here, there = _pair(here), _pair(there)
            if None not in (here, there) and here != there:
                found[name] = (here, there)
        return found


def _pair(side):
    return (side, side) if isinstance(side, int) else side
