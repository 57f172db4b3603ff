import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.training import _pictures
from pixmodels.training import _report

RESULTS = {
    "seconds": 61.0,
    "overrides": ["train.steps=3"],
    "gallery": {"sentences": 17, "scripts": 13},
    "data": {
        "babel": "2.18.0",
        "names": 101,
        "distinct_names": 97,
        "locales": 7,
        "unlabelled": 89,
        "in_one_locale": 83,
        "train": 61,
        "test": 11,
        "scripts": {"Latn": ["en", "fr"], "Grek": ["el"]},
    },
    "pretrain": {
        "parameters": 12_345,
        "steps": 3,
        "seconds": 5.0,
        "validation": {"loss": 0.75},
    },
    "baselines": {
        "majority": {"name": "majority class", "accuracy": 0.01},
        "ngrams": {"name": "n-grams", "accuracy": 0.9, "fit_seconds": 7.0},
    },
    "from_scratch": {"test": {"accuracy": 0.5}, "seconds": 11.0},
    "finetune": {"test": {"accuracy": 0.625}, "seconds": 13.0},
    "digits": {
        "test": {"accuracy": 0.975},
        "seconds": 17.0,
        "parameters": 1013,
    },
    "exports": {"text": {"path": "a/b", "largest_difference": 1e-7}},
    "versions": {"python": "3.11"},
    "configs": {"pretrain": {"name": "x"}},
}


def test_report_names_every_number():
    text = _report.markdown(RESULTS)
    for part in (
        "1.0 minutes with train.steps=3",
        "17 sentences in 13 scripts",
        "![gallery](gallery.png)",
        "(reconstruction.png)",
        "0.7500",
        "| majority class | 1.00 % | 0 |",
        "| 90.00 % | 7 |",
        "not pre-trained | 50.00 % | 11 |",
        "pre-trained | 62.50 % | 13 |",
        "97.50 %",
        "| text | `a/b` | 1e-07 |",
        "Latn (2), Grek (1)",
        "python 3.11",
        '{"name": "x"}',
    ):
        assert part in text, part
    assert "62.50 %" in _report.summary(RESULTS)
    assert "7 locales" in _report.summary(RESULTS)


def test_versions():
    found = _report.versions()
    assert {"python", "pixmodels", "keras", "cairo", "cores"} <= set(found)


def test_reconstructions():
    rng = np.random.default_rng(3)
    stages = ("original", "masked", "reconstructed")
    pictures = {k: rng.random((2, 16, 48, 1)) for k in stages}
    page = _pictures.reconstructions(
        pictures, ["en", "el"], CairoRenderer(), scale=1, gap=5
    )
    pixels = np.asarray(page)
    height = 2 * (3 * 17 + 5) + 5
    assert pixels.shape[0] == height
    # The last stage of the last text stands at the lower right.
    found = pixels[5 + 56 + 34 : 5 + 56 + 34 + 16, -48 - 5 : -5]
    expected = np.round(255 * pictures["reconstructed"][1, ..., 0])
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="2 captions"):
        _pictures.reconstructions(pictures, ["en"], CairoRenderer())
