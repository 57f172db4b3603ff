"""Tasks: data, preprocessing, a head on a backbone, loss and metrics.

Here: classifiers and the readers and builders of their data sets. Not here:
layers and backbones (`pixmodels`), drawing (`pixmodels.renderers`), device
strategies and the step loop (`pixmodels.training`), export
(`pixmodels.saved_models`)."""

import importlib
import sys

import wrapt

# Name -> the module of this package that holds it; loaded when first used, so
# that processes which only read and draw data import no keras.
_DATA = {
    "Answer": "answer",
    "BaselineResult": "baselines",
    "CLDRNames": "cldr_names",
    "CorpusSource": "corpus_source",
    "DecodedImageSource": "decoded_image_source",
    "DependencyTree": "dependency_tree",
    "Digits": "digits",
    "DrawnTextSource": "drawn_text_source",
    "ImageFolder": "image_folder",
    "ImageSource": "image_source",
    "LabelledQuestion": "labelled_question",
    "LabelledSentence": "labelled_sentence",
    "LabelledText": "labelled_text",
    "MaskedSource": "masked_source",
    "RenderedQuestionSource": "rendered_question_source",
    "RenderedTextSource": "rendered_text_source",
    "RenderedWordSource": "rendered_word_source",
    "TFDSExamples": "tfds_examples",
    "TextField": "text_field",
    "TextFiles": "text_files",
    "TextLengths": "text_lengths",
    "label_patches": "_words",
    "load_image": "images",
    "majority_class": "baselines",
    "ngram_logistic_regression": "baselines",
    "read_conllu": "conllu",
    "read_questions": "squad",
    "read_table": "tables",
    "read_tagged": "tagged_words",
}
_MODELS = {
    "DependencyParser": "dependency_parser",
    "ImageClassifier": "image_classifier",
    "QuestionAnswerer": "question_answerer",
    "Task": "task",
    "TextClassifier": "text_classifier",
    "TextRegressor": "text_regressor",
    "TextTask": "text_task",
    "TokenClassifier": "token_classifier",
    "layer_lr_multipliers": "layer_decay",
}
_EXPORTS = _DATA | _MODELS
# Modules that import keras: where one has begun to load, it goes first.
_HOMES = ("_classification", "_pooled_text", "_reading", *_MODELS.values())

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODELS:
        # One model brings all: `keras.saving` finds registered classes only.
        importlib.import_module("keras")
    module = importlib.import_module(f"{__name__}.{_EXPORTS[name]}")
    return getattr(module, name)


def __dir__():
    return sorted({*globals(), *__all__})


@wrapt.when_imported("pixmodels.models")
def _register(_):
    """Whichever comes first, this package or keras: the classes are found.

    Keras brings `pixmodels.models`, whose classes these are made of.
    """
    if not any(f"{__name__}.{home}" in sys.modules for home in _HOMES):
        for home in dict.fromkeys(_MODELS.values()):
            importlib.import_module(f"{__name__}.{home}")
