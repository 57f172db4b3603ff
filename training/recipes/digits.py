"""Recipes on scikit-learn's digits, which are installed with it."""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe


def _model(**settings):
    return ModelConfig(
        positions="learned",
        num_layers=3,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
        patch_size=2,
        channels=1,
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
        train=TrainConfig(
            steps=1500,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=100,
            weight_decay=0.05,
            eval_every=500,
        ),
    )
