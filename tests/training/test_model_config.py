"""Settings of a model: what is left out, presets, all that classes can do."""

import dataclasses
import inspect

import numpy as np
import pytest

import pixmodels
from pixmodels import tasks
from pixmodels.training import ModelConfig
from pixmodels.training import _build_model
from pixmodels.training import _initial_weights
from pixmodels.training import config as config_lib
from pixmodels.training import experiment
from pixmodels.training import recipes
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import RendererConfig

SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 11}


def test_what_is_left_out():
    text = ModelConfig().filled()
    assert (text.backbone, text.positions, text.masking) == (
        "pixel",
        "sincos",
        "span",
    )
    assert (text.layer_norm_epsilon, text.decoder_norm_epsilon) == (1e-12, 1e-5)
    image = ModelConfig(kind="image_classifier", num_heads=2).filled()
    assert (image.backbone, image.positions, image.masking) == (
        "vit",
        "learned",
        "random",
    )
    assert (image.layer_norm_epsilon, image.decoder_norm_epsilon) == (
        1e-6,
        1e-6,
    )
    assert (image.num_heads, image.num_layers, image.patch_size) == (2, 4, 16)
    assert image.filled() == image


@pytest.mark.parametrize("name", ["base", "B/16", "b16"])
def test_sizes_by_name(name):
    model = ModelConfig(size=name, num_layers=3).filled()
    assert (model.num_layers, model.hidden_dim, model.num_heads) == (3, 768, 12)
    assert (model.patch_size, model.decoder_hidden_dim) == (16, 512)
    with pytest.raises(ValueError, match="Did you mean 'base'"):
        ModelConfig(size="bases")


def test_a_config_has_all_settings_of_the_classes():
    """A new argument of a class is a setting, or is left out on purpose."""
    ours = {field.name for field in dataclasses.fields(ModelConfig)}
    classes = (
        pixmodels.PIXELBackbone.__mro__[1],
        pixmodels.MaskedAutoencoder,
        tasks.TextClassifier,
        tasks.TextRegressor,
        tasks.TokenClassifier,
        tasks.DependencyParser,
        tasks.QuestionAnswerer,
        tasks.ImageClassifier,
    )
    for cls in classes:
        known = set(inspect.signature(cls).parameters)
        known -= {"self", "kwargs", "backbone", "encoder"}
        assert known <= ours, cls
    from pixmodels.renderers import CairoRenderer

    known = set(inspect.signature(CairoRenderer).parameters) - {"font_stack"}
    ours = {field.name for field in dataclasses.fields(RendererConfig)}
    assert known == ours - {"fonts"}


@pytest.mark.parametrize(
    "settings",
    [
        {"positions": "rotary", "num_registers": 3, "layer_scale": 0.1},
        {"class_token": False, "drop_path_rate": 0.1, "qkv_bias": False},
        {"activation": "gelu_approximate", "final_norm": False},
        {"pooling": "attention", "pooling_heads": 4},
        {"attention": "local", "attention_options": {"window": 3}},
    ],
)
def test_settings_reach_the_model(settings):
    config = ModelConfig(
        kind="text_classifier",
        image_shape=(16, 16 * 7, 1),
        num_classes=3,
        **SMALL,
        **settings,
    )
    model = _build_model.build_model(config)
    for name, value in settings.items():
        owner = model if name.startswith("pooling") else model.backbone
        assert getattr(owner, name) == value


def test_settings_of_other_heads_are_refused():
    for kind, changes in (
        ("question_answerer", {"pooling": "max"}),
        ("text_classifier", {"linear_probe": True}),
        ("masked_autoencoder", {"leaky": True}),
    ):
        config = ModelConfig(
            kind=kind,
            image_shape=(16, 112, 1),
            num_classes=3,
            **SMALL,
            **changes,
        )
        (name,) = changes
        with pytest.raises(ValueError, match=f"Received: model.{name}="):
            _build_model.build_model(config)


@pytest.fixture
def preset(tmp_path):
    backbone = pixmodels.PIXELBackbone(
        (16, 16 * 23, 3), pixel_offset=1.0, positions="learned", **SMALL
    )
    backbone.save_to_preset(tmp_path / "preset")
    return backbone, str(tmp_path / "preset")


def of_preset(path, *changes):
    changes = [
        f"init={path}",
        "model.max_patches=13",
        "renderer.max_patches=13",
        "model.labels=a,b",
        "model.num_classes=2",
        *changes,
    ]
    config = ExperimentConfig(
        task="finetune",
        model=ModelConfig(kind="text_classifier", **SMALL, positions="learned"),
    )
    return config_lib.override(config, changes)


def test_a_model_starts_from_a_preset(preset):
    backbone, path = preset
    left_out = [f"model.{name}=none" for name in [*SMALL, "positions"]]
    for changes in ([], left_out):
        config = experiment.resolve(of_preset(path, *changes))
        assert config.model.image_shape == (16, 16 * 13, 3)
        assert config.model.pixel_offset == 1.0
        assert config.model.position_grid == (5, 5)
        assert config.model.mlp_dim == 11
        model = experiment.build_model(config)
        words = _initial_weights.load_encoder(model, path)
        assert "loaded" in words
        for old, new in zip(
            backbone.weights, model.backbone.weights, strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_pixels_own_files_with_the_recipe_of_its_authors(tmp_path):
    pytest.importorskip("safetensors")
    encoder = pixmodels.PIXELBackbone((16, 16 * 25, 3), **SMALL)
    decoder = {f"decoder_{name}": value for name, value in SMALL.items()}
    model = pixmodels.MaskedAutoencoder(encoder, **decoder)
    model.to_hf(tmp_path / "pixel")
    config = config_lib.override(
        recipes.get("pixel_base_pos"),
        [
            f"init={tmp_path / 'pixel'}",
            "model.size=none",
            "model.position_grid=none",
            "model.max_patches=13",
            "renderer.max_patches=13",
            "data.buckets=13",
            "model.image_shape=16,208,3",
            "model.labels=a,b",
            "model.num_classes=2",
        ],
    )
    config = experiment.resolve(config)
    assert config.model.position_grid == (5, 5)
    assert config.model.layer_norm_epsilon == 1e-12
    tagger = experiment.build_model(config)
    _initial_weights.load_encoder(tagger, str(tmp_path / "pixel"))
    table = tagger.backbone.position_embedding.table
    assert table.trainable  # as PIXEL fine-tunes
    for old, new in zip(encoder.weights, tagger.backbone.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.num_layers=2", "model.num_layers=2 (there: 1)"),
        ("model.positions=sincos", "model.positions='sincos'"),
        ("model.channels=1", "model.channels=1 (there: 3)"),
        ("init=/no/preset", "init='/no/preset'"),
    ],
)
def test_settings_that_are_not_the_presets(preset, change, words):
    config = of_preset(preset[1], change)
    # What is set goes before what a size says.
    sized = config_lib.override(config, ["model.size=tiny", "init=none"])
    assert experiment.resolve(sized).model.hidden_dim == 8
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        experiment.resolve(config)
    assert words in str(caught.value)


@pytest.mark.slow
def test_a_run_starts_from_another_run(tmp_path):
    """Of images of another size: positions are resampled."""
    config = config_lib.override(
        recipes.get("vit_mae_digits"),
        [
            "train.steps=1",
            "train.warmup_steps=0",
            "train.batch_size=2",
            "train.jit_compile=false",
            "train.deterministic=false",
            "data.options.test_fraction=0.9",
            *(f"model.{name}={value}" for name, value in SMALL.items()),
        ],
    )
    trainer = experiment.build_trainer(config, tmp_path / "run")
    trainer.train()
    config = config_lib.override(
        recipes.get("digits_vit"),
        [
            f"init={tmp_path / 'run'}",
            "model.image_shape=12,10,1",
            "model.labels=a,b",
            "model.num_classes=2",
            "model.final_norm=false",
            "model.pooled_norm=true",
            *(f"model.{name}=none" for name in SMALL),
        ],
    )
    config = experiment.resolve(config)
    assert (config.model.hidden_dim, config.model.mlp_dim) == (8, 11)
    model = experiment.build_model(config)
    assert "step 1 of" in _initial_weights.load_encoder(
        model, str(tmp_path / "run")
    )
    table = trainer.model.encoder.position_embedding.table
    expected = pixmodels.positions.resample_positions(
        np.asarray(table), (4, 4), (6, 5), 1, "bicubic"
    )
    np.testing.assert_allclose(
        model.backbone.position_embedding.table, expected, rtol=1e-6
    )
