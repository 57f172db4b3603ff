"""Masked autoencoders on images (He et al. 2021), and what follows them.

The settings of base and large are those of facebookresearch/mae, PRETRAIN.md
and FINETUNE.md, for ImageNet-1k: 1,281,167 images. bfloat16 stands for the
original's float16. Fine-tuning there also has RandAugment, random erasing,
mixup, cutmix and smoothed labels, which are not here.
"""

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe

_IMAGES = 1_281_167
_BATCH = 4096
_DATA = DataConfig(
    name="images",
    options={"size": 224, "augment": "crop_flip"},
    workers=8,
)


def _pretrain(name, size):
    epoch = _IMAGES / _BATCH
    return ExperimentConfig(
        name=name,
        task="pretrain",
        model=ModelConfig(
            kind="masked_autoencoder",
            backbone="vit",
            size=size,
            channels=3,
            positions="sincos",
            dropout_rate=0.0,
            attention_dropout=0.0,
            mask_ratio=0.75,
            norm_pix_loss=True,
        ),
        data=_DATA,
        train=TrainConfig(
            steps=round(800 * epoch),
            batch_size=_BATCH,
            learning_rate=1.5e-4 * _BATCH / 256,
            warmup_steps=round(40 * epoch),
            weight_decay=0.05,
            beta_2=0.95,
            dtype="mixed_bfloat16",
            checkpoint_every=5000,
            log_every=100,
            eval_every=5000,
        ),
    )


@recipe
def vit_mae_base_pretrain():
    """MAE's published pre-training of ViT-B/16: 800 epochs of ImageNet.

    Command: `pixmodels pretrain --config vit_mae_base_pretrain --set
    data.options.path=FOLDER`, a folder of images.
    Hardware: of the original, 64 x V100. Not yet run.
    """
    return _pretrain("vit_mae_base_pretrain", "base")


@recipe
def vit_mae_large_pretrain():
    """MAE's published pre-training of ViT-L/16: 800 epochs of ImageNet.

    Command: `pixmodels pretrain --config vit_mae_large_pretrain --set
    data.options.path=FOLDER`, a folder of images.
    Hardware: of the original, 64 x V100, about 42 hours. Not yet run.
    """
    return _pretrain("vit_mae_large_pretrain", "large")


@recipe
def vit_base_finetune():
    """Classes of images, from a masked autoencoder's ViT-B/16.

    Command: `pixmodels finetune --config vit_base_finetune --set
    init=runs/vit_mae_base_pretrain --set data.options.path=FOLDER`, a folder
    with a folder for each class.
    Hardware: of the original, 32 x V100. Not yet run. Of the original: 83.6 %
    on ImageNet, with the augmentation that is not here.
    """
    batch = 1024
    epoch = _IMAGES / batch
    return ExperimentConfig(
        name="vit_base_finetune",
        task="finetune",
        model=ModelConfig(
            kind="image_classifier",
            size="base",
            channels=3,
            positions="sincos",
            trainable_positions=True,
            dropout_rate=0.0,
            attention_dropout=0.0,
            drop_path_rate=0.1,
            # MAE normalises after pooling, not before.
            pooling="mean",
            final_norm=False,
            pooled_norm=True,
        ),
        data=_DATA,
        train=TrainConfig(
            steps=round(100 * epoch),
            batch_size=batch,
            learning_rate=5e-4 * batch / 256,
            warmup_steps=round(5 * epoch),
            final_learning_rate=1e-6,
            weight_decay=0.05,
            layer_decay=0.65,
            dtype="mixed_bfloat16",
            eval_every=round(epoch),
            keep_best=1,
            best_metric="accuracy",
            best_mode="max",
        ),
    )
