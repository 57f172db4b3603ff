"""Drawing text loads no keras; keras finds our classes all the same."""

import subprocess
import sys

import marks
import pytest

# Each order of imports is a process of its own, of about eight seconds.
QUICK = (
    "import pixmodels, keras",
    "import pixmodels.attention; import keras",
    "import pixmodels.tasks; import pixmodels.layers",
    "from pixmodels.tasks import TextClassifier",
)
REGISTERED = (
    "print('pixmodels>ViTBackbone' in keras.saving.get_custom_objects())"
)


def _run(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "pixmodels",
        "pixmodels.renderers",
        "pixmodels.training",
        "pixmodels.tasks; pixmodels.tasks.RenderedWordSource",
    ],
)
def test_loads_no_keras(module, tmp_path):
    code = f"import sys; import {module}; print('keras' in sys.modules)"
    assert _run(code, tmp_path) == ["False"]


@pytest.mark.parametrize(
    "imports",
    marks.but_slow(
        [
            "import pixmodels, keras",
            "import keras, pixmodels",
            "import pixmodels.attention; import keras",
            "import pixmodels.layers.dropout; import keras",
            "from pixmodels import random; import keras",
            "import pixmodels.renderers; import keras",
            "import pixmodels.tasks; import keras",
        ],
        QUICK,
    ),
)
def test_keras_finds_the_classes(imports, tmp_path):
    assert _run(f"{imports}; {REGISTERED}", tmp_path) == ["True"]


@pytest.mark.parametrize(
    "imports",
    marks.but_slow(
        [
            "import pixmodels.tasks; import keras",
            "import keras; import pixmodels.tasks",
            "import pixmodels.tasks; import pixmodels.layers",
            "import pixmodels.tasks; from pixmodels import random",
            "from pixmodels.tasks import TextClassifier",
        ],
        QUICK,
    ),
)
def test_keras_finds_the_tasks(imports, tmp_path):
    code = (
        f"{imports}; import keras; "
        "print('pixmodels>TokenClassifier' in "
        "keras.saving.get_custom_objects())"
    )
    assert _run(code, tmp_path) == ["True"]


def test_names():
    import pixmodels

    assert set(pixmodels.__all__) <= set(dir(pixmodels))
    for name in pixmodels.__all__:
        assert getattr(pixmodels, name) is not None
    with pytest.raises(AttributeError, match="VitBackbone"):
        pixmodels.VitBackbone  # noqa: B018
