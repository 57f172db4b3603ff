"""Files of labelled text as data sets that a config may name.

Here: options of a config to readers, labels, sources and scores. Not here:
the formats (`pixmodels.tasks.read_*`), the table of names (`_datasets`).
"""

import functools
import inspect

from pixmodels.training import _settings

_OF_CLASSES = ("accuracy", "macro_f1", "matthews")


def row_shape(config):
    """(P, P * N, C): the image of the longest text of a config."""
    height, width = config.model.patch_sides()
    channels = config.model.filled().channels
    return (height, width * config.renderer.max_patches, channels)


class LabelledFiles:
    """What data sets in files of text share.

    Options: `paths`, a folder or a file for each split; `limit`, examples of
    a split that are read (all by default); those of the reader; and those of
    the subclass.
    """

    reader = None  # name of a function of `pixmodels.tasks`
    suffixes = ()
    own_options = {}  # name -> default

    def __init__(self, config):
        from pixmodels import tasks
        from pixmodels.tasks import _text_files

        self.kind = config.model.kind
        self._read = getattr(tasks, self.reader)
        known = [
            name
            for name in list(inspect.signature(self._read).parameters)[1:]
            if name not in self._fixed_options()
        ]
        options = {"paths": None, "limit": None, **self.own_options}
        given = config.data.options
        _settings.check_options(given, [*options, *known], "data.options")
        self._reader_options = {k: v for k, v in given.items() if k in known}
        options |= {k: v for k, v in given.items() if k in options}
        if options["paths"] is None:
            raise ValueError(
                "Expected data.options.paths, a folder or a file for each "
                "split (data.options.paths.train=FILE). Received: none"
            )
        self._reader_options.update(self._fixed_options())
        self.options = options
        self._examples = {}
        self._files = _text_files.find_splits(options["paths"], self.suffixes)
        self.splits = tuple(self._files)
        self.labels = self._labels()

    def examples(self, split):
        """The examples of a split, in the order of its files."""
        if split not in self._examples:
            found = [
                example
                for path in self._files[split]
                for example in self._read(path, **self._reader_options)
            ]
            self._examples[split] = found[: self.options["limit"]]
        return self._examples[split]

    def _fixed_options(self):
        """Options of the reader that follow from the model."""
        return {}

    def image_shape(self, config):
        """(P, P * N, C) of the longest text."""
        return row_shape(config)

    def _labels(self):
        """Names of the classes; () where there are none."""
        raise NotImplementedError

    def source(self, config, split, renderer):
        """One split, drawn."""
        raise NotImplementedError

    @property
    def score_names(self):
        """The keys of what `scores` returns, before there is a model."""
        raise NotImplementedError

    def scores(self, config, split, renderer, model):
        """What a model's answers on a split are worth: dict of floats."""
        raise NotImplementedError

    def label_id(self, label, file, line):
        """The number of a label.

        Raises:
            ValueError: if it does not occur in training; file and line are
                named.
        """
        if label in self._ids:
            return self._ids[label]
        raise ValueError(
            f"Expected a label that occurs in training (or name all: "
            f"data.options.labels=[...]): {', '.join(self.labels)}."
            f"{_settings.nearest(label, self.labels)} "
            f"Received: {file}:{line}: {label!r}"
        )

    @functools.cached_property
    def _ids(self):
        return {label: i for i, label in enumerate(self.labels)}


class _Sentences(LabelledFiles):
    """Sentences of labelled words."""

    own_options = {"labels": None}

    def _labels(self):
        if self.options["labels"] is not None:
            return tuple(map(str, self.options["labels"]))
        parse = self.kind == "dependency_parser"
        fixed = self._fixed_labels()
        if fixed is not None:
            return fixed
        names = {
            name
            for example in self.examples("train")
            for name in (example.relations if parse else example.tags)
        }
        return tuple(sorted(names - {None}))

    def _fixed_labels(self):
        return None

    def source(self, config, split, renderer):
        from pixmodels import tasks

        found = self.examples(split)
        words = [example.words for example in found]
        if self.kind == "token_classifier":
            tags = [self._numbers(e, e.tags) for e in found]
            return tasks.RenderedWordSource(words, renderer, tags=tags)
        return tasks.RenderedWordSource(
            words,
            renderer,
            heads=[example.heads for example in found],
            relations=[self._numbers(e, e.relations) for e in found],
        )

    def _numbers(self, example, names):
        return [
            -100 if name is None else self.label_id(name, example.file, line)
            for name, line in zip(names, example.lines, strict=True)
        ]

    @property
    def score_names(self):
        if self.kind == "dependency_parser":
            return ("uas", "las")
        if self._are_spans():
            return ("precision", "recall", "f1")
        return _OF_CLASSES

    def _are_spans(self):
        return all(name[:2] in ("O", "B-", "I-") for name in self.labels)

    def scores(self, config, split, renderer, model):
        from pixmodels.tasks import scores

        found = self.examples(split)
        words = [example.words for example in found]
        how = _how(config)
        if self.kind == "dependency_parser":
            return scores.attachment_scores(
                [example.heads for example in found],
                [example.relations for example in found],
                model.parse(words, renderer, **how),
            )
        answers = model.tag(words, renderer, **how)
        tags = [[one and one[0] for one in row] for row in answers]
        if self._are_spans():
            return scores.span_scores([e.tags for e in found], tags)
        pairs = [
            (gold, guess)
            for example, row in zip(found, tags)
            for gold, guess in zip(example.tags, row)
            if gold is not None
        ]
        # A word that was cut off is wrong: it is of a class of its own.
        return scores.class_scores(
            [self._ids[gold] for gold, _ in pairs],
            [self._ids.get(guess, -1) for _, guess in pairs],
        )


class CoNLLU(_Sentences):
    """Treebanks: tags or trees."""

    reader = "read_conllu"
    suffixes = (".conllu",)

    def _fixed_labels(self):
        from pixmodels.tasks import conllu

        if self.kind == "dependency_parser":
            plain = not self._reader_options.get("subtypes", False)
            return conllu.RELATIONS if plain else None
        universal = self._reader_options.get("tags", "upos") == "upos"
        return conllu.UPOS if universal else None


class TaggedWords(_Sentences):
    """A word and a tag a line."""

    reader = "read_tagged"
    suffixes = (".txt", ".tsv", ".conll", ".bio", ".iob", ".iob2")


class Table(LabelledFiles):
    """Texts or pairs of texts with a label each."""

    reader = "read_table"
    suffixes = (".tsv", ".csv", ".jsonl")
    own_options = {"labels": None}

    @property
    def _numbers(self):
        return self.kind == "text_regressor"

    def _fixed_options(self):
        return {"numbers": self._numbers}

    def _labels(self):
        if self._numbers:
            return ()
        if self.options["labels"] is not None:
            return tuple(map(str, self.options["labels"]))
        return tuple(sorted({e.label for e in self.examples("train")}))

    def source(self, config, split, renderer):
        from pixmodels import tasks

        found = self.examples(split)
        return tasks.RenderedTextSource(
            [example.text for example in found],
            renderer,
            labels=self._values(found),
        )

    def _values(self, found):
        if self._numbers:
            return [float(example.label) for example in found]
        return [self.label_id(e.label, e.file, e.line) for e in found]

    @property
    def score_names(self):
        if self._numbers:
            return ("mean_squared_error", "pearson", "spearman")
        return _OF_CLASSES

    def scores(self, config, split, renderer, model):
        from pixmodels.tasks import scores

        found = self.examples(split)
        texts, how = [example.text for example in found], _how(config)
        if self._numbers:
            return model.score(texts, self._values(found), renderer, **how)
        logits = model.predict_texts(texts, renderer, **how)
        return scores.class_scores(self._values(found), logits.argmax(axis=-1))


class Questions(LabelledFiles):
    """Questions on contexts; windows are PIXEL's share of the length.

    Options: `stride` and `question_patches`, see `CairoRenderer.windows`;
    `max_answer_patches`; `null_threshold`, see `QuestionAnswerer.answer`;
    `unit` of the scores, "words" or "characters".
    """

    reader = "read_questions"
    suffixes = (".json",)
    own_options = {
        "stride": None,
        "question_patches": None,
        "max_answer_patches": 30,
        "null_threshold": None,
        "unit": "words",
    }

    def _labels(self):
        return ()

    def _windows(self, config):
        length = config.renderer.max_patches
        stride, asked = self.options["stride"], self.options["question_patches"]
        return {
            "num_patches": length,
            "stride": int(0.4 * length) if stride is None else stride,
            "question_patches": asked or int(0.32 * length),
        }

    def source(self, config, split, renderer):
        from pixmodels import tasks

        found = self.examples(split)
        return tasks.RenderedQuestionSource(
            [(example.question, example.context) for example in found],
            renderer,
            answers=[(*example.answers, None)[0] for example in found],
            **self._windows(config),
        )

    score_names = ("exact", "f1")

    def scores(self, config, split, renderer, model):
        from pixmodels.tasks import scores

        found = self.examples(split)
        answers = model.answer(
            [example.question for example in found],
            [example.context for example in found],
            renderer,
            max_answer_patches=self.options["max_answer_patches"],
            null_threshold=self.options["null_threshold"],
            **self._windows(config),
            **_how(config),
        )
        texts = [best[0].text if best else "" for best in answers]
        return scores.answer_scores(
            [example.texts for example in found], texts, self.options["unit"]
        )


def _how(config):
    """How a model reads: its batches and lengths, compiled or not."""
    # Keras would spread a compiled prediction over the replicas.
    alone = config.train.strategy in ("one_device", "none")
    return {
        "batch_size": config.train.batch_size,
        "buckets": config.data.buckets or None,
        "compiled": config.train.jit_compile and alone,
    }
