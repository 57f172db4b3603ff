"""What is loaded when, and what is said when it is missing."""

import doctest
import subprocess
import sys

import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import _cairo_freetype
from pixmodels.renderers import _libraries
from pixmodels.renderers import cairo_renderer
from pixmodels.renderers import font_stack


def test_import_is_light():
    """Rendering workers load neither keras nor tensorflow."""
    heavy = {"cairo", "uharfbuzz", "PIL", "fontTools", "regex"}
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('pixmodels')\n"
        "sys.modules['pixmodels'] = importlib.util.module_from_spec(spec)\n"
        "import pixmodels.renderers as r\n"
        "print(*sys.modules)\n"
        "r.CairoRenderer(['NotoSans-Regular.ttf'])('text')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    if "FileNotFoundError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    first, second = map(set, map(str.split, done.stdout.splitlines()))
    assert not first & heavy
    assert not second & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("cairo", "pip install pycairo"),
        ("uharfbuzz", "pip install uharfbuzz"),
        ("regex", "pip install regex"),
        ("fontTools.unicodedata", "pip install fonttools"),
    ],
)
def test_missing_package(latin, monkeypatch, module, line):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=line):
        CairoRenderer(latin.font_stack)


def test_missing_fribidi(latin, monkeypatch):
    monkeypatch.setattr(_libraries, "_FRIBIDI", ("libnowhere.so.0",))
    _libraries.fribidi.cache_clear()
    with pytest.raises(ImportError, match="apt-get install libfribidi0"):
        CairoRenderer(latin.font_stack)
    monkeypatch.undo()
    _libraries.fribidi.cache_clear()


def test_self_check_refuses_a_face_without_ink(latin):
    font = latin._shaper.font(0).drawing
    space = latin._shaper.font(0).shaping.get_nominal_glyph(ord(" "))
    with pytest.raises(RuntimeError, match=r"Received: pycairo .* no ink"):
        _cairo_freetype.self_check(font, [space])


@pytest.mark.parametrize("module", [cairo_renderer, font_stack])
def test_examples_in_docstrings(renderer, module):
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0
