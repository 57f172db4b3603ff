"""Data of one's own by `data.name`: as configs name it, without a model."""

import re

import numpy as np
import pytest
from PIL import Image
from tfds_files import item
from tfds_files import make_tfds

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import render_corpus
from pixmodels.training import Pipeline
from pixmodels.training import _datasets
from pixmodels.training import _own_data
from pixmodels.training import _settings
from pixmodels.training import recipes

LINES = [f"line {i} {'w' * (i % 7)}" for i in range(211)]


@pytest.fixture(scope="module")
def renderer():
    try:
        return CairoRenderer(max_patches=64)
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXMODELS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    make_tfds(folder)
    return folder


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n".join(LINES))
    return tmp_path / "texts"


def config(name, *changes):
    return _settings.override(recipes.get(name), list(changes))


def sources(config, renderer=None):
    data = _datasets.read(config)
    return {
        split: data.source(config, split, renderer) for split in data.splits
    }


def pipeline(config, source, workers):
    data = config.data
    return Pipeline(source, 7, 3, data.buckets, pack=data.pack, workers=workers)


def check_workers(config, source):
    """The bytes of a worker are those of this process."""
    with pipeline(config, source, 1).prefetch(1, 3) as ahead:
        for step, batch in ahead:
            wanted = pipeline(config, source, 0).batch(step)
            for name in wanted:
                np.testing.assert_array_equal(batch[name], wanted[name])


def test_texts(texts, renderer):
    c = config(
        "pixel_tiny_text",
        f"data.options.paths={texts}",
        "data.options.validation=0.1",
        "data.buckets=64",
        "renderer.max_patches=64",
        "model.max_patches=64",
    )
    assert _datasets.read(c).image_shape(c) == (16, 16 * 64, 1)
    found = sources(c, renderer)
    assert (len(found["train"]), len(found["validation"])) == (190, 21)
    read = {
        name: {source.texts[i] for i in range(len(source))}
        for name, source in found.items()
    }
    assert read["train"] | read["validation"] == set(LINES)
    assert not read["train"] & read["validation"]
    for source in found.values():
        for i in (0, len(source) - 1):
            count = renderer.widths([source.texts[i]])
            assert source.lengths[i] == count
    batch = pipeline(c, found["train"], 0).batch(0)
    assert batch["pixels"].shape == (7, 16, 16 * 64)
    assert (batch["patch_mask"].sum(1) == 16).all()
    check_workers(c, found["train"])


def test_texts_with_files_for_validation(texts, tmp_path, renderer):
    (tmp_path / "more.txt").write_text("one\n\ntwo\nthree")
    c = config(
        "pixel_tiny_text",
        f"data.options.paths={texts}",
        f"data.options.validation_paths={tmp_path / 'more.txt'}",
        "data.options.unit=paragraph",
    )
    found = sources(c, renderer)
    assert (len(found["train"]), len(found["validation"])) == (1, 2)
    assert found["validation"].texts[1] == "two\nthree"


def test_a_corpus(tmp_path, renderer):
    corpus = tmp_path / "corpus"
    render_corpus(LINES, corpus, renderer, workers=0, progress=False)
    c = config(
        "pixel_tiny_cldr",
        "data.name=corpus",
        f"data.options.path={corpus}",
        "data.options.validation=0.2",
    )
    found = sources(c, renderer)
    assert (len(found["train"]), len(found["validation"])) == (169, 42)
    with pytest.raises(ValueError, match=r"\(8, 8\) pixels.*of \(16, 16\)"):
        sources(
            _settings.override(
                c, ["model.patch_size=8", "renderer.patch_size=8"]
            )
        )


def test_images(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(9):
            pixels = np.full((11 + i, 13, 3), 20 * i, np.uint8)
            image = Image.fromarray(pixels)
            image.save(tmp_path / "images" / name / f"{i}.png")
    c = config(
        "vit_mae_images",
        f"data.options.path={tmp_path / 'images'}",
        "data.options.size=[8,12]",
        "data.options.augment=crop_flip",
        "data.options.validation=0.25",
    )
    data = _datasets.read(c)
    assert data.image_shape(c) == (8, 12, 3)
    assert data.labels == ("a", "b")
    found = sources(c)
    assert (len(found["train"]), len(found["validation"])) == (14, 4)
    assert found["train"].augment == "crop_flip"
    assert found["validation"].augment is None
    check_workers(c, found["train"])
    batch = pipeline(c, found["validation"], 0).batch(0)
    assert sorted(batch["label"][batch["weight"] > 0]) == [0, 0, 1, 1]
    other = tmp_path / "other" / "c"
    other.mkdir(parents=True)
    image.save(other / "0.png")
    with pytest.raises(ValueError, match=r"classes \('a', 'b'\).*\('c',\) in"):
        sources(
            _settings.override(
                c, [f"data.options.validation_path={other.parent}"]
            )
        )


def test_tfds(tfds_folder, renderer):
    options = (
        "data.name=tfds",
        'data.options={"dataset": "toy", "validation": "test"}',
        f"data.options.data_dir={tfds_folder}",
    )
    c = config("pixel_tiny_cldr", *options)
    found = sources(c, renderer)
    assert (len(found["train"]), len(found["validation"])) == (13, 5)
    assert found["validation"].texts[4] == item(4)["text"]
    check_workers(c, found["train"])
    c = config("cldr_language", *options)
    data = _datasets.read(c)
    assert data.labels == ("odd", "even", "other")
    batch = data.source(c, "train", renderer).get_batch([5, 3, -1])
    assert batch["label"].tolist() == [2, 0, 0]
    c = config("digits_vit", *options, "model.channels=3")
    data = _datasets.read(c)
    assert data.image_shape(c) == (7, 5, 3)
    batch = data.source(c, "train", None).get_batch([5])
    np.testing.assert_array_equal(batch["pixels"][0], item(5)["image"])
    assert batch["label"].tolist() == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], r"Expected data\.options\.paths.*--set data\.options\.paths=/my"),
        (["data.options.path=/x"], r"Did you mean 'paths'.*options\.path='/x'"),
        (["data.options.paths=/no/such"], "file or folder of texts"),
        (["data.options.validation=0"], r"share in \(0, 1\).*validation=0"),
        (["data.options.unit=word"], "unit='word'"),
        (["data.name=images"], r"data\.options\.path for data\.name='images'"),
        (["data.name=tfds"], r"data\.options\.dataset for data\.name='tfds'"),
    ],
)
def test_mistakes(texts, renderer, changes, message):
    options = [] if "paths" in message else [f"data.options.paths={texts}"]
    if any("name=" in change for change in changes):
        options = []
    if changes == ["data.options.paths=/no/such"]:
        options = []
    c = config("pixel_tiny_text", *options, *changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        sources(c, renderer)


@pytest.mark.parametrize(("count", "share"), [(2, 0.5), (7, 0.01), (997, 0.3)])
def test_held_out(count, share):
    parts = _own_data.held_out(count, share)
    both = np.concatenate([parts["train"], parts["validation"]])
    assert sorted(both) == list(range(count))
    assert len(parts["validation"]) == max(1, round(count * share))
    gaps = np.diff(parts["validation"])
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_the_page_of_the_documentation(root, tmp_path, monkeypatch, renderer):
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "input_pipeline.md").read_text("utf-8")
    for block in re.findall(r"(?s)```python\n(.*?)```", page):
        exec(compile(block, "input_pipeline.md", "exec"), {})
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (root / "docs" / link).exists(), link
    for name in re.findall(r"(?m)^\| `(\w+)` \|", page):
        assert name in _own_data.TABLE
    assert set(_own_data.TABLE) <= set(re.findall(r"`(\w+)`", page))
