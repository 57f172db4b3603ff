"""Pictures and steps of a reader beside what the renderer draws."""

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers._read_alphabet import SCRIPTS
from pixmodels.renderers._read_alphabet import default_characters
from pixmodels.renderers._read_bidi import orders
from pixmodels.renderers._read_pairs import NEVER
from pixmodels.renderers._read_tokens import Tokens


def make(renderer, characters):
    return Tokens(
        renderer._shaper,
        renderer.font_stack,
        renderer._baseline,
        16,
        tuple(characters),
    )


@pytest.fixture(scope="module")
def tokens(latin):
    return make(latin, string.ascii_letters + " .,:'\"-")


def test_ligatures_are_found(tokens):
    joined = {text for text in tokens.texts if len(text) > 1}
    assert {"fi", "fl", "ff", "ffi", "ffl"} <= joined


def test_every_pair_is_drawn_as_its_parts_say(latin, tokens):
    """All pairs of some tokens, by the renderer as it stands."""
    some = [n for n, text in enumerate(tokens.texts) if text in "AVTfijJr.o, W"]
    checked = 0
    for left in some:
        for right in some:
            step = int(tokens.pairs.step(left, right))
            if step < 0:
                continue
            text = tokens.texts[left] + tokens.texts[right]
            if text.endswith(" "):
                continue
            pixels = latin(text, 5).pixels[0]
            picture = np.zeros((80, 16), np.int64)
            for token, pen in ((left, 2), (right, 2 + step)):
                first = pen + tokens.lefts[token]
                ink = tokens.inks[token]
                picture[first : first + len(ink)] += ink
            end = int(latin(text, 5).num_patches[0]) * 16
            drawn = 255 - pixels[:, :end].T.astype(np.int64)
            np.testing.assert_array_equal(np.minimum(picture, 255)[:end], drawn)
            checked += 1
    assert checked > 100


def test_letters_that_join_are_no_neighbours(tokens):
    f, i = tokens.texts.index("f"), tokens.texts.index("i")
    index = tokens.pairs.index
    assert tokens.pairs.delta[index[f], index[i]] == NEVER
    joined = tokens.texts.index("fi")
    assert tokens.pairs.step(joined, i) > 0


def test_kerned_forms_of_right_to_left_letters(make_renderer):
    renderer = make_renderer("NotoSansHebrew-Regular.ttf")
    found = make(renderer, "אבגדהוזחטיכלמנסעפצקרשת")
    forms = [n for n, text in enumerate(found.texts) if text == "ר"]
    assert len(forms) > 1
    index = found.pairs.index
    yod = found.texts.index("י")
    # After a yod on its left, only one form of resh may stand.
    steps = [found.pairs.delta[index[yod], index[n]] for n in forms]
    assert sum(step != NEVER for step in steps) == 1


@pytest.mark.parametrize("code", SCRIPTS)
def test_default_characters_are_covered(renderer, code):
    found = default_characters(renderer.font_stack, [code])
    assert set(string.printable[:95]) <= set(found)
    assert renderer.font_stack.covers_text("".join(found[:500]))
    assert len(found) == len(set(found))


def test_signs_keep_the_font_before_them(renderer):
    found = make(renderer, "aあ1")
    keys = {}
    for number, text in enumerate(found.texts):
        keys.setdefault(text, []).append(number)
    assert len(keys["1"]) == 2
    after = found.allowed[found.contexts[keys["あ"][0]]]
    assert sum(after[n] for n in keys["1"]) == 1


def test_orders_of_left_to_right_text():
    assert list(orders(list("ab 12"))) == [list(enumerate("ab 12"))]


@settings(max_examples=100)
@given(st.text("אבגabc12 .,-()%:", max_size=13))
def test_orders_give_back_what_stands(text):
    """Read from what the bidirectional algorithm itself makes of a text."""
    from pixmodels.renderers import _bidi
    from pixmodels.renderers._read_bidi import MIRRORED

    levels, _ = _bidi.levels(text)
    levels = [0] * len(text) if levels is None else levels.tolist()
    order = _bidi.visual_order(levels)
    visual = [
        MIRRORED.get(text[n], text[n]) if levels[n] & 1 else text[n]
        for n in order
    ]
    found = ["".join(t for _, t in way) for way in orders(visual)]
    for way in found:
        again, _ = _bidi.levels(way)
        again = [0] * len(way) if again is None else again.tolist()
        shown = [
            MIRRORED.get(way[n], way[n]) if again[n] & 1 else way[n]
            for n in _bidi.visual_order(again)
        ]
        assert shown == visual


@pytest.mark.parametrize(
    "text",
    [
        "שלום (עולם) 50% של",
        "Hello שלום, world 12",
        "«שלום» 10-20 12:30",
        "בשנת 1,984 היו 3 ספרים.",
        "הוא אמר: (כן!)",
        "מ- AMs ל- MWP.",
    ],
)
def test_orders_of_common_lines(hebrew_order, text):
    assert hebrew_order(text) == text


@pytest.fixture
def hebrew_order():
    from pixmodels.renderers import _bidi
    from pixmodels.renderers._read_bidi import MIRRORED

    def read(text):
        levels = _bidi.levels(text)[0].tolist()
        visual = [
            MIRRORED.get(text[n], text[n]) if levels[n] & 1 else text[n]
            for n in _bidi.visual_order(levels)
        ]
        first = next(iter(orders(visual)))
        return "".join(written for _, written in first)

    return read
