"""A tiny data set of TensorFlow Datasets, written by its own tools."""

import numpy as np


def make_tfds(folder, name="toy", sizes=(("train", 13), ("test", 5))):
    """Writes it; examples are (image, text, label) of their number."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(7, 5, 3)),
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["odd", "even", "other"]),
        }
    )
    path = folder / name / "1.0.0"
    path.mkdir(parents=True)
    infos = []
    for split, size in sizes:
        file = path / f"{name}-{split}.array_record-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(
            str(file), "group_size:1"
        )
        records = [features.serialize_example(item(i)) for i in range(size)]
        for record in records:
            writer.write(record)
        writer.close()
        template = tfds.core.ShardedFileTemplate(
            data_dir=path,
            dataset_name=name,
            split=split,
            filetype_suffix="array_record",
        )
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[size],
                num_bytes=sum(map(len, records)),
                filename_template=template,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=path, features=features, split_infos=infos, check_data=False
    )


def item(number):
    """An example as a dict."""
    return {
        "image": np.full((7, 5, 3), 11 * number, np.uint8),
        "text": f"text ώρα {number}",
        "label": number % 3,
    }
