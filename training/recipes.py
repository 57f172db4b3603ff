"""Named experiments: functions that return an `ExperimentConfig`.

Each docstring states command, hardware, time and expected metric, or "not
yet run". Not here: what the settings mean (`config`).
"""

from pathlib import Path

from pixmodels.training import _settings
from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import RendererConfig
from pixmodels.training.config import TrainConfig

_RECIPES = {}


def recipe(function):
    """Decorator: adds a recipe under its function's name."""
    _RECIPES[function.__name__] = function
    return function


def names():
    """The names of all recipes, in the order of this file."""
    return tuple(_RECIPES)


def function(name):
    """The function of a recipe, whose docstring describes it."""
    if name not in _RECIPES:
        raise ValueError(
            f"Expected a recipe: {', '.join(_RECIPES)}."
            f"{_settings.nearest(name, _RECIPES)} Received: config={name!r}"
        )
    return _RECIPES[name]


def get(name):
    """The config of a recipe.

    Raises:
        ValueError: if there is no such recipe; the nearest are named.
    """
    return function(name)()


def load(name_or_path):
    """A recipe by name, or a config from a JSON file.

    Args:
        name_or_path: a name, or the path of a JSON file (as
            `<workdir>/config.json`); settings that it lacks have defaults.

    Returns:
        An `ExperimentConfig`.

    Raises:
        FileNotFoundError: if a path ends in `.json` and is not a file.
        TypeError, ValueError: see `get` and `config.from_dict`.
    """
    path = Path(name_or_path)
    if name_or_path in _RECIPES or not (
        path.suffix == ".json" or path.is_file()
    ):
        return get(name_or_path)
    return _settings.from_dict(ExperimentConfig, _settings.load_json(path))


def _tiny_text_model(**settings):
    return ModelConfig(
        num_layers=4,
        num_heads=4,
        hidden_dim=128,
        mlp_dim=512,
        decoder_num_layers=2,
        decoder_num_heads=4,
        decoder_hidden_dim=96,
        decoder_mlp_dim=384,
        max_patches=64,
        # Chosen on validation names. With PIXEL's own settings ("sincos", 0,
        # 0.1), made for more parameters and a million steps, the classifier
        # learns more slowly.
        positions="learned",
        pixel_offset=1.0,
        dropout_rate=0.0,
        attention_dropout=0.0,
        **settings,
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
        model=_tiny_text_model(kind="masked_autoencoder"),
        data=DataConfig(name="cldr_names", buckets=(8, 16, 32)),
        renderer=RendererConfig(max_patches=64),
        train=TrainConfig(
            steps=1800,
            batch_size=64,
            learning_rate=5e-4,
            warmup_steps=100,
            weight_decay=0.05,
            global_clipnorm=1.0,
            eval_every=600,
        ),
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
        model=_tiny_text_model(kind="text_classifier"),
        data=DataConfig(name="cldr_names", buckets=(8, 16, 32)),
        renderer=RendererConfig(max_patches=64),
        train=TrainConfig(
            steps=1800,
            batch_size=64,
            learning_rate=2e-3,
            warmup_steps=100,
            weight_decay=0.05,
            global_clipnorm=1.0,
            eval_every=600,
        ),
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
        model=ModelConfig(
            kind="image_classifier",
            positions="learned",
            num_layers=3,
            num_heads=4,
            hidden_dim=64,
            mlp_dim=128,
            patch_size=2,
            channels=1,
        ),
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


@recipe
def pixel_base():
    """PIXEL's published pre-training settings (Rust et al. 2023).

    The settings are those of xplip/pixel, `fp16_apex_bs32.json`; the texts
    are not: Wikipedia and BookCorpus are not at hand, so this names the CLDR
    data. bfloat16 stands for the original's float16.

    Command: `pixmodels pretrain --config pixel_base`. Hardware of the
    original: 8 x A100, about 8 days. Not yet run.
    """
    return ExperimentConfig(
        name="pixel_base",
        task="pretrain",
        model=ModelConfig(
            kind="masked_autoencoder",
            num_layers=12,
            num_heads=12,
            hidden_dim=768,
            mlp_dim=3072,
            dropout_rate=0.1,
            attention_dropout=0.1,
            channels=3,
            decoder_num_layers=8,
            decoder_num_heads=16,
            decoder_hidden_dim=512,
            decoder_mlp_dim=2048,
            mask_ratio=0.25,
            max_span=6,
        ),
        data=DataConfig(name="cldr_names", buckets=(529,)),
        train=TrainConfig(
            steps=1_000_000,
            batch_size=256,
            learning_rate=1.5e-4,
            final_learning_rate=1e-5,
            warmup_steps=50_000,
            weight_decay=0.05,
            dtype="mixed_bfloat16",
            checkpoint_every=10_000,
            log_every=100,
            eval_every=10_000,
        ),
    )
