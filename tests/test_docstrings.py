"""The examples of docstrings run."""

import doctest
import importlib
import re

import keras
import numpy as np
import pytest

import pixmodels
import pixmodels.renderers
import pixmodels.tasks

ROOMS = {
    "pixmodels": "pixmodels",
    "renderers": "pixmodels.renderers",
    "tasks": "pixmodels.tasks",
    "saved_models": "pixmodels.saved_models",
    "training": "pixmodels.training",
}


def _modules(root):
    for folder, package in ROOMS.items():
        for path in sorted((root / folder).rglob("*.py")):
            if ">>>" in path.read_text("utf-8"):
                parts = path.relative_to(root / folder).with_suffix("").parts
                yield ".".join([package, *parts])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="they print TensorShape"
)
def test_examples(root):
    names = list(_modules(root))
    assert len(names) > 5
    for name in names:
        module = importlib.import_module(re.sub(r"\.__init__$", "", name))
        result = doctest.testmod(
            module,
            extraglobs={
                "pixmodels": pixmodels,
                "CairoRenderer": pixmodels.renderers.CairoRenderer,
                "np": np,
            },
        )
        assert result.failed == 0, name
