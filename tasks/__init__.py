"""Tasks: data, preprocessing, a head on a backbone, loss and metrics.

Here: classifiers and the readers and builders of their data sets. Not here:
layers and backbones (`pixmodels`), drawing (`pixmodels.renderers`), device
strategies and the step loop (`pixmodels.training`), export
(`pixmodels.saved_models`)."""

from pixmodels.tasks.answer import Answer
from pixmodels.tasks.baselines import BaselineResult
from pixmodels.tasks.baselines import majority_class
from pixmodels.tasks.baselines import ngram_logistic_regression
from pixmodels.tasks.cldr_names import CLDRNames
from pixmodels.tasks.dependency_parser import DependencyParser
from pixmodels.tasks.dependency_tree import DependencyTree
from pixmodels.tasks.digits import Digits
from pixmodels.tasks.image_classifier import ImageClassifier
from pixmodels.tasks.image_source import ImageSource
from pixmodels.tasks.images import load_image
from pixmodels.tasks.layer_decay import layer_lr_multipliers
from pixmodels.tasks.question_answerer import QuestionAnswerer
from pixmodels.tasks.rendered_question_source import RenderedQuestionSource
from pixmodels.tasks.rendered_text_source import RenderedTextSource
from pixmodels.tasks.rendered_word_source import RenderedWordSource
from pixmodels.tasks.task import Task
from pixmodels.tasks.text_classifier import TextClassifier
from pixmodels.tasks.text_regressor import TextRegressor
from pixmodels.tasks.text_task import TextTask
from pixmodels.tasks.token_classifier import TokenClassifier
from pixmodels.tasks.token_classifier import label_patches

__all__ = [
    "Answer",
    "BaselineResult",
    "CLDRNames",
    "DependencyParser",
    "DependencyTree",
    "Digits",
    "ImageClassifier",
    "ImageSource",
    "QuestionAnswerer",
    "RenderedQuestionSource",
    "RenderedTextSource",
    "RenderedWordSource",
    "Task",
    "TextClassifier",
    "TextRegressor",
    "TextTask",
    "TokenClassifier",
    "label_patches",
    "layer_lr_multipliers",
    "load_image",
    "majority_class",
    "ngram_logistic_regression",
]
