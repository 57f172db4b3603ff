"""Recipes on the names of CLDR, which need no data of one's own."""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import RendererConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe
from pixmodels.training.recipes._sizes import TINY


def _model(**settings):
    return ModelConfig(
        **{**TINY, **settings},
        max_patches=64,
        # Chosen on validation names, and no dropout. With PIXEL's own settings
        # ("sincos", 0, 0.1), made for more parameters and a million steps,
        # the classifier learns more slowly.
        positions="learned",
        pixel_offset=1.0,
    )


def _train(learning_rate):
    return TrainConfig(
        steps=1800,
        batch_size=64,
        learning_rate=learning_rate,
        warmup_steps=100,
        weight_decay=0.05,
        global_clipnorm=1.0,
        eval_every=600,
    )


@recipe
def pixel_tiny_cldr():
    """A tiny PIXEL, pre-trained on the names of languages and places in CLDR.

    Command: `pixmodels pretrain --config pixel_tiny_cldr`.
    Hardware: two cores of a Xeon. Time: 2.6 minutes. Expected: loss 0.637 on
    held-out names.
    """
    return ExperimentConfig(
        name="pixel_tiny_cldr",
        task="pretrain",
        model=_model(kind="masked_autoencoder"),
        data=DataConfig(name="cldr_names", buckets=(8, 16, 32)),
        renderer=RendererConfig(max_patches=64),
        train=_train(5e-4),
    )


@recipe
def cldr_language():
    """Which language is this CLDR name in? Fine-tunes `pixel_tiny_cldr`.

    Command: `pixmodels finetune --config cldr_language
    --set init=runs/pixel_tiny_cldr`.
    Hardware: two cores of a Xeon. Time: 1.9 minutes. Expected: test accuracy
    58.6 %; 62.3 % without `init`.
    """
    return ExperimentConfig(
        name="cldr_language",
        task="finetune",
        model=_model(kind="text_classifier"),
        data=DataConfig(name="cldr_names", buckets=(8, 16, 32)),
        renderer=RendererConfig(max_patches=64),
        train=_train(2e-3),
    )


@recipe
def cldr_language_wide():
    """`cldr_language` with its sixteen heads in one layer instead of four.

    Source: Brown et al. 2022, "Wide Attention Is the Way Forward for
    Transformers?": as many heads as wide as before, one MLP.
    Command: `pixmodels finetune --config cldr_language_wide`.
    Hardware: two cores of a Xeon. Not yet run.
    """
    return ExperimentConfig(
        name="cldr_language_wide",
        task="finetune",
        model=_model(
            kind="text_classifier",
            num_layers=1,
            num_heads=16,
            attention="wide",
            attention_options={"head_dim": 32},
        ),
        data=DataConfig(name="cldr_names", buckets=(8, 16, 32)),
        renderer=RendererConfig(max_patches=64),
        train=_train(2e-3),
    )
