"""Recipes on scikit-learn's digits, which are installed with it."""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe


def _model(**settings):
    sizes = {"num_layers": 3, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    return ModelConfig(
        **{**sizes, **settings},
        positions="learned",
        patch_size=2,
        channels=1,
    )


def _train(**settings):
    return TrainConfig(
        steps=1500,
        batch_size=64,
        learning_rate=1e-3,
        warmup_steps=100,
        weight_decay=0.05,
        eval_every=500,
        **settings,
    )


@recipe
def digits_vit():
    """A small ViT on scikit-learn's 8 x 8 digits.

    Command: `pixmodels finetune --config digits_vit`.
    Hardware: two cores of a Xeon. Time: 0.7 minutes. Expected: test accuracy
    98.9 %.
    """
    return ExperimentConfig(
        name="digits_vit",
        task="finetune",
        model=_model(kind="image_classifier"),
        data=DataConfig(name="digits"),
        train=_train(),
    )


@recipe
def digits_wide():
    """`digits_vit` with its twelve heads in one layer instead of three.

    Source: Brown et al. 2022, "Wide Attention Is the Way Forward for
    Transformers?": as many heads as wide as before, one MLP.
    Command: `pixmodels finetune --config digits_wide`.
    Hardware: two cores of a Xeon. Time: 6 minutes beside other work.
    Expected: test accuracy 98.3 %.
    """
    return ExperimentConfig(
        name="digits_wide",
        task="finetune",
        model=_model(
            kind="image_classifier",
            num_layers=1,
            num_heads=12,
            attention="wide",
            attention_options={"head_dim": 16},
        ),
        data=DataConfig(name="digits"),
        train=_train(),
    )


@recipe
def vit_mae_digits():
    """A tiny masked autoencoder on scikit-learn's 8 x 8 digits.

    Command: `pixmodels pretrain --config vit_mae_digits`.
    Hardware: two cores of a Xeon. Not yet run.
    """
    return ExperimentConfig(
        name="vit_mae_digits",
        task="pretrain",
        model=_model(
            kind="masked_autoencoder",
            backbone="vit",
            dropout_rate=0.0,
            attention_dropout=0.0,
            decoder_num_layers=1,
            decoder_num_heads=4,
            decoder_hidden_dim=64,
            decoder_mlp_dim=128,
            mask_ratio=0.5,
            norm_pix_loss=False,
        ),
        data=DataConfig(name="digits"),
        train=_train(beta_2=0.95),
    )
