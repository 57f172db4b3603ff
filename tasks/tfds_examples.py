class TFDSExamples:
    """A data set of TensorFlow Datasets as a random-access source of dicts.

    Read by ArrayRecord and numpy, without TensorFlow. Pickles as names, for
    worker processes.

    Item: dict from the names of the features to what TFDS decodes them to:
    images as uint8 arrays, text as bytes of UTF-8, labels as ints.

    Args:
        name: as `tfds.builder` takes it, such as "mnist" or "glue/sst2:2.0.0";
            one that is not in the folder yet is downloaded and prepared.
        split: such as "train" or "train[:90%]".
        data_dir: folder of prepared data sets; TFDS' own by default.

    Raises:
        ImportError: if tensorflow-datasets, or what it needs, is missing.
        ValueError: if there is no such data set or split, it was prepared in
            a format without random access, or its files cannot be read.
    """

    def __init__(self, name, split, data_dir=None):
        self._open(name, split, data_dir, check=True)

    def _open(self, name, split, data_dir, check):
        self.name, self.split, self.data_dir = name, split, data_dir
        builder = _builder(name, data_dir)
        self.features = builder.info.features
        self.full_name = builder.info.full_name
        if check:
            _check_files(builder)
        self._source = _opened(builder, split)
        self._identity = [
            [info.num_examples, info.num_bytes, list(info.shard_lengths)]
            for info in builder.info.splits.values()
        ]

    def label_names(self, field):
        """Names of the classes of a feature, a tuple of str.

        Raises:
            ValueError: if there is no such feature, or it has no classes.
        """
        feature = self.features[field] if field in self.features else None
        if not hasattr(feature, "names"):
            known = [k for k, f in self.features.items() if hasattr(f, "names")]
            raise ValueError(
                "Expected a feature with classes: "
                f"{', '.join(known) or 'there is none'}. Received: "
                f"{field!r} of {self.full_name}"
            )
        return tuple(feature.names)

    def fingerprint(self):
        """str that is another one when the examples are others."""
        return f"{self.full_name} {self.split} {self._identity}"

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        number = range(len(self))[index]
        try:
            return self._source[number]
        except Exception as error:
            raise ValueError(
                f"Expected a data set that can be read. Received: example "
                f"{number} of {self.full_name}, split {self.split!r} "
                f"({type(error).__name__}: {error})"
            ) from error

    def __reduce__(self):
        return _again, (self.name, self.split, self.data_dir)

    def __repr__(self):
        return f"TFDSExamples({self.full_name!r}, {self.split!r})"


def _again(name, split, data_dir):
    """A copy of examples whose files have been checked already."""
    made = TFDSExamples.__new__(TFDSExamples)
    made._open(name, split, data_dir, check=False)
    return made


def _check_files(builder):
    """ValueError where a shard is missing, cut short or of other records."""
    from array_record.python import array_record_module

    for info in builder.info.splits.values():
        for path, count in zip(info.filepaths, info.shard_lengths):
            if ".array_record" not in path.name:
                return
            found = "no such file"
            if path.exists():
                reader = array_record_module.ArrayRecordReader(str(path))
                found = f"{reader.num_records()} records"
                # A reader of a damaged file gives empty records, and raises
                # when it is closed.
                if reader.ok() and reader.num_records() == count:
                    reader.close()
                    continue
            raise ValueError(
                f"Expected a whole file of {count} records. Received: {path} "
                f"({found}), of {builder.info.full_name}"
            )


def _builder(name, data_dir):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "Named data sets need the package tensorflow-datasets: pip "
            f"install tensorflow-datasets ({error})"
        ) from error
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.data_path.exists():
            builder.download_and_prepare(file_format="array_record")
        return builder
    except ModuleNotFoundError as error:
        raise ImportError(
            f"The data set {name!r} needs a package that is missing: pip "
            f"install {error.name}"
        ) from error
    except (tfds.core.DatasetNotFoundError, ValueError, OSError) as error:
        where = "TFDS' own folder" if data_dir is None else repr(str(data_dir))
        raise ValueError(
            "Expected a data set of TFDS, prepared or to be downloaded. "
            f"Received: {name!r} in {where} ({type(error).__name__}: "
            f"{_first_line(error)})"
        ) from error


def _opened(builder, split):
    known = ", ".join(builder.info.splits)
    try:
        source = builder.as_data_source(split)
        len(source)
        return source
    except NotImplementedError as error:
        raise ValueError(
            "Expected a data set prepared with file_format='array_record', "
            "which can be read at any place. Received: "
            f"{builder.info.full_name} in {builder.data_path} "
            f"({_first_line(error)})"
        ) from error
    except Exception as error:
        raise ValueError(
            f"Expected a split among {known}, or a part of one, in files "
            f"that can be read. Received: {split!r} of "
            f"{builder.info.full_name} in {builder.data_path} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
