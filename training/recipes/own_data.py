"""Tiny pre-training on one's own texts and images.

Small enough for two cores; every size is a setting. For PIXEL's own sizes
take `pixel_*_pretrain` with the same `data.*` settings.
"""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import RendererConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe
from pixmodels.training.recipes._sizes import TINY

_WINDOW = 128


@recipe
def pixel_tiny_text():
    """A tiny PIXEL, pre-trained on texts of one's own, packed into windows.

    Command: `pixmodels pretrain --config pixel_tiny_text
    --set data.options.paths=FOLDER`; a text is a line, or with
    `--set data.options.unit=paragraph` a paragraph. Drawn corpora:
    `--set data.name=corpus --set data.options='{"path": "CORPUS"}'`.
    Hardware: two cores. Not yet run to its end.
    """
    return ExperimentConfig(
        name="pixel_tiny_text",
        task="pretrain",
        model=ModelConfig(
            kind="masked_autoencoder",
            **TINY,
            max_patches=_WINDOW,
            positions="learned",
            pixel_offset=1.0,
        ),
        data=DataConfig(name="text", buckets=(_WINDOW,), pack=True, workers=1),
        renderer=RendererConfig(max_patches=_WINDOW),
        train=TrainConfig(
            steps=10_000,
            batch_size=32,
            learning_rate=5e-4,
            warmup_steps=500,
            weight_decay=0.05,
            global_clipnorm=1.0,
            eval_every=1000,
        ),
    )


@recipe
def vit_mae_images():
    """A tiny masked autoencoder on a folder of one's own images.

    Command: `pixmodels pretrain --config vit_mae_images
    --set data.options.path=FOLDER`; `--set data.options.size=96` for larger
    pictures, `--set data.options.augment=crop_flip` for MAE's random crops.
    Hardware: two cores. Not yet run to its end.
    """
    return ExperimentConfig(
        name="vit_mae_images",
        task="pretrain",
        model=ModelConfig(
            kind="masked_autoencoder",
            backbone="vit",
            **TINY,
            positions="learned",
            patch_size=4,
            channels=3,
            mask_ratio=0.75,
        ),
        data=DataConfig(name="images", options={"size": 32}, workers=1),
        train=TrainConfig(
            steps=10_000,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=500,
            weight_decay=0.05,
            beta_2=0.95,
            eval_every=1000,
        ),
    )
