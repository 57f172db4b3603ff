"""Drawing text loads no keras; keras finds our classes all the same."""

import subprocess
import sys

import pytest

# Each order of imports is a process of its own, of about eight seconds.
slow = pytest.mark.slow
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
    [
        "import pixmodels, keras",
        pytest.param("import keras, pixmodels", marks=slow),
        "import pixmodels.attention; import keras",
        pytest.param(
            "import pixmodels.layers.dropout; import keras", marks=slow
        ),
        pytest.param("from pixmodels import random; import keras", marks=slow),
        pytest.param("import pixmodels.renderers; import keras", marks=slow),
        pytest.param("import pixmodels.tasks; import keras", marks=slow),
    ],
)
def test_keras_finds_the_classes(imports, tmp_path):
    assert _run(f"{imports}; {REGISTERED}", tmp_path) == ["True"]


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import pixmodels.tasks; import keras", marks=slow),
        pytest.param("import keras; import pixmodels.tasks", marks=slow),
        "import pixmodels.tasks; import pixmodels.layers",
        pytest.param(
            "import pixmodels.tasks; from pixmodels import random", marks=slow
        ),
        "from pixmodels.tasks import TextClassifier",
    ],
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
