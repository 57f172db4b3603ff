"""The in-graph renderer against CairoRenderer, bit for bit."""

import json
import random
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels import renderers
from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import GraphRenderer
from pixmodels.renderers import _atlas_units
from pixmodels.renderers._atlas_charset import SCRIPTS
from pixmodels.renderers._atlas_charset import charset
from pixmodels.saved_models.check import check_in_new_process

# No Han and Hangul: their tables take seconds.
SMALL = ("Latn", "Grek", "Cyrl", "Geor", "Armn", "Hira", "Kana")
# NTREX files in scripts that are not claimed.
UNCLAIMED = frozenset(
    "amh arb ben fas heb hin kan khm mar mey mya nep prs pus sin tam tha tir "
    "urd".split()
)
SENTENCES = [
    "",
    " ",
    "A cat.",
    "office fluffy fff ffi ffffi affiliation flfi",
    'AVATAR Type To. "Yes," P.W. LT r. f\' (f) [j] {gj}',
    "tab\there\t\tand\t",
    "a\nline\x85break\u2028he\rre\r",
    "e\u0301te\u0301 tre\u0302\u0323s Tie\u0302\u0301ng Vie\u0323\u0302t",
    "Čeština, łódź, ñandú, ß, œuvre, İstanbul, ŵ, ɓ, ƙ, ə",
    "col·lecció l·l ŀl",
    "Ὅμηρος, άνθρωπος· Ἀθῆναι",
    "Съешь ещё (этих) мягких булок — «да»",
    "mixed: Москва (Moscow (Μόσχα)) “цитата” don’t ‘x’ [a) b]",
    "ყველა ადამიანი იბადება ᲗᲐᲕᲘᲡᲣᲤᲐᲚᲘ",
    "Բոլոր մարդիկ մնացած մեն և ոու",
    "ひらがなとカタカナー、「かっこ」とABC（あ）。",
    "か\u3099き は\u309a — あ゛ ｱｲｳ ＡＢＣ",
    "→ 1 ☃ 2 ☃1☃ ∑ x² ½ ⅓ € ₹ − 5 𝒳𝟙 ①⑳ ♫",
    "˥˩˥ ˥˥˦ —— ——— ―― 〳〵",
    "12:30 1,000.50 #42 100% a+b=c <tag> a_b^c ~ `x` \\",
    "\ufffd",
]
TEXT = st.text(st.characters(max_codepoint=0x24FF), max_size=11)
REFUSED = [
    "मनुष्य",
    "שלום",
    "سلام",
    "ไทย",
    "x\u0301\u0327\u0300",
    "\u0301",
    "nul\x00nul",
    "soft\u00adhyphen",
    "a\u200db",
    "a\r\nb",
    "1⁄2",
    "👩‍👩‍👧",
    "🇬🇷",
    "ᄒ\u1161ᆫ",
    "\u202eabc",
]


def compare(graph, cairo, texts, num_patches=None):
    """Asserts equality wherever it is claimed; returns `supported`.

    Texts are str, or all of them pairs.
    """
    found = {k: v.numpy() for k, v in graph(texts, num_patches).items()}
    expected = cairo(texts, num_patches)
    side = cairo.patch_size
    for index, text in enumerate(texts):
        pixels = found["pixels"][index]
        count = found["num_patches"][index]
        if not found["supported"][index]:
            assert count == 0
            assert (pixels == 255).all()
            continue
        assert count == expected.num_patches[index], repr(text)
        if isinstance(text, tuple):
            separators = (found["separators"][index], count)
            assert separators == expected.sep_patches[index], repr(text)
        width = (count + 1) * side
        wanted = expected.pixels[index]
        assert np.array_equal(pixels[:, :width], wanted[:, :width]), repr(text)
        assert (pixels[:, width:] == 255).all(), repr(text)
    return found["supported"]


@pytest.fixture(scope="module")
def latin_graph(latin):
    return GraphRenderer(latin)


@pytest.fixture(scope="module")
def graph(renderer):
    return GraphRenderer(renderer, scripts=SMALL)


class TestPixels:
    def test_shapes(self, latin_graph):
        batch = latin_graph(["one", "a longer text"])
        count = batch["num_patches"].numpy()
        assert batch["num_patches"].dtype == tf.int32
        assert batch["pixels"].dtype == tf.uint8
        assert batch["pixels"].shape == (2, 16, 16 * (count.max() + 1))
        assert batch["supported"].numpy().tolist() == [True, True]
        assert latin_graph(["one"], 7)["pixels"].shape == (1, 16, 112)
        assert latin_graph("one")["pixels"].shape[0] == 1

    def test_no_texts(self, latin_graph):
        batch = latin_graph([])
        assert batch["pixels"].shape == (0, 16, 16)
        assert batch["supported"].shape == (0,)

    def test_sentences(self, graph, renderer):
        assert compare(graph, renderer, SENTENCES).all()

    def test_each_sentence_alone(self, graph, renderer):
        for text in SENTENCES:
            assert compare(graph, renderer, [text]).all()

    def test_sentences_with_one_font(self, latin_graph, latin):
        supported = compare(latin_graph, latin, SENTENCES)
        assert supported.sum() >= 12

    def test_refused(self, graph, renderer):
        assert not compare(graph, renderer, REFUSED).any()
        mixed = [text for pair in zip(REFUSED, SENTENCES) for text in pair]
        supported = compare(graph, renderer, mixed)
        assert supported.tolist() == [False, True] * len(REFUSED)

    @pytest.mark.parametrize("num_patches", [2, 3, 13, 31])
    def test_cut(self, latin_graph, latin, num_patches):
        texts = ["", "short", "words and words " * 40, "W" * 4999, "i" * 83]
        texts += ["e\u0301" * 300, "a\t" * 23, "\u0301" * 5000]
        supported = compare(latin_graph, latin, texts, num_patches)
        assert supported.tolist() == [True] * 7 + [False]

    def test_longest(self, latin_graph, latin):
        texts = ["W" * 9001, "words and words " * 900, "é" * 5003 + "z"]
        assert compare(latin_graph, latin, texts).all()

    @pytest.mark.parametrize("num_patches", [None, 29, 7, 2])
    def test_pairs(self, graph, renderer, num_patches):
        pairs = list(zip(SENTENCES, [*SENTENCES[5:], *SENTENCES[:5]]))
        pairs += [("W" * 4999, "a"), ("a", "W" * 4999), ("i" * 83, "j" * 97)]
        assert compare(graph, renderer, pairs, num_patches).all()
        pairs = [("a", REFUSED[0]), (REFUSED[1], "b"), ("c", "d")]
        supported = compare(graph, renderer, pairs, num_patches)
        assert supported.tolist() == [False, False, True]

    def test_long_without_width(self, latin_graph, latin):
        # The characters looked at would not fill the row: it does not claim.
        text = "\u0301" * 300 + "a"
        assert not compare(latin_graph, latin, [text], 5).any()

    def test_not_utf8(self, latin_graph, latin):
        raw = [b"\xff", b"a\xc3", b"\xed\xa0\x80b", b"\xe2\x82x\xf0\x9f", b"ok"]
        found = latin_graph(raw)
        texts = [text.decode("utf-8", "replace") for text in raw]
        assert found["supported"].numpy().all()
        assert np.array_equal(found["pixels"], latin(texts).pixels)

    @pytest.mark.parametrize(
        "settings",
        [
            {"patch_size": 23, "font_size": 11.0, "language": "ca"},
            *(
                pytest.param(kwargs, marks=pytest.mark.slow)
                for kwargs in (
                    {"patch_size": 7, "language": "sr"},
                    {"patch_size": 37, "font_size": 29.0, "max_patches": 19},
                    {"dpi": 97},
                )
            ),
        ],
    )
    def test_other_settings(self, latin, settings):
        cairo = CairoRenderer(latin.font_stack, **settings)
        graph = GraphRenderer(cairo, scripts=("Latn", "Cyrl"))
        assert compare(graph, cairo, SENTENCES).sum() >= 9
        assert not graph(REFUSED)["supported"].numpy().any()


class TestShaping:
    @pytest.mark.parametrize(
        "step", [53, pytest.param(1, marks=pytest.mark.slow)]
    )
    def test_every_pair(self, renderer, step):
        """HarfBuzz sets each pair of characters as the tables say."""
        for plan in alphabetic_plans(renderer):
            characters = sorted(plan.units)
            for first in characters[::step]:
                text = "".join(first + second for second in characters)
                predicted = plan.predict(text)
                if predicted is not None:
                    assert predicted == plan.shape(text), repr(first)
                    continue
                for second in characters:  # Some pair is refused.
                    found = plan.predict(first + second)
                    assert found in (None, plan.shape(first + second))

    def test_plans_hold(self, renderer):
        for plan in alphabetic_plans(renderer):
            assert plan.check(1000, seed=7) == []
            assert len(plan.units) > 90


def alphabetic_plans(renderer):
    """Plans of letters: Latin, Greek, Cyrillic, Georgian, Armenian."""
    from pixmodels.renderers._atlas_opentype import script_key
    from pixmodels.renderers._atlas_plans import Plan

    scripts = SMALL[:5]
    known = charset(renderer.font_stack, scripts)
    for number, script in enumerate(scripts, 1):
        fonts = [f for s, f in known.letters.values() if s == number]
        font = max(set(fonts), key=fonts.count)
        index = known.fonts[font]
        entry = renderer.font_stack.entry(index)
        letters = [c for c, k in known.letters.items() if k == (number, font)]
        commons = [
            c for c, (_, kept) in known.commons.items() if kept >> font & 1
        ]
        yield Plan(
            renderer._shaper.font(index),
            entry,
            script_key(*entry, script),
            script,
            None,
            map(chr, letters + commons),
        )


def junk(source, letters, commons, runs=4):
    """A random string: runs of claimed characters, some of anything."""
    text = []
    for _ in range(source.randrange(1, runs + 1)):
        kind = source.random()
        length = source.randrange(1, 9)
        if kind < 0.5:
            pool = source.choice(letters)
        elif kind < 0.75:
            pool = commons
        elif kind < 0.9:
            pool = "()[]«»“”‘’「」（） ''\"fffil.,-\tTAVW"
        elif kind < 0.97:
            pool = "\u0300\u0301\u0302\u0308\u0323\u0327aeoiuIyυιαеи"
        else:
            pool = [chr(source.randrange(1, 0x11000))]
        text += source.choices(pool, k=length)
    text = "".join(text)
    return text.encode("utf-8", "replace").decode()


def pools(renderer, scripts):
    known = charset(renderer.font_stack, scripts)
    letters = [
        [chr(c) for c, (number, _) in known.letters.items() if number == n]
        for n in range(1, len(scripts) + 1)
    ]
    return letters, [chr(c) for c in known.commons]


class TestClaims:
    @settings(max_examples=60)
    @given(st.lists(st.text(max_size=11), max_size=5))
    def test_any_text(self, graph, renderer, texts):
        compare(graph, renderer, texts)

    @settings(max_examples=20)
    @given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
    def test_any_pair(self, graph, renderer, pairs):
        compare(graph, renderer, pairs)

    @settings(max_examples=60)
    @given(st.lists(st.text("fiíl \tTAV.(я)«»α’", max_size=17), max_size=3))
    def test_ligatures_and_runs(self, graph, renderer, texts):
        assert compare(graph, renderer, texts).all()

    def test_random_texts(self, graph, renderer):
        source = random.Random(11)
        letters, commons = pools(renderer, SMALL)
        texts = [junk(source, letters, commons) for _ in range(2000)]
        claimed = 0
        for start in range(0, len(texts), 101):
            part = texts[start : start + 101]
            claimed += compare(graph, renderer, part).sum()
        assert claimed > 1000

    def test_running_text(self, shared, graph, renderer):
        lines = [
            line
            for name, lines in ntrex(shared).items()
            if name[:3] not in ("kor", "zho", "jpn")
            for line in lines[:: len(lines) // 3]
        ]
        claimed = 0
        for start in range(0, len(lines), 67):
            part = lines[start : start + 67]
            claimed += compare(graph, renderer, part).sum()
        assert claimed >= 0.985 * len(lines)


def ntrex(shared):
    """Language -> lines, in the scripts that are claimed."""
    found = {}
    path = shared("data/ntrex128/ntrex_shared.tar.xz")
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.split(".")[-2]
            if member.isfile() and name not in UNCLAIMED:
                text = archive.extractfile(member).read().decode()
                found[name] = text.replace("\r\n", "\n").split("\n")[:-1]
    return found


def udhr(shared):
    """Lines of the declarations whose main script is claimed."""
    claimed = frozenset(
        "LATIN GREEK CYRILLIC GEORGIAN ARMENIAN HANGUL HIRAGANA KATAKANA HAN "
        "CJK BOPOMOFO".split()
    )
    table = shared("data/udhr/index.tsv").read_text("utf-8").splitlines()
    names = [line.split("\t") for line in table[1:]]
    names = {row[0] for row in names if row[6] in claimed}
    lines = []
    with tarfile.open(shared("data/udhr/udhr_shared.tar.xz")) as archive:
        for member in archive:
            if member.name.split("/")[-1].removesuffix(".txt") in names:
                text = archive.extractfile(member).read().decode()
                lines += text.split("\n")
    return lines


@pytest.fixture(scope="module", params=["latin", "renderer"])
def both(request):
    """`(GraphRenderer of all scripts, CairoRenderer)`, of two stacks."""
    cairo = request.getfixturevalue(request.param)
    return GraphRenderer(cairo), cairo


@pytest.mark.slow
class TestCorpora:
    def test_20000_lines(self, shared, both):
        lines = udhr(shared)
        every = [line for lines in ntrex(shared).values() for line in lines]
        source = random.Random(3)
        lines = source.sample(lines, 6000) + source.sample(every, 14000)
        claimed = 0
        for start in range(0, len(lines), 100):
            claimed += compare(*both, lines[start : start + 100]).sum()
        share = claimed / len(lines)
        print(f"{claimed} of {len(lines)} lines claimed, {share:.2%}")
        one_font = len(both[1].font_stack) == 1
        assert share > (0.8 if one_font else 0.97)

    def test_every_language(self, shared, renderer, both):
        if both[1] is not renderer:
            pytest.skip("the default stack only")
        for name, lines in ntrex(shared).items():
            supported = compare(*both, lines[:: len(lines) // 100])
            print(f"{name}: {supported.mean():.2%}")

    def test_random_texts(self, both):
        source = random.Random(5)
        letters, commons = pools(both[1], SCRIPTS)
        letters = [pool for pool in letters if pool]
        for _ in range(200):
            compare(*both, [junk(source, letters, commons) for _ in range(100)])

    def test_every_character(self, both):
        """Each claimed character alone, and beside letters of each script."""
        letters, commons = pools(both[1], SCRIPTS)
        every = [c for pool in (*letters, commons) for c in pool]
        claimed = 0
        for start in range(0, len(every), 500):
            claimed += compare(*both, every[start : start + 500]).sum()
        assert claimed > 0.99 * len(every)
        texts = [f"a {c}т{c} 1{c}の" for c in commons]
        for start in range(0, len(texts), 500):
            compare(*both, texts[start : start + 500])


class TestGraphs:
    @pytest.mark.parametrize(
        "compiled", [False, pytest.param(True, marks=pytest.mark.slow)]
    )
    def test_fixed_shapes(self, latin_graph, compiled):
        """They give the same, and compile under XLA."""
        texts = SENTENCES + REFUSED[:4]
        length, patches = 61, 29
        codes = np.full((len(texts), length), 77, np.int32)
        for row, text in zip(codes, texts):
            row[: len(text)] = [ord(c) for c in text[:length]]
        lengths = np.array([len(text) for text in texts], np.int32)

        def rasterise(codes, lengths):
            return latin_graph.rasterise(codes, lengths, patches)

        if compiled:
            rasterise = tf.function(rasterise, jit_compile=True)
        expected = latin_graph([t[:length] for t in texts], patches)
        lengths = tf.constant(np.minimum(lengths, length))
        found = rasterise(tf.constant(codes), lengths)
        assert found["pixels"].shape == (len(texts), 16, 16 * patches)
        for name, value in expected.items():
            assert np.array_equal(found[name], value), name

    def test_bad_code_points(self, latin_graph):
        codes = [[97, -5, 98], [97, 1 << 30, 98], [97, 0, 98], [97, 98, 99]]
        found = latin_graph.rasterise(codes, [3, 3, 3, 2], 5)
        assert found["supported"].numpy().tolist() == [False] * 3 + [True]

    def test_saved_model_in_a_new_process(self, graph, renderer, tmp_path):
        tf.saved_model.save(graph, tmp_path / "model", signatures=graph.render)
        texts = [*SENTENCES, *REFUSED]
        expected = {k: v.numpy() for k, v in graph(texts).items()}
        difference = check_in_new_process(
            tmp_path / "model",
            {"texts": np.array([text.encode() for text in texts])},
            expected,
        )
        assert difference == 0

    def test_in_a_dataset(self, latin_graph, latin):
        texts = [t for t in SENTENCES if "\x85" not in t]
        data = tf.data.Dataset.from_tensor_slices(texts).batch(5)
        found = list(data.map(latin_graph.render))
        assert found[0]["pixels"].shape[0] == 5
        expected = latin(texts[:5]).pixels
        assert np.array_equal(found[0]["pixels"], expected)

    def test_importing_the_room_needs_no_tensorflow(self):
        code = (
            "import importlib.util, sys\n"
            "spec = importlib.util.find_spec('pixmodels')\n"
            "sys.modules['pixmodels'] = importlib.util.module_from_spec(spec)\n"
            "import pixmodels.renderers as r\n"
            "assert 'GraphRenderer' in r.__all__\n"
            "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        assert done.stdout == "[]\n", done.stderr

    def test_unknown_name(self):
        with pytest.raises(AttributeError, match="GraphRendere"):
            _ = renderers.GraphRendere


class TestUnsupported:
    def test_raise(self, latin):
        graph = GraphRenderer(latin, on_unsupported="raise")
        assert graph(["fine"])["supported"].numpy().all()
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            graph(["fine", "मत"])
        assert "in-graph renderer supports" in str(error.value)
        compiled = tf.function(graph.render)
        with pytest.raises(tf.errors.InvalidArgumentError):
            compiled(tf.constant(["fine", "मत"]))

    @pytest.mark.parametrize("num_patches", [None, 11])
    def test_fall_back(self, renderer, num_patches):
        graph = GraphRenderer(renderer, scripts=SMALL, on_unsupported=renderer)
        texts = ["one", "मनुष्य", "three words here", "שלום " * 9, ""]
        found = graph(texts, num_patches)
        expected = renderer(texts, num_patches)
        assert np.array_equal(found["pixels"], expected.pixels)
        assert np.array_equal(found["num_patches"], expected.num_patches)
        assert found["supported"].numpy().tolist() == [
            *[True, False, True, False, True]
        ]
        assert graph(["one"])["supported"].numpy().all()

    def test_fall_back_for_pairs(self, renderer):
        graph = GraphRenderer(renderer, scripts=SMALL, on_unsupported=renderer)
        pairs = [("one", "two"), ("three", "मनुष्य"), ("שלום", "five")]
        found = graph(pairs)
        expected = renderer(pairs)
        assert np.array_equal(found["pixels"], expected.pixels)
        separators = [patches[0] for patches in expected.sep_patches]
        assert found["separators"].numpy().tolist() == separators

    def test_fall_back_in_a_graph(self, latin):
        graph = GraphRenderer(latin, on_unsupported=latin)
        with pytest.raises(RuntimeError, match="inside a graph"):
            tf.function(graph)(tf.constant(["a"]))

    def test_fall_back_of_another_height(self, latin):
        other = CairoRenderer(latin.font_stack, patch_size=17)
        graph = GraphRenderer(latin, on_unsupported=other)
        with pytest.raises(ValueError, match="from on_unsupported"):
            graph(["मत"])


class TestArguments:
    def test_config(self, latin, latin_graph):
        graph = GraphRenderer(
            latin, scripts=("Cyrl", "Latn"), on_unsupported="raise"
        )
        config = json.loads(json.dumps(graph.get_config()))
        assert config["scripts"] == ["Latn", "Cyrl"]
        again = GraphRenderer.from_config(config)
        assert again.get_config() == config
        compare(again, latin, ["one", "два"])
        fallback = GraphRenderer(latin, on_unsupported=latin)
        assert fallback.get_config() == latin_graph.get_config()

    def test_numbers(self, graph):
        assert graph.num_characters > 8000
        assert graph.nbytes < 6_000_000

    def test_too_many_glyphs(self, latin, monkeypatch):
        monkeypatch.setattr(_atlas_units, "UNIT_BITS", 10)
        cairo = CairoRenderer(latin.font_stack, dpi=91)
        with pytest.raises(ValueError, match="expected fewer than 1024 glyphs"):
            GraphRenderer(cairo)

    @pytest.mark.parametrize(
        ("kwargs", "error", "message"),
        [
            ({"renderer": "NotoSans"}, TypeError, "expected a CairoRenderer"),
            ({"scripts": "Latn"}, TypeError, "expected a list of ISO"),
            ({"scripts": ["Latn", "Deva"]}, ValueError, "Received: .*'Deva'"),
            ({"on_unsupported": "skip"}, ValueError, "'flag', 'raise'"),
        ],
    )
    def test_bad_arguments(self, kwargs, error, message):
        with pytest.raises(error, match=message):
            GraphRenderer(**kwargs)

    def test_a_renderer_without_tables(self, latin, monkeypatch):
        config = {**latin.get_config(), "language": None, "new_setting": 3}
        monkeypatch.setattr(CairoRenderer, "get_config", lambda _: config)
        with pytest.raises(ValueError, match="no in-graph form.*new_setting=3"):
            GraphRenderer(latin)

    @pytest.mark.parametrize("value", [0, 1, 530, 2.0, True, "7"])
    def test_bad_width(self, latin_graph, value):
        with pytest.raises(ValueError, match="num_patches"):
            latin_graph(["a"], value)

    @pytest.mark.parametrize("texts", [[["a", "b", "c"]], [[["a"]]]])
    def test_bad_shape(self, latin_graph, texts):
        with pytest.raises(ValueError, match=r"shape \(B,\)"):
            latin_graph(texts)
