"""Files of labelled text, named by a config: sources, labels and scores."""

import json

import numpy as np
import pytest

from pixmodels.training import config as config_lib
from pixmodels.training import experiment
from pixmodels.training import recipes

TREEBANK = """\
1\tBirds\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_
2\tsing\t_\tVERB\t_\t_\t0\troot\t_\t_

1\tCats\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_
2\tsleep\t_\tVERB\t_\t_\t0\troot\t_\t_
3\t.\t_\tPUNCT\t_\t_\t2\tpunct\t_\t_
"""
TAGGED = "Ruth B-PER\nsings O\n\nKisumu B-LOC\nis O\nfar O\n"
TABLE = "a\tb\ty\nred sky\tat night\t1\nno\tyes\t0\nred\tred\t1\n"
SQUAD = json.dumps(
    {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "The owl wrote a letter. " * 3,
                        "qas": [
                            {
                                "id": "1",
                                "question": "Who wrote?",
                                "answers": [
                                    {"text": "The owl", "answer_start": 0}
                                ],
                            }
                        ],
                    }
                ]
            }
        ]
    }
)
# recipe -> (suffix, contents, further options, names of the scores)
FILES = {
    "pixel_base_pos": (
        ".conllu",
        TREEBANK,
        {},
        {"accuracy", "macro_f1", "matthews"},
    ),
    "pixel_base_parsing": (".conllu", TREEBANK, {}, {"uas", "las"}),
    "pixel_base_ner": (".txt", TAGGED, {}, {"precision", "recall", "f1"}),
    "pixel_base_glue": (
        ".tsv",
        TABLE,
        {"text": "a", "pair": "b", "label": "y"},
        {"accuracy", "macro_f1", "matthews"},
    ),
    "pixel_base_sts": (
        ".tsv",
        TABLE,
        {"text": "a", "pair": "b", "label": "y"},
        {"mean_squared_error", "pearson", "spearman"},
    ),
    "pixel_base_qa": (
        ".json",
        SQUAD,
        {"stride": 3, "question_patches": 8},
        {"exact", "f1"},
    ),
}
LENGTH = 29
TINY = (
    "model.size=none",
    "model.num_layers=1",
    "model.hidden_dim=12",
    "model.num_heads=3",
    "model.mlp_dim=11",
    "model.channels=1",
    f"model.max_patches={LENGTH}",
    f"renderer.max_patches={LENGTH}",
    f"data.buckets={LENGTH}",
    "train.batch_size=2",
    "train.jit_compile=false",
    "train.dtype=float32",
)


@pytest.fixture
def config_of(tmp_path):
    def make(name, contents=None, changes=()):
        suffix, text, options, _ = FILES[name]
        for split in ("train", "dev"):
            (tmp_path / f"x-{split}{suffix}").write_text(text)
        if contents is not None:
            (tmp_path / f"x-dev{suffix}").write_text(contents)
        options = [f"data.options.{k}={v}" for k, v in options.items()]
        options.append(f"data.options.paths={tmp_path}")
        return config_lib.override(
            recipes.get(name), [*TINY, *options, *changes]
        )

    return make


@pytest.mark.parametrize("name", FILES)
def test_from_files_to_scores(name, config_of):
    config = config_of(name)
    data = experiment.read_data(config)
    config = experiment.resolve(config, data)
    sources = experiment.build_sources(config, data=data)
    model = experiment.build_model(config)
    batch = sources["train"].get_batch([0, -1], LENGTH)
    spec = model.batch_spec(2, LENGTH)
    assert {name: str(array.dtype) for name, array in batch.items()} == {
        name: dtype for name, (_, dtype) in spec.items()
    }
    assert batch["pixels"].shape == spec["pixels"][0]
    sums, counts = model.loss_sums(batch, np.array([1, 2], "int32"))
    assert np.isfinite(float(sums["loss"]))
    assert counts["loss"] > 0
    scores = experiment.scores_of(config, data, "validation")
    assert set(scores.names) == FILES[name][3]
    assert set(scores(model)) == FILES[name][3]
    # What PIXEL's authors choose the best checkpoint by is among them.
    assert config.train.best_metric in scores.names


def test_texts_that_are_cut_are_wrong_without_a_word(config_of):
    """Warnings are errors in tests; the source has named what is cut."""
    long = "Ruth B-PER\n" * 40
    config = config_of("pixel_base_ner", long)
    data = experiment.read_data(config)
    config = experiment.resolve(config, data)
    model = experiment.build_model(config)
    scores = experiment.scores_of(config, data, "validation")(model)
    assert scores["recall"] < 1


def test_labels(config_of):
    def labels(name, *changes):
        return experiment.read_data(config_of(name, None, changes)).labels

    assert len(labels("pixel_base_pos")) == 17
    assert len(labels("pixel_base_parsing")) == 37
    subtypes = "data.options.subtypes=true"
    assert labels("pixel_base_parsing", subtypes) == ("nsubj", "punct", "root")
    assert labels("pixel_base_ner") == ("B-LOC", "B-PER", "O")
    assert labels("pixel_base_glue") == ("0", "1")
    own = 'data.options.labels=["1", "0"]'
    assert labels("pixel_base_glue", own) == ("1", "0")
    assert labels("pixel_base_sts") == ()


@pytest.mark.parametrize(
    ("name", "contents", "words"),
    [
        (
            "pixel_base_ner",
            "Ruth B-PER\nsings X\n",
            ["x-dev.txt:2: 'X'", "occurs in training", "B-LOC, B-PER, O"],
        ),
        (
            "pixel_base_glue",
            "a\tb\ty\nno\tno\t2\n",
            ["x-dev.tsv:2: '2'", "data.options.labels"],
        ),
        (
            "pixel_base_parsing",
            "1\ta\t_\tX\t_\t_\t0\troto\t_\t_\n",
            ["x-dev.conllu:1: 'roto'", "Did you mean 'root'"],
        ),
    ],
)
def test_labels_that_training_lacks(name, contents, words, config_of):
    config = config_of(name, contents)
    with pytest.raises(ValueError, match="Received: ") as caught:
        experiment.build_sources(config)
    for word in words:
        assert word in str(caught.value)


def test_bad_options(config_of):
    bad = config_of("pixel_base_pos", None, ["data.options.tag=upos"])
    with pytest.raises(ValueError, match="Did you mean 'tags'"):
        experiment.read_data(bad)
    with pytest.raises(ValueError, match=r"data\.options\.paths"):
        experiment.read_data(recipes.get("pixel_base_pos"))
    limited = config_of("pixel_base_pos", None, ["data.options.limit=1"])
    data = experiment.read_data(limited)
    assert len(data.examples("train")) == 1


def test_splits_are_the_files_that_there_are(config_of):
    data = experiment.read_data(config_of("pixel_base_ner"))
    assert sorted(data.splits) == ["train", "validation"]
    with pytest.raises(ValueError, match="split='test'"):
        experiment.build_sources(config_of("pixel_base_ner"), ("test",), data)
