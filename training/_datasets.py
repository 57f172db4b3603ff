"""`data.name` -> sources: the table of data sets that configs may name.

The data sets themselves are in `pixmodels.tasks`; a new one is a class here
and a line in the table.
"""

import inspect

from pixmodels.training import _own_data
from pixmodels.training import _settings
from pixmodels.training import _task_data
from pixmodels.training._masks import mask_settings
from pixmodels.training._masks import with_masks


class _TextNames:
    """CLDR names: unlabelled ones to pre-train on, or labelled by locale.

    `names` is the `pixmodels.tasks.CLDRNames`.
    """

    splits = ("train", "validation", "test")

    def __init__(self, config):
        from pixmodels import tasks

        # The data's own split is fixed; `train.seed` may vary over it.
        self.names = tasks.CLDRNames(**_options(config, tasks.CLDRNames))
        self.labels = self.names.labels

    def image_shape(self, config):
        """(P, P * N, C) of the longest text."""
        return _task_data.row_shape(config)

    def source(self, config, split, renderer):
        """One split, drawn."""
        from pixmodels import tasks

        settings = {"labels": None}
        if config.task == "pretrain":
            settings |= mask_settings(config.model)
            texts = (
                self.names.unlabelled
                if split == "train"
                else self.names.texts(split)
            )
        else:
            texts = self.names.texts(split)
            settings["labels"] = self.names.label_ids(split)
        return tasks.RenderedTextSource(texts, renderer, **settings)


class _Digits:
    """scikit-learn's digits; there is no validation split."""

    splits = ("train", "test")

    def __init__(self, config):
        from pixmodels import tasks

        self._digits = tasks.Digits(**_options(config, tasks.Digits))
        self.labels = self._digits.labels

    def image_shape(self, config):
        """(H, W, C) of an image."""
        channels = config.model.filled().channels
        return (*self._digits.train_images.shape[1:3], channels)

    def source(self, config, split, renderer):
        """One split."""
        from pixmodels import tasks

        digits = self._digits
        if split == "train":
            pair = digits.train_images, digits.train_labels
        else:
            pair = digits.test_images, digits.test_labels
        return with_masks(tasks.ImageSource(*pair), config)


# name -> (class, model kinds it serves)
TABLE = {
    "cldr_names": (_TextNames, ("masked_autoencoder", "text_classifier")),
    "conllu": (_task_data.CoNLLU, ("token_classifier", "dependency_parser")),
    "tagged_words": (_task_data.TaggedWords, ("token_classifier",)),
    "table": (_task_data.Table, ("text_classifier", "text_regressor")),
    "questions": (_task_data.Questions, ("question_answerer",)),
    "digits": (_Digits, ("image_classifier", "masked_autoencoder")),
    **_own_data.TABLE,
}


def read(config):
    """The data set of a config, before anything is drawn.

    Raises:
        ValueError: if the name or an option is unknown, or the data does not
            go with `model.kind`.
    """
    name, kind = config.data.name, config.model.kind
    if name not in TABLE:
        raise ValueError(
            f"Expected data.name to be one of {', '.join(TABLE)}."
            f"{_settings.nearest(name, TABLE)} Received: data.name={name!r}"
        )
    cls, kinds = TABLE[name]
    if kind not in kinds:
        raise ValueError(
            f"Expected model.kind for data.name={name!r} to be "
            f"{' or '.join(kinds)}. Received: model.kind={kind!r}"
        )
    return cls(config)


def check_split(data, split):
    """Raises ValueError if a data set has no such split."""
    if split not in data.splits:
        raise ValueError(
            f"Expected a split: {', '.join(data.splits)}."
            f"{_settings.nearest(split, data.splits)} "
            f"Received: split={split!r}"
        )


def _options(config, cls):
    """`data.options` as arguments of the class that reads the data."""
    known = inspect.signature(cls).parameters
    what = f"data.options of {cls.__name__}"
    _settings.check_options(config.data.options, known, what)
    return config.data.options
