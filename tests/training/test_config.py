import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixmodels.training import ExperimentConfig
from pixmodels.training import ModelConfig
from pixmodels.training import TrainConfig
from pixmodels.training import _settings
from pixmodels.training import recipes
from pixmodels.training.config import from_dict
from pixmodels.training.config import override
from pixmodels.training.config import to_dict


@st.composite
def experiments(draw):
    heads = draw(st.integers(1, 5))
    model = {
        "num_heads": heads,
        "hidden_dim": heads * draw(st.integers(1, 7)),
        "dropout_rate": draw(st.floats(0, 0.99)),
        "attention_options": draw(
            st.dictionaries(st.text(max_size=5), st.integers() | st.none())
        ),
        "labels": draw(st.lists(st.text(max_size=4)).map(tuple)),
    }
    steps = draw(st.integers(1, 10**7))
    train = {
        "steps": steps,
        "warmup_steps": draw(st.integers(0, steps)),
        "learning_rate": draw(st.floats(1e-9, 10)),
        "global_clipnorm": draw(st.none() | st.floats(1e-3, 9)),
        "schedule": draw(st.sampled_from(("cosine", "linear", "constant"))),
        "jit_compile": draw(st.booleans()),
    }
    buckets = sorted(draw(st.sets(st.integers(1, 529))))
    return {
        "name": draw(st.text(max_size=9)),
        "init": draw(st.none() | st.text(max_size=9)),
        "model": model,
        "train": train,
        "data": {"buckets": tuple(buckets)},
    }


@given(experiments())
def test_round_trip(values):
    config = from_dict(ExperimentConfig, values)
    assert from_dict(ExperimentConfig, to_dict(config)) == config
    # Through JSON too, where tuples become lists.
    text = json.dumps(to_dict(config))
    assert from_dict(ExperimentConfig, json.loads(text)) == config
    assert _settings.differences(to_dict(config), json.loads(text)) == {}


@pytest.mark.parametrize("name", recipes.names())
def test_recipes(name, tmp_path):
    config = recipes.get(name)
    assert config.name == name
    path = tmp_path / "config.json"
    _settings.save_json(to_dict(config), path)
    assert recipes.load(str(path)) == config
    text = recipes.function(name).__doc__
    assert f"--config {name}" in text
    assert "ardware" in text


def test_pixel_base_has_the_published_settings():
    config = recipes.get("pixel_base_pretrain")
    model, train = config.model.filled(), config.train
    assert (model.num_layers, model.num_heads, model.hidden_dim) == (
        12,
        12,
        768,
    )
    assert (model.decoder_num_layers, model.decoder_hidden_dim) == (8, 512)
    assert (model.layer_norm_epsilon, model.decoder_norm_epsilon) == (
        1e-12,
        1e-5,
    )
    assert (train.steps, train.batch_size) == (1_000_000, 256)
    assert train.learning_rate == 1.5e-4
    assert train.global_clipnorm == 1.0


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("train.steps=100", "train.steps", 100),
        ("train.steps=1e4", "train.steps", 10_000),
        ("train.learning_rate=3e-4", "train.learning_rate", 3e-4),
        ("train.learning_rate=1", "train.learning_rate", 1.0),
        ("train.jit_compile=false", "train.jit_compile", False),
        ("train.global_clipnorm=none", "train.global_clipnorm", None),
        ("train.global_clipnorm=2", "train.global_clipnorm", 2.0),
        ("init=None", "init", None),
        ("init=runs/a=b", "init", "runs/a=b"),
        ("data.buckets=7,11", "data.buckets", (7, 11)),
        ("data.buckets=[7, 11]", "data.buckets", (7, 11)),
        ("data.buckets=(7,)", "data.buckets", (7,)),
        ("data.buckets=", "data.buckets", ()),
        ("renderer.fonts=a.ttf,b.ttf", "renderer.fonts", ("a.ttf", "b.ttf")),
        ("data.options={'a': 1}".replace("'", '"'), "data.options", {"a": 1}),
        ("data.options.limit=40", "data.options", {"limit": 40}),
        ("data.options.kind=x", "data.options", {"kind": "x"}),
    ],
)
def test_override(assignment, path, value):
    config = override(ExperimentConfig(), [assignment])
    for name in path.split("."):
        config = getattr(config, name)
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("assignment", "error", "words"),
    [
        (
            "train.learnin_rate=3",
            ValueError,
            ["'train.learning_rate'", "Received: train.learnin_rate='3'"],
        ),
        ("trian.steps=3", ValueError, ["'train'", "Received: trian='3'"]),
        ("train=3", ValueError, ["section train", "steps"]),
        ("train.steps.x=3", ValueError, ["train.steps to be a section"]),
        ("train.steps", ValueError, ["train.steps=100", "'train.steps'"]),
        ("train.steps=many", TypeError, ["train.steps to be int", "'many'"]),
        ("train.steps=1.5", TypeError, ["train.steps to be int"]),
        ("train.jit_compile=maybe", TypeError, ["to be bool", "'maybe'"]),
        ("data.buckets=a,b", TypeError, ["data.buckets", "tuple[int, ...]"]),
        ("train.steps=0", ValueError, ["train.steps to be at least 1"]),
        ("model.dropout_rate=1", ValueError, ["below 1.0"]),
        ("train.learning_rate=nan", TypeError, ["to be float"]),
        ("train.schedule=cosin", ValueError, ["Did you mean 'cosine'?"]),
        ("data.buckets=11,7", ValueError, ["rising order", "(11, 7)"]),
        ("model.num_heads=3", ValueError, ["multiple", "hidden_dim=128"]),
        ("task=finetune", ValueError, ["task='pretrain'"]),
    ],
)
def test_bad_overrides(assignment, error, words):
    with pytest.raises(error) as caught:
        override(ExperimentConfig(), [assignment])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"train": {"steps": "7"}}, TypeError, ["train.steps='7' (str)"]),
        ({"train": {"steps": True}}, TypeError, ["train.steps=True"]),
        ({"train": {"epsilon": 0}}, ValueError, ["train.epsilon", "above 0"]),
        ({"train": 7}, TypeError, ["settings for train", "train=7"]),
        ({"modle": {}}, ValueError, ["'model'", "modle={}"]),
        ({"data": {"buckets": [2.5]}}, TypeError, ["data.buckets=[2.5]"]),
    ],
)
def test_bad_dicts(values, error, words):
    with pytest.raises(error) as caught:
        from_dict(ExperimentConfig, values)
    for word in words:
        assert word in str(caught.value)


def test_configs_are_frozen_and_checked_when_made():
    config = TrainConfig(steps=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 8
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        TrainConfig(batch_size=0)
    assert ModelConfig(dropout_rate=0).dropout_rate == 0.0


def test_bad_config_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        recipes.load(str(tmp_path / "nothing.json"))
    path = tmp_path / "bad.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="does not parse"):
        recipes.load(str(path))
    with pytest.raises(ValueError, match="'digits_vit'"):
        recipes.load("digit_vit")
