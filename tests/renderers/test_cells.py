"""Lines joined from drawn words beside the full path, which draws them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import Offsets
from pixmodels.renderers._cell_store import CellStore
from pixmodels.renderers._palette import Palette
from pixmodels.renderers._raster import draw
from pixmodels.renderers.samples import SAMPLES

# Words whose ink leaves their advance on the left or right, words that are
# shaped (ligatures, kerning, marks), neutral ones, and what is not joined.
WORDS = """
    just June Jj fjord of if office AV. To, VAT fi ffl Tö Ǻ nghĩ vĩ e\u0301 ạ̈
    1,234 – “so” (a) [b] — 7 € привет, мир! ёж Ї Щука д\u0438\u0306 αβγ ϋ ώς́
    日本 مرحبا नमस्ते \u0301x a\u00a0b W\u200dV ſs
""".split()
TEXTS = st.lists(st.sampled_from([*WORDS, ""]), max_size=13)


def both(renderer, texts, limit=37):
    """[(joined, full)] pixels and reports of the texts that are joined."""
    joined = renderer._joiner.lay_out(texts, limit)
    setter = renderer._setter(limit)
    pairs = [(a, setter.lay_out(text)) for text, a in zip(texts, joined) if a]
    size = renderer._baseline, renderer.patch_size, limit, renderer._palette
    return len(pairs), [
        (
            draw([layout for layout, _ in pairs], *size),
            [report(layout) for layout, _ in pairs],
        ),
        (
            draw([layout for _, layout in pairs], *size),
            [report(layout) for _, layout in pairs],
        ),
    ]


def report(layout):
    return (
        layout.num_patches,
        layout.sep_patches,
        layout.word_starts,
        tuple(layout.cuts),
        tuple(layout.missing),
    )


def assert_same(renderer, texts):
    count, (joined, full) = both(renderer, texts)
    assert joined[1] == full[1]
    np.testing.assert_array_equal(joined[0], full[0])
    return count


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_joined_is_what_the_full_path_draws(latin, first, second):
    texts = [" ".join(first), (" ".join(first), " ".join(second)), second]
    assert_same(latin, texts)


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_default_stack_joins_the_same(renderer, words):
    assert_same(renderer, [" ".join(words), words])


@pytest.mark.parametrize(
    ("patch_size", "font_size", "dpi"),
    [
        (16, 8.0, 120),
        (13, 7, 97),
        (31, 11, 131),
        (7, 3, 89),
        (11, 23, 101),
        ((23, 19), 11, 97),
    ],
)
def test_other_sizes(patch_size, font_size, dpi):
    try:
        renderer = CairoRenderer(
            ["NotoSans-Regular.ttf"],
            patch_size=patch_size,
            font_size=font_size,
            dpi=dpi,
        )
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])
    texts = [
        word if number % 2 else [word, "J", "of", word]
        for number, word in enumerate(WORDS)
    ]
    assert assert_same(renderer, texts) > 9


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.code)
def test_samples(renderer, sample):
    assert_same(renderer, [sample.text, sample.text.split()])


def test_plain_latin_and_cyrillic_are_joined(latin):
    texts = [
        "Just of June, 1902.",
        ["J", "of", "7"],
        ("Why?", "Ї"),
        "ё 1",
        "1 2",
    ]
    assert assert_same(latin, texts) == len(texts)


def test_scripts_side_by_side_are_not_joined(latin):
    assert latin._joiner.lay_out(["мир peace", "日本", ""], 37)[:2] == (
        [None, None]
    )


def test_overlong_takes_the_full_path(latin):
    texts = ["just so " * 19, ["just"] * 37, ("a", "b " * 99), ["W" * 31] * 7]
    assert latin._joiner.lay_out(texts, 23) == [None] * 4
    assert all(latin(texts, num_patches=23).truncated)


def test_cache_counts(make_renderer):
    make_renderer("NotoSans-Regular.ttf")
    renderer = CairoRenderer(["NotoSans-Regular.ttf"])
    assert renderer.cache_info()[:2] == (0, 0)
    renderer(["one two one"])
    assert renderer.cache_info()[:2] == (1, 2)
    renderer(["two one", ["two"]])
    info = renderer.cache_info()
    assert (info.hits, info.misses, info.currsize) == (4, 2, 2)


def test_cache_is_bounded(latin):
    store = CellStore(
        latin._shaper,
        latin.font_stack,
        "c",
        latin._baseline,
        16,
        Palette(),
        16,
        maxsize=5,
    )
    for word in "abcdef":
        assert store.scripts[word] == "Latn"
    store.draw()
    assert len(store.cells["Latn"]) == 7  # With the empty word.
    assert store.trim()
    assert store.cells == store.scripts == {}
    assert not store.trim()


def test_fonts_with_rules_for_the_space_are_not_joined(make_renderer):
    """Noto Sans Devanagari has a rule with the space in front."""
    assert not make_renderer(
        "NotoSansDevanagari-Regular.ttf"
    )._joiner._store.usable
    assert make_renderer("NotoSans-Regular.ttf")._joiner._store.usable


def test_no_rules_is_what_the_tables_say(latin):
    """The space of Noto Sans by fontTools' reading of the same file."""
    from fontTools.ttLib import TTFont

    font = TTFont(latin.font_stack.entry(0)[0])
    space = font.getBestCmap()[ord(" ")]
    named = set()
    for table in ("GSUB", "GPOS"):
        for lookup in font[table].table.LookupList.Lookup:
            for part in lookup.SubTable:
                part = getattr(part, "ExtSubTable", part)
                for name, value in vars(part).items():
                    if "Coverage" in name:
                        tables = value if isinstance(value, list) else [value]
                        for found in tables:
                            named.update(found.glyphs)
                    if "ClassDef" in name:
                        named.update(value.classDefs)
    assert "A" in named
    assert space not in named


def test_a_clean_pickle_draws_the_same(latin):
    import pickle

    latin(["just so"])
    other = pickle.loads(pickle.dumps(latin))
    assert other.cache_info().currsize == 0
    np.testing.assert_array_equal(
        other(["just so"]).pixels, latin(["just so"]).pixels
    )


@pytest.mark.parametrize("color_mode", ["grey", "rgb"])
def test_colours(make_renderer, color_mode):
    make_renderer("NotoSans-Regular.ttf")
    renderer = CairoRenderer(
        ["NotoSans-Regular.ttf"],
        color_mode=color_mode,
        ink="#103070",
        paper="#f0e0d0",
    )
    texts = ["just so", ["Jj", "June", "of"], ("Why?", "ё")]
    assert assert_same(renderer, texts) == 3


def test_pygame_lines_are_not_joined(make_renderer):
    make_renderer("NotoSans-Regular.ttf")
    renderer = CairoRenderer(["NotoSans-Regular.ttf"], baseline="pygame")
    assert renderer._joiner.lay_out(["just so"], 37) == [None]


@pytest.mark.parametrize("layout", ["words", "bigrams"])
@settings(max_examples=100, deadline=None)
@given(words=TEXTS)
def test_layouts_of_units(make_renderer, layout, words):
    renderer = units_renderer(make_renderer, layout)
    texts = [" ".join(words), " ".join(words[:3]), words]
    assert_same(renderer, texts)


_UNITS = {}


def units_renderer(make_renderer, layout):
    known = _UNITS
    if layout not in known:
        stack = make_renderer("NotoSans-Regular.ttf").font_stack
        known[layout] = CairoRenderer(stack, layout=layout)
    return known[layout]


@pytest.mark.parametrize("layout", ["words", "bigrams"])
def test_plain_words_are_joined_in_units(make_renderer, layout):
    renderer = units_renderer(make_renderer, layout)
    texts = ["just so  of June", " привет, мир!", "Wwww Mmmm"]
    before = renderer.cache_info()
    assert assert_same(renderer, texts) == 3
    assert assert_same(renderer, texts) == 3
    after = renderer.cache_info()
    assert after.hits > before.hits


def test_ink_that_meets_the_next_unit_is_joined(make_renderer):
    renderer = units_renderer(make_renderer, "bigrams")
    # "sw", "rw", "CR" and "RR" fill their patch and one pixel more; "j" begins
    # left of its own.
    texts = ["sweet answer", "swjam forwards swj", "CRY CORRIDOR", "aj jj rwjo"]
    assert assert_same(renderer, texts) == 4
    other = CairoRenderer(
        renderer.font_stack, layout="bigrams", ink="#345678", color_mode="rgb"
    )
    assert assert_same(other, texts) < 4


def test_what_units_cannot_join(make_renderer):
    renderer = units_renderer(make_renderer, "bigrams")
    texts = ["", " ", ["just"], ("a", "b"), "a\tb", "שלום", "x" * 99, "日本"]
    assert renderer._joiner.lay_out(texts, 97) == [None] * len(texts)
    batch = renderer(["just so"], return_offsets=True)
    np.testing.assert_array_equal(batch.pixels, renderer(["just so"]).pixels)


@settings(max_examples=100, deadline=None)
@given(first=TEXTS, second=TEXTS)
def test_offsets_of_joined_lines(latin, first, second):
    texts = [" ".join(first), (" ".join(first), " ".join(second)), second]
    joined = latin(texts, 97, return_offsets=True)
    setter = latin._setter(97)
    parts = [(texts[0],), texts[1], second]
    full = Offsets([setter.lay_out(text) for text in texts], parts, 97, 16)
    np.testing.assert_array_equal(joined.offsets.table, full.table)
    np.testing.assert_array_equal(joined.offsets.going_on, full.going_on)
    all_joined = latin(texts[:2], 97, return_offsets=True).offsets
    np.testing.assert_array_equal(all_joined.table, full.table[:2])
    np.testing.assert_array_equal(all_joined.going_on, full.going_on[:2])
    for index in range(3):
        for patch in range(0, 97, 7):
            found = joined.locate(index, patch, 96)
            assert found == full.locate(index, patch, 96)
    layouts = latin._joiner.lay_out(["just so"], 97, offsets=True)
    assert layouts[0].strips
    assert layouts[0].lines
