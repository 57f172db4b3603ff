"""Data of the user's own that configs may name: texts, corpora, images, TFDS.

A class for each `data.name`; the arguments of its `read` are its
`data.options`. Not here: the table of names (`_datasets`), how a source reads
(`pixmodels.tasks`).
"""

import functools
import inspect

import numpy as np

from pixmodels.training import _settings
from pixmodels.training._masks import mask_settings
from pixmodels.training._masks import with_masks
from pixmodels.training._task_data import row_shape


class _Own:
    """Base: options, and a part of the examples held out for validation."""

    splits = ("train", "validation")

    def __init__(self, config):
        known = inspect.signature(self.read).parameters
        given = config.data.options
        name = config.data.name
        what = f"data.options for data.name={name!r}"
        _settings.check_options(given, known, what)
        for key, parameter in known.items():
            if parameter.default is parameter.empty and key not in given:
                raise ValueError(
                    f"Expected data.options.{key} for data.name={name!r}, "
                    f"such as --set data.options.{key}={self.example}. "
                    f"Received: data.options={given}"
                )
        self._config = config

    @functools.cached_property
    def _opened(self):
        """What `read` returns: opened once, for all splits."""
        return self.read(**self._config.data.options)

    def image_shape(self, config):
        """(P, P * N, C) of the longest text."""
        return row_shape(config)


class OwnText(_Own):
    """`data.name=text`: files or folders of text, drawn when asked for."""

    example = "/my/texts"

    def read(
        self,
        paths,
        unit="line",
        most_bytes=None,
        blank="skip",
        validation=0.01,
        validation_paths=None,
    ):
        """Opens the files: see `pixmodels.tasks.TextFiles`.

        Args:
            paths, unit, most_bytes, blank: of `TextFiles`.
            validation: share of the texts held out, evenly spread.
            validation_paths: files to evaluate on; none is held out then.
        """
        from pixmodels import tasks

        options = {"unit": unit, "most_bytes": most_bytes, "blank": blank}
        files = tasks.TextFiles(paths, **options)
        if validation_paths is not None:
            others = tasks.TextFiles(validation_paths, **options)
            return {"train": (files, None), "validation": (others, None)}
        parts = held_out(len(files), validation)
        return {name: (files, part) for name, part in parts.items()}

    def source(self, config, split, renderer):
        """One split; its lengths are measured, or come from the cache."""
        return drawn_source(config, *self._opened[split], renderer)


class OwnCorpus(_Own):
    """`data.name=corpus`: a folder that `render-corpus` has drawn."""

    example = "/my/corpus"

    def read(self, path, validation=0.01):
        """Opens the corpus.

        Args:
            path: its folder.
            validation: share of the texts held out, evenly spread.
        """
        from pixmodels.renderers import Corpus

        corpus = Corpus(path)
        return corpus, held_out(len(corpus), validation)

    def source(self, config, split, renderer):
        """One split."""
        from pixmodels import tasks

        corpus, parts = self._opened
        source = tasks.CorpusSource(
            corpus, indices=parts[split], **mask_settings(config.model)
        )
        wanted = tuple(config.model.patch_sides())
        size = source.patch_size
        found = size if isinstance(size, tuple) else (size, size)
        if found != wanted:
            raise ValueError(
                f"Expected a corpus of patches of {wanted} pixels, as "
                f"model.patch_size. Received: {corpus!r} of {found}"
            )
        return source


class OwnImages(_Own):
    """`data.name=images`: a folder of images, or of a folder for a class."""

    example = "/my/images"

    def __init__(self, config):
        super().__init__(config)
        self._folder, self._parts, self._options = self._opened
        self.labels = self._folder.labels

    def read(
        self,
        path,
        size=224,
        augment=None,
        validation=0.1,
        validation_path=None,
    ):
        """Lists the images.

        Args:
            path: see `pixmodels.tasks.ImageFolder`.
            size: pixels that each image is brought to, or [height, width].
            augment: of `DecodedImageSource`, for training.
            validation: share of the images held out, evenly spread.
            validation_path: folder to evaluate on; none is held out then.
        """
        from pixmodels import tasks

        channels = self._config.model.filled().channels
        mode = "L" if channels == 1 else "RGB"
        folder = tasks.ImageFolder(path, mode=mode)
        parts = {
            name: (folder, part)
            for name, part in held_out(len(folder), validation).items()
        }
        if validation_path is not None:
            other = tasks.ImageFolder(validation_path, mode=mode)
            if other.labels != folder.labels:
                raise ValueError(
                    f"Expected the classes {folder.labels} in both folders. "
                    f"Received: {other.labels} in {validation_path}"
                )
            parts = {"train": (folder, None), "validation": (other, None)}
        return folder, parts, {"size": size, "augment": augment}

    def image_shape(self, config):
        """(H, W, C) that images are brought to."""
        return image_shape(self._options["size"], config)

    def source(self, config, split, renderer):
        """One split."""
        folder, part = self._parts[split]
        return image_source(
            config, folder, part, split, self.image_shape(config), self._options
        )


class OwnTFDS(_Own):
    """`data.name=tfds`: a data set of TensorFlow Datasets."""

    example = "mnist"

    def __init__(self, config):
        super().__init__(config)
        self._parts, self._options = self._opened
        if config.task != "pretrain":
            examples, _ = self._parts["train"]
            self.labels = examples.label_names(self._options["label_field"])

    def read(
        self,
        dataset,
        data_dir=None,
        train="train",
        validation=0.01,
        field=None,
        label_field="label",
        size=None,
        augment=None,
    ):
        """Opens the data set: see `pixmodels.tasks.TFDSExamples`.

        Args:
            dataset, data_dir: its name, and the folder of prepared ones.
            train: split to train on.
            validation: split to evaluate on, or the share of `train` that is
                held out.
            field, label_field: features that hold the text or the image, and
                the label.
            size, augment: of images, as for `data.name=images`.
        """
        from pixmodels import tasks

        examples = tasks.TFDSExamples(dataset, train, data_dir)
        if isinstance(validation, str):
            others = tasks.TFDSExamples(dataset, validation, data_dir)
            parts = {"train": (examples, None), "validation": (others, None)}
        else:
            parts = {
                name: (examples, part)
                for name, part in held_out(len(examples), validation).items()
            }
        return parts, {
            "field": field,
            "label_field": label_field,
            "size": size,
            "augment": augment,
        }

    def image_shape(self, config):
        """That of the rows of text, or of the images."""
        if config.model.reads_text:
            return super().image_shape(config)
        return image_shape(self._options["size"] or self._own_size(), config)

    def _own_size(self):
        examples, _ = self._parts["train"]
        name, features = self._options["field"] or "image", examples.features
        feature = features[name] if name in features else None
        shape = getattr(feature, "shape", None) or (None,)
        if None in shape[:2]:
            raise ValueError(
                "Expected data.options.size for images that have no common "
                f"size. Received: {examples!r} with {feature}"
            )
        return list(shape[:2])

    def source(self, config, split, renderer):
        """One split."""
        examples, part = self._parts[split]
        options = self._options
        if config.model.reads_text:
            return drawn_source(config, examples, part, renderer, options)
        return image_source(
            config, examples, part, split, self.image_shape(config), options
        )


class Part:
    """Some of the examples: `examples[indices[i]]`; pickles as both."""

    def __init__(self, examples, indices):
        self.examples, self.indices = examples, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.examples[int(self.indices[index])]


def held_out(count, share):
    """Example numbers of `train` and `validation`, evenly spread.

    Raises:
        ValueError: if the share is not in (0, 1), or there are too few
            examples to share.
    """
    good = isinstance(share, int | float) and 0 < share < 1
    if not good or count < 2:
        raise ValueError(
            "Expected a share in (0, 1) of at least 2 examples for "
            f"validation. Received: data.options.validation={share!r}, "
            f"{count} example(s)"
        )
    some = min(max(1, round(count * share)), count - 1)
    # The middle of each of as many equal stretches.
    places = (np.arange(some) * 2 + 1) * count // (2 * some)
    rest = np.delete(np.arange(count), places)
    return {"train": rest, "validation": places}


def drawn_source(config, examples, part, renderer, options=None):
    """A `DrawnTextSource` of some examples, lengths from the cache."""
    from pixmodels import tasks
    from pixmodels.training.length_index import text_lengths

    options = options or {}
    settings = {"field": options.get("field")}
    # All are measured, so that one index serves all splits.
    lengths = text_lengths(
        examples,
        renderer,
        field=settings["field"],
        workers=config.data.workers,
        name=f"texts of {config.data.name}",
    )
    if part is not None:
        examples = Part(examples, part)
        lengths = lengths.of(part)
    if config.task == "pretrain":
        settings |= mask_settings(config.model)
    else:
        settings["label_field"] = options["label_field"]
    return tasks.DrawnTextSource(
        examples, renderer, lengths=lengths, **settings
    )


def image_source(config, examples, part, split, shape, options):
    """A `DecodedImageSource` of some examples, with masks if any."""
    from pixmodels import tasks

    source = tasks.DecodedImageSource(
        examples,
        shape,
        field=options.get("field") or "image",
        label_field=options.get("label_field", "label"),
        augment=options.get("augment") if split == "train" else None,
        indices=part,
    )
    return with_masks(source, config)


def image_shape(size, config):
    """(H, W, C) of `data.options.size`, an int or a pair."""
    pair = [size, size] if isinstance(size, int) else size
    good = isinstance(pair, list | tuple) and len(pair) == 2
    if not good or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(
            "Expected data.options.size as pixels or [height, width]. "
            f"Received: data.options.size={size!r}"
        )
    return (*pair, config.model.filled().channels)


# name -> (class, model kinds it serves)
TABLE = {
    "text": (OwnText, ("masked_autoencoder",)),
    "corpus": (OwnCorpus, ("masked_autoencoder",)),
    "images": (OwnImages, ("image_classifier", "masked_autoencoder")),
    "tfds": (
        OwnTFDS,
        ("masked_autoencoder", "text_classifier", "image_classifier"),
    ),
}
