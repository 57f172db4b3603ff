"""Fine-tuning of PIXEL on language tasks (Rust et al. 2023, section 4).

The settings are those of xplip/pixel, `.github/FINETUNING.md`: dropout 0.1,
100 steps of warm-up, linear decay, no weight decay, clipping at norm 1,
evaluation every 500 steps, early stopping after five evaluations without a
better one. bfloat16 stands for the original's float16. Positions are the
front of the 23 x 23 table of pre-training, and are trained. Texts are drawn at
a few lengths (`data.buckets`), not all at the greatest, which changes no
logit. The bigrams variant is `--set renderer.layout=bigrams`.
"""

import dataclasses

from pixmodels.training.config import DataConfig
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.config import ModelConfig
from pixmodels.training.config import RendererConfig
from pixmodels.training.config import TrainConfig
from pixmodels.training.recipes._registry import recipe

_BUCKETS = (32, 64, 96, 128, 160)


def _finetune(name, kind, data, length, metric, train, baseline="pangocairo"):
    buckets = tuple(b for b in _BUCKETS if b < length) + (length,)
    model = {"pooling": "mean"} if kind.startswith("text") else {}
    return ExperimentConfig(
        name=name,
        task="finetune",
        model=ModelConfig(
            kind=kind,
            size="base",
            channels=3,
            max_patches=length,
            position_grid=(23, 23),
            trainable_positions=True,
            dropout_rate=0.1,
            attention_dropout=0.1,
            **model,
        ),
        data=DataConfig(buckets=buckets, **data),
        renderer=RendererConfig(max_patches=length, baseline=baseline),
        train=TrainConfig(
            **{
                "steps": 15_000,
                "batch_size": 64,
                "warmup_steps": 100,
                "schedule": "linear",
                "weight_decay": 0.0,
                "global_clipnorm": 1.0,
                "dtype": "mixed_bfloat16",
                "eval_every": 500,
                "keep_best": 1,
                "early_stopping": 5,
                "best_metric": metric,
                "best_mode": "max",
                **train,
            }
        ),
    )


@recipe
def pixel_base_pos():
    """Part-of-speech tags of Universal Dependencies.

    Command: `pixmodels finetune --config pixel_base_pos --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=TREEBANK`, a
    folder with `*-train.conllu`, `*-dev.conllu` and `*-test.conllu`.
    Hardware: one accelerator. Not yet run. Of the original: accuracy 96.7 %
    on UD English-EWT.
    """
    return _finetune(
        "pixel_base_pos",
        "token_classifier",
        {"name": "conllu"},
        256,
        "accuracy",
        {"learning_rate": 5e-5},
    )


@recipe
def pixel_base_parsing():
    """Dependency trees of Universal Dependencies.

    Command: `pixmodels finetune --config pixel_base_parsing --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=TREEBANK`, as
    `pixel_base_pos`.
    Hardware: one accelerator. Not yet run. Of the original: LAS 88.7 % on UD
    English-EWT.
    """
    return _finetune(
        "pixel_base_parsing",
        "dependency_parser",
        {"name": "conllu"},
        256,
        "las",
        {"learning_rate": 8e-5},
    )


@recipe
def pixel_base_ner():
    """Named entities, as of CoNLL 2003 and MasakhaNER.

    Command: `pixmodels finetune --config pixel_base_ner --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=FOLDER`, with
    `train.txt`, `dev.txt` and `test.txt`, a word and its tag a line.
    Hardware: one accelerator. Not yet run. Of the original: F1 79.8 % on
    MasakhaNER's Swahili.
    """
    return _finetune(
        "pixel_base_ner",
        "token_classifier",
        {"name": "tagged_words"},
        196,
        "f1",
        {"learning_rate": 5e-5},
    )


@recipe
def pixel_base_glue():
    """A label for a sentence or a pair, as in GLUE (SST-2, MNLI, ...).

    Command: `pixmodels finetune --config pixel_base_glue --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=SST-2 --set
    data.options.text=sentence` (and `data.options.pair=` the second
    sentence's column).
    Hardware: one accelerator. Not yet run. Of the original: accuracy 89.6 %
    on SST-2. PIXEL's authors draw GLUE with PyGame, as here, and advise
    another seed where a run does not get off the ground.
    """
    return _finetune(
        "pixel_base_glue",
        "text_classifier",
        {"name": "table", "options": {"strip": True}},
        256,
        "accuracy",
        {"learning_rate": 3e-5, "batch_size": 256},
        baseline="pygame",
    )


@recipe
def pixel_base_sts():
    """A number for a pair of sentences, as in GLUE's STS-B.

    Command: `pixmodels finetune --config pixel_base_sts --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=STS-B --set
    data.options.text=sentence1 --set data.options.pair=sentence2 --set
    data.options.label=score`.
    Hardware: one accelerator. Not yet run. Of the original: 81.1 (Spearman's
    correlation, %).
    """
    return _finetune(
        "pixel_base_sts",
        "text_regressor",
        {"name": "table", "options": {"strip": True}},
        256,
        "spearman",
        {"learning_rate": 3e-5, "batch_size": 256},
        baseline="pygame",
    )


@recipe
def pixel_base_xnli():
    """A label for a pair in many languages, trained on translations (XNLI).

    Command: `pixmodels finetune --config pixel_base_xnli --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=XNLI --set
    data.options.text=premise --set data.options.pair=hypothesis`; all
    languages' rows in one file a split.
    Hardware: one accelerator. Not yet run.
    """
    config = _finetune(
        "pixel_base_xnli",
        "text_classifier",
        {"name": "table"},
        196,
        "accuracy",
        {
            "learning_rate": 2e-5,
            "batch_size": 256,
            "steps": 50_000,
            "warmup_steps": 1000,
        },
    )
    return _replaced(config, pooling="cls")


@recipe
def pixel_base_snli():
    """A label for a pair, to be attacked with noise later (SNLI).

    Command: `pixmodels finetune --config pixel_base_snli --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=SNLI --set
    data.options.text=sentence1 --set data.options.pair=sentence2 --set
    data.options.label=gold_label`.
    Hardware: one accelerator. Not yet run.
    """
    return _finetune(
        "pixel_base_snli",
        "text_classifier",
        {"name": "table"},
        324,
        "accuracy",
        {"learning_rate": 1e-5},
    )


@recipe
def pixel_base_qa():
    """Answers to questions in their contexts (SQuAD, TyDi QA, JaQuAD, ...).

    Command: `pixmodels finetune --config pixel_base_qa --set
    init=hf://Team-PIXEL/pixel-base --set data.options.paths=FOLDER`, with
    `train.json` and `dev.json` in SQuAD's format; `--set
    data.options.unit=characters` scores Japanese and Korean as their own
    scripts do.
    Hardware: one accelerator. Not yet run. Of the original: F1 81.4 % on
    SQuAD 1.1, 59.6 % on TyDi QA's English.
    """
    return _finetune(
        "pixel_base_qa",
        "question_answerer",
        {
            "name": "questions",
            "options": {
                "stride": 160,
                "question_patches": 128,
                "max_answer_patches": 30,
            },
        },
        400,
        "f1",
        {"learning_rate": 7e-5, "batch_size": 32, "steps": 20_000},
    )


def _replaced(config, **model):
    model = dataclasses.replace(config.model, **model)
    return dataclasses.replace(config, model=model)
