"""Pre-training of PIXEL (Rust et al. 2023) in three sizes, and on bigrams.

The settings are those of xplip/pixel, `configs/training/fp16_apex_bs32.json`
and `configs/models/scratch_noto_span0.25-dropout.json`; bfloat16 stands for
the original's float16, and gradients are clipped at norm 1, as Hugging Face's
trainer does by default. The texts are not the original's: Wikipedia and
BookCorpus are not at hand, so CLDR's names are set. Texts of one's own, packed
into windows: `--set data.name=text --set data.options.paths=FOLDER --set
data.pack=true`.
"""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import RendererConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe

_LENGTH = 529


def _pretrain(name, size, decoder=None, layout="continuous", **train):
    return ExperimentConfig(
        name=name,
        task="pretrain",
        model=ModelConfig(
            kind="masked_autoencoder",
            size=size,
            channels=3,
            max_patches=_LENGTH,
            dropout_rate=0.1,
            attention_dropout=0.1,
            mask_ratio=0.25,
            masking="span",
            max_span=6,
            norm_pix_loss=True,
            **(decoder or {}),
        ),
        data=DataConfig(name="cldr_names", buckets=(_LENGTH,)),
        # PIXEL's training texts were drawn by PyGame; bigrams by Pango.
        renderer=RendererConfig(
            max_patches=_LENGTH,
            layout=layout,
            baseline="pygame" if layout == "continuous" else "pangocairo",
        ),
        train=TrainConfig(
            **{
                "steps": 1_000_000,
                "batch_size": 256,
                "learning_rate": 1.5e-4,
                "final_learning_rate": 1e-5,
                "warmup_steps": 50_000,
                "weight_decay": 0.05,
                "global_clipnorm": 1.0,
                "dtype": "mixed_bfloat16",
                "checkpoint_every": 10_000,
                "log_every": 100,
                "eval_every": 10_000,
                **train,
            }
        ),
    )


# Decoders of the smaller models are as deep and wide as seemed in proportion:
# no published config of them was at hand.
_SMALL_DECODER = {
    "decoder_num_layers": 4,
    "decoder_num_heads": 8,
    "decoder_hidden_dim": 256,
    "decoder_mlp_dim": 1024,
}
_TINY_DECODER = {
    "decoder_num_layers": 2,
    "decoder_num_heads": 4,
    "decoder_hidden_dim": 128,
    "decoder_mlp_dim": 512,
}


@recipe
def pixel_base_pretrain():
    """PIXEL's published pre-training: 112 M parameters, a million steps.

    Command: `pixmodels pretrain --config pixel_base_pretrain`.
    Hardware: of the original, 8 x A100 (40 GB), about 8 days. Not yet run.
    """
    return _pretrain("pixel_base_pretrain", "base")


@recipe
def pixel_small_pretrain():
    """PIXEL with the 22 M parameters of ViT-S in the encoder.

    Command: `pixmodels pretrain --config pixel_small_pretrain`.
    Hardware: one accelerator. Not yet run. The decoder is our choice.
    """
    return _pretrain("pixel_small_pretrain", "small", _SMALL_DECODER)


@recipe
def pixel_tiny_pretrain():
    """PIXEL with the 5.5 M parameters of ViT-Ti in the encoder.

    Command: `pixmodels pretrain --config pixel_tiny_pretrain`.
    Hardware: one accelerator. Not yet run. The decoder is our choice, and
    250,000 steps.
    """
    return _pretrain(
        "pixel_tiny_pretrain",
        "tiny",
        _TINY_DECODER,
        steps=250_000,
        warmup_steps=12_500,
    )


@recipe
def pixel_base_bigrams_pretrain():
    """PIXEL on patches of two letters each (Lotz et al. 2023), base size.

    Command: `pixmodels pretrain --config pixel_base_bigrams_pretrain`.
    Hardware: as `pixel_base_pretrain`. Not yet run. All but the layout is as
    there.
    """
    return _pretrain("pixel_base_bigrams_pretrain", "base", layout="bigrams")


@recipe
def pixel_small_bigrams_pretrain():
    """PIXEL on patches of two letters each (Lotz et al. 2023), 22 M encoder.

    Command: `pixmodels pretrain --config pixel_small_bigrams_pretrain`.
    Hardware: one accelerator. Not yet run. The decoder is our choice.
    """
    return _pretrain(
        "pixel_small_bigrams_pretrain",
        "small",
        _SMALL_DECODER,
        layout="bigrams",
    )
