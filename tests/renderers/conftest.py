"""Renderers shared by the tests of this room, and what they need installed."""

import functools

import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack
from pixmodels.renderers._segment import LAYOUTS
from pixmodels.renderers.font_stack import sha256


@functools.cache
def _renderer(*fonts):
    try:
        return CairoRenderer(FontStack(fonts or None))
    except FileNotFoundError as error:
        return str(error)


@pytest.fixture(scope="session")
def make_renderer():
    """Font names -> a shared CairoRenderer; skips where one is missing."""

    def make(*fonts):
        found = _renderer(*fonts)
        if isinstance(found, str):
            pytest.skip(found[:200])
        return found

    return make


@pytest.fixture(scope="session")
def latin(make_renderer):
    """One font, as in the reference renders."""
    return make_renderer("NotoSans-Regular.ttf")


@pytest.fixture(scope="session")
def renderer(make_renderer):
    """The default stack."""
    return make_renderer()


@pytest.fixture(scope="session")
def usable(make_renderer):
    """(fonts of environment.json, name) -> renderer of that very file."""

    def make(fonts, name):
        renderer = make_renderer(name)
        found = sha256(renderer.font_stack.entry(0)[0])
        if found != fonts[name]["sha256"]:
            pytest.skip(f"{name} is another version: SHA-256 {found}")
        return renderer

    return make


@pytest.fixture(scope="session")
def layouts(renderer):
    """Name -> renderer of the default stack in that layout."""
    return {
        name: CairoRenderer(renderer.font_stack, layout=name)
        for name in LAYOUTS
    }
