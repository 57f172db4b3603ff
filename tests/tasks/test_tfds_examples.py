import pickle
import shutil

import numpy as np
import pytest
from tfds_files import item
from tfds_files import make_tfds

from pixmodels.tasks import TextField
from pixmodels.tasks import TFDSExamples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    make_tfds(folder)
    return folder


def test_examples(folder):
    examples = TFDSExamples("toy", "train", str(folder))
    assert len(examples) == 13
    for some in (examples, pickle.loads(pickle.dumps(examples))):
        for number in (12, 0, 5):
            found = some[number]
            np.testing.assert_array_equal(found["image"], item(number)["image"])
            assert found["text"].decode() == item(number)["text"]
            assert found["label"] == number % 3
    assert TextField(examples)[-1] == item(12)["text"]
    with pytest.raises(IndexError):
        examples[13]
    assert examples.label_names("label") == ("odd", "even", "other")
    half = TFDSExamples("toy", "train[:5]", str(folder))
    assert len(half) == 5
    prints = {
        TFDSExamples("toy", split, str(folder)).fingerprint()
        for split in ("train", "test", "train[:5]")
    }
    assert len(prints) == 3


def test_mistakes(folder, tmp_path):
    with pytest.raises(ValueError, match=r"'noise' in '.*not found"):
        TFDSExamples("noise", "train", str(folder))
    with pytest.raises(ValueError, match=r"among train, test.*'trian' of toy"):
        TFDSExamples("toy", "trian", str(folder))
    with pytest.raises(ValueError, match=r"classes: label\. .*'text' of toy"):
        TFDSExamples("toy", "train", str(folder)).label_names("text")


@pytest.mark.parametrize("how", ["half", "tail", "gone"])
def test_damaged_shards_are_named(folder, tmp_path, how):
    shutil.copytree(folder / "toy", tmp_path / "toy")
    [file] = (tmp_path / "toy").rglob("*-test.array_record*")
    data = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(data[: len(data) // 2] if how == "half" else data[:-9])
    with pytest.raises(ValueError, match=rf"file of 5 records.*{file.name}"):
        TFDSExamples("toy", "train", str(tmp_path))
