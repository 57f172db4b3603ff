"""The default stack draws the Declaration of Human Rights in 354 languages."""

import tarfile

import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers._clean import clean
from pixmodels.renderers._unicode import graphemes


@pytest.fixture(scope="module")
def texts(shared):
    """Code -> list of lines."""
    found = {}
    with tarfile.open(shared("data/udhr/udhr_shared.tar.xz")) as archive:
        for member in archive:
            name = member.name.removeprefix("udhr/").removesuffix(".txt")
            content = archive.extractfile(member).read().decode("utf-8")
            found[name] = content.splitlines()
    assert len(found) == 354
    return found


def test_every_cluster_has_a_font(renderer, texts):
    stack = renderer.font_stack
    missing = {}
    for name, lines in texts.items():
        clusters = set()
        for line in lines:
            clusters.update(graphemes(clean(line)[0]))
        for cluster in clusters:
            if not stack.covers(stack.font_for(cluster), cluster):
                missing.setdefault(name, set()).add(cluster)
    assert missing == {}


def test_han_of_vietnam(renderer):
    """Characters that only the last font of the stack has."""
    text = "\U00024be8\U0002ae1d"
    batch = renderer([text])
    assert batch.missing == [()]
    found = renderer.font_stack.font_for(text[0])
    assert renderer.font_stack.names[found] == "HanaMinB.ttf#0"


@pytest.mark.slow
def test_nothing_is_missing_in_the_drawing(renderer, texts):
    wide = CairoRenderer(renderer.font_stack, max_patches=1999)
    for name, lines in texts.items():
        for start in range(0, len(lines), 64):
            batch = wide(lines[start : start + 64])
            assert set(batch.missing) <= {()}, name
            assert set(batch.truncated) <= {None}, name
