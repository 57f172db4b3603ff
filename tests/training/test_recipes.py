"""Every recipe, cut down to a tiny model: it builds and learns from a step."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from pixmodels.training import config as config_lib
from pixmodels.training import experiment
from pixmodels.training import recipes

TINY = (
    "model.num_layers=1",
    "model.hidden_dim=12",
    "model.num_heads=3",
    "model.mlp_dim=11",
    "model.decoder_num_layers=1",
    "model.decoder_hidden_dim=8",
    "model.decoder_num_heads=2",
    "model.decoder_mlp_dim=7",
    "train.steps=1",
    "train.warmup_steps=0",
    "train.batch_size=2",
    "train.dtype=float32",
    "train.jit_compile=false",
    "train.deterministic=false",
)
PATCHES = 19


def tiny(name):
    """A recipe with a tiny model of the same kind, resolved without data."""
    config = config_lib.override(recipes.get(name), TINY)
    changes = []
    if config.model.reads_text:
        changes += [
            f"model.max_patches={PATCHES}",
            f"renderer.max_patches={PATCHES}",
            f"data.buckets={PATCHES}",
            f"model.image_shape=16,{16 * PATCHES},1",
        ]
    else:
        side = 3 * config.model.patch_sides()[0]
        changes.append(f"model.image_shape={side},{2 * side},1")
    if config.model.kind in experiment.LABELLED:
        changes += ["model.labels=a,b,c", "model.num_classes=3"]
    changes.append("model.channels=1")
    return experiment.resolve(config_lib.override(config, changes))


def batch_of(model):
    """Random values of the shapes that a model is trained on."""
    rng = np.random.default_rng(7)
    values = {
        "num_patches": [11, 5],
        "label": 1,
        "weight": 1,
        "example_id": [3, 5],
        "head": 0,
        "relation": 2,
        "start": 2,
        "end": 4,
    }
    batch = {}
    for name, (shape, dtype) in model.batch_spec(2).items():
        if name == "pixels":
            value = rng.integers(0, 256, shape)
        elif name == "word_starts":
            value = np.arange(shape[1])[None].repeat(2, 0)
        else:
            value = np.broadcast_to(values[name], shape[::-1]).T
        batch[name] = np.array(value, dtype)
    return batch


@pytest.mark.parametrize("name", recipes.names())
def test_a_step_of_each_recipe(name):
    config = tiny(name)
    model = experiment.build_model(config)
    key = np.array([config.train.seed, 0], "int32")
    with tf.GradientTape() as tape:
        sums, counts = model.loss_sums(batch_of(model), key, training=True)
    assert counts["loss"] > 0
    weights = model.trainable_weights
    gradients = tape.gradient(sums["loss"], [w.value for w in weights])
    norms = [float(tf.norm(g)) for g in gradients if g is not None]
    assert np.isfinite([float(sums["loss"]), *norms]).all()
    assert len(norms) == len(weights)
    # A parser's biaffine weights are zero at first: nothing below moves yet.
    # Elsewhere all but a key's bias, which softmax does not see, does.
    share = 0 if config.model.kind == "dependency_parser" else 0.8
    assert sum(norm > 0 for norm in norms) > share * len(weights)


def test_each_recipe_is_in_the_documentation(root):
    page = (root / "docs" / "recipes.md").read_text()
    page, _ = page.split("## Data")
    named = re.findall(r"^\| `(\w+)`", page, re.MULTILINE)
    assert sorted(named) == sorted(recipes.names())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Of the published files: weights of encoder and decoder.
        ("pixel_base_pretrain", 112_334_080),
    ],
)
@pytest.mark.slow
def test_parameters_of_the_published_models(name, parameters):
    config = config_lib.override(
        recipes.get(name), [f"model.image_shape=16,{16 * 529},3"]
    )
    model = experiment.build_model(experiment.resolve(config))
    assert model.count_params() == parameters


def test_summaries_are_one_line_each():
    for name in recipes.names():
        line = recipes.summary(name)
        assert line.endswith(".")
        assert len(line) < 80
    assert set(recipes.names("pretrain")) | set(
        recipes.names("finetune")
    ) == set(recipes.names())


@pytest.fixture
def root():
    return pathlib.Path(__file__).resolve().parents[2]
