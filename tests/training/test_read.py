"""`pixmodels read`: what `pixmodels render` drew, as text again."""

import numpy as np
import pytest

from pixmodels.training import main as main_lib


def run(*argv):
    return main_lib.main(list(argv))


@pytest.fixture(autouse=True)
def renders():
    """Skips where no renderer can be made."""
    from pixmodels.renderers import CairoRenderer

    try:
        CairoRenderer()
    except (ImportError, FileNotFoundError) as error:
        pytest.skip(str(error))


def test_what_was_drawn_is_printed(tmp_path, capsys):
    path = str(tmp_path / "drawn.png")
    texts = ["Reading is seeing.", "two rows, 3 words"]
    assert run("render", *texts, "-o", path) == 0
    assert run("read", path) == 0
    assert capsys.readouterr().out.splitlines() == texts


def test_other_settings(tmp_path, capsys):
    path = str(tmp_path / "drawn.png")
    text = "слова на местах"
    options = ["--font-size", "9", "--layout", "words"]
    assert run("render", text, "-o", path, *options) == 0
    assert run("read", path, "--script", "Cyrl", *options) == 0
    assert run("read", path, "--characters", "слованметх ", *options) == 0
    assert capsys.readouterr().out.splitlines() == [text, text]


def test_mistakes(tmp_path, capsys):
    from PIL import Image

    path = str(tmp_path / "odd.png")
    Image.fromarray(np.zeros((17, 32), np.uint8)).save(path)
    assert run("read", path) == 2
    assert "whole patches" in capsys.readouterr().err
    assert run("read", str(tmp_path / "none.png")) == 2
    assert run("read", path, "--script", "Arab") == 2
