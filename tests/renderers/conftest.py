"""Renderers shared by the tests of this room, and what they need installed."""

import functools

import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack


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
