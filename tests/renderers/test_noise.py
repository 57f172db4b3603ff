"""Attacks on text: what they keep, how often they strike, whose they equal."""

import collections
import itertools
import math
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import noise
from pixmodels.renderers.noise import _phonemes
from pixmodels.renderers.noise import _words

PIXELS_TEN = (
    *["phonetic", "full-swap", "inner-swap", "disemvowel", "truncate"],
    *["keyboard-typo", "natural-typo", "intrude", "segmentation"],
    "confusable",
)
SENTENCE = (
    "Because people believe their neighbours, nobody wrote about the quick "
    "photographs taken during that extraordinary winter night."
)
WORDS = SENTENCE.replace(",", "").replace(".", "").split()
PLANE = {c: [1.0, math.sin(ord(c))] for c in "abcdefghijklmnopqrstuvwxyz"}

# Marks, jamo, Indic conjuncts, emoji, right-to-left, controls: what joins.
_JOINING = (
    "ab e\u0301\u0308각가각क\u094dषि\u200d\u200cरा\u0e33\u0e01👩\ufe0f"
    "🇦🇧1\u20e3\u0600\u06ddא\u05b0\r\n\t'-.,\ud800\u1100\u1161"
)
texts = st.one_of(
    st.text(st.characters(), max_size=23),
    st.text(st.sampled_from(_JOINING), max_size=23),
)


def make(name):
    options = {"embedding": PLANE} if name == "visual" else {}
    return noise.get(name, **options)


ATTACKS = {name: make(name) for name in noise.names()}
SHUFFLES = [ATTACKS["full_swap"], ATTACKS["inner_swap"]]


def clusters(text):
    return regex.findall(r"\X", text)


def words(text):
    """Words in a plain sentence; an oracle for ASCII without apostrophes."""
    return regex.findall(r"[a-zA-Z0-9]+", text)


def test_the_ten_of_pixel_are_there():
    names = {name.replace("-", "_") for name in PIXELS_TEN}
    assert names == set(noise.names()) - {"visual"}
    for name in PIXELS_TEN:
        assert noise.get(name).name == name.replace("-", "_")


@pytest.mark.parametrize("name", noise.names())
@settings(max_examples=60)
@given(text=texts, index=st.integers(0, 2**64 - 1))
def test_on_all_of_unicode(name, text, index):
    attack = ATTACKS[name]
    assert attack(text, p=0.0, index=index) == text
    new = attack(text, p=0.7, seed=5, index=index)
    assert new == attack(text, p=0.7, seed=5, index=index)
    listed = attack(text.split(" "), p=0.7, seed=5, index=index)
    assert all(isinstance(word, str) for word in listed)
    if attack.keeps_words:
        assert len(listed) == len(text.split(" "))
    pair = attack((text, text), p=0.7, index=index)
    assert isinstance(pair, tuple)
    assert len(pair) == 2


@pytest.mark.parametrize("attack", SHUFFLES, ids=lambda attack: attack.name)
@settings(max_examples=300)
@given(text=texts)
def test_swaps_keep_every_cluster(attack, text):
    new = attack(text, p=1.0)
    assert sorted(clusters(new)) == sorted(clusters(text))


@settings(max_examples=300)
@given(text=texts)
def test_attacks_that_drop_keep_the_rest_whole(text):
    before = collections.Counter(clusters(text))
    for name in ("truncate", "disemvowel", "segmentation"):
        after = collections.Counter(clusters(ATTACKS[name](text, p=1.0)))
        assert after <= before, name


@settings(max_examples=300)
@given(text=texts)
def test_attacks_that_add_or_replace_keep_the_rest_whole(text):
    signs = noise.Intrude(signs="*")(text, p=1.0)
    assert [c for c in clusters(signs) if c != "*"] == [
        c for c in clusters(text) if c != "*"
    ]
    table = {character: ["Q"] for character in set(text)}
    for new in (
        noise.Confusable(table)(text, p=1.0),
        noise.KeyboardTypo(table)(text, p=1.0),
        noise.NaturalTypo({text: ["Qq"]})(text, p=1.0),
    ):
        kept = collections.Counter(
            c for c in clusters(new) if not c.lower().startswith("q")
        )
        assert kept <= collections.Counter(clusters(text))


def test_swaps_on_words():
    full = noise.attack("full_swap", SENTENCE, p=1.0, seed=7)
    inner = noise.attack("inner_swap", SENTENCE, p=1.0, seed=7)
    for old, all_mixed, mixed in zip(*map(words, (SENTENCE, full, inner))):
        assert sorted(old) == sorted(all_mixed) == sorted(mixed)
        assert mixed[0] == old[0]
        assert mixed[-1] == old[-1]
        assert (all_mixed != old) == (len(old) >= 3)
        assert (mixed != old) == (len(old) >= 4)
    assert noise.attack("full_swap", "aaaa bb", p=1.0) == "aaaa bb"
    assert noise.attack("inner_swap", "abba", p=1.0) == "abba"
    seen = {noise.attack("full_swap", "abc", p=1.0, index=i) for i in range(99)}
    assert seen == {"acb", "bac", "bca", "cab", "cba"}


# What the original's functions return for these words (xplip/pixel 1b0da29,
# simple_attacks.py, disemvoweling and truncating).
ORIGINAL = {
    "Apples": ("ppls", "Apple"),
    "io": ("io", "io"),
    "aeon": ("n", "aeo"),
    "eau": ("eau", "eau"),
    "rhythm": ("rhythm", "rhyth"),
    "QUEUE": ("Q", "QUEU"),
    "you": ("y", "you"),
    "cat": ("ct", "cat"),
    "won't": ("wn't", "won'"),
    "over-all": ("vr-ll", "over-al"),
    "AND": ("ND", "AND"),
}


def test_disemvowel_and_truncate_as_the_original():
    for word, (without_vowels, cut) in ORIGINAL.items():
        assert noise.attack("disemvowel", [word], p=1.0) == [without_vowels]
        assert noise.attack("truncate", [word], p=1.0) == [cut]


def test_no_vowel_is_left():
    new = noise.attack("disemvowel", "Überfluß, élan, naïveté", p=1.0)
    bases = unicodedata.normalize("NFD", new).lower()
    assert not set(bases) & set("aeiou")
    assert noise.attack("truncate", "e\u0301te\u0301e\u0301", p=1.0) == (
        "e\u0301te\u0301"
    )


def test_intrude_uses_one_sign_in_gaps_only():
    for index in range(53):
        new = noise.attack(
            "intrude", ["longword", "a", "an"], p=0.3, index=index
        )
        assert new[1] == "a"
        for old, word in zip(("longword", "an"), (new[0], new[2])):
            signs = set(word) - set(old)
            assert len(signs) <= 1
            assert word[0] == old[0]
            assert word[-1] == old[-1]
            assert "".join(c for c in word if c not in signs) == old
            assert not signs or word.count(*signs) < len(old)


def test_segmentation_says_which_words_were_joined():
    attack = noise.Segmentation()
    for index in range(31):
        spans = attack.groups(WORDS, p=0.5, index=index)
        joined = attack(WORDS, p=0.5, index=index)
        assert [i for span in spans for i in range(*span)] == [
            *range(len(WORDS))
        ]
        assert joined == ["".join(WORDS[a:b]) for a, b in spans]
    assert attack([], p=1.0) == []
    assert attack(["a", "\u0301b", "c"], p=1.0) == ["a", "\u0301bc"]
    assert attack("a b\nc\u3000d", p=1.0) == "ab\ncd"


def units(attack):
    """Text of 997 like units and a function that counts changed ones."""
    word = {"natural_typo": "because", "phonetic": "phone"}
    word = word.get(attack.name, "wonderful")
    if attack.unit == "word":
        return [word] * 997, lambda new: sum(w != word for w in new)
    if attack.unit == "gap":
        return ["a"] * 998, lambda new: 998 - len(new)
    return ["a" * 997], lambda new: sum(c != "a" for c in clusters(new[0]))


@pytest.mark.parametrize("name", noise.names())
@pytest.mark.parametrize("p", [0.07, 0.2, 0.5, 0.83, 1.0])
def test_rate_is_p(name, p):
    text, count = units(ATTACKS[name])
    spread = 4.5 * math.sqrt(997 * p * (1 - p))
    found = count(ATTACKS[name](text, p=p, seed=11))
    assert abs(found - 997 * p) <= spread


@pytest.mark.parametrize("name", noise.names())
def test_higher_severities_add_to_lower_ones(name):
    attack = ATTACKS[name]
    if attack.keeps_words:
        changed = [
            {i for i, w in enumerate(attack(WORDS, p=p)) if w != WORDS[i]}
            for p in (0.1, 0.3, 0.6, 1.0)
        ]
    else:
        changed = [
            {a for a, _ in attack.groups(WORDS, p=1 - p)}
            for p in (0.1, 0.3, 0.6, 1.0)
        ]
    assert all(low <= high for low, high in itertools.pairwise(changed))


def test_seed_and_index_count():
    results = {
        noise.attack("full_swap", SENTENCE, p=0.5, seed=seed, index=index)
        for seed in (0, 1, 2**64 - 1)
        for index in (0, 1, 2**40)
    }
    assert len(results) == 9


def test_same_in_another_process_and_beside_other_generators():
    script = (
        "import sys\n"
        "from pixmodels.renderers import noise\n"
        "for n in noise.names():\n"
        "    if n != 'visual':\n"
        "        print(ascii(noise.attack(n, sys.argv[1], p=.6, seed=3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, SENTENCE],
        capture_output=True,
        text=True,
        check=True,
    )
    np.random.default_rng(0)
    here = [
        ascii(noise.attack(name, SENTENCE, p=0.6, seed=3))
        for name in noise.names()
        if name != "visual"
    ]
    assert done.stdout.splitlines() == here


def test_phonetic_sounds_the_same():
    known = {
        "knight": ["night", "nite", "knite"],
        "phone": ["fone"],
        "quick": ["kwick"],
        "right": ["write", "wright", "rite"],
        "station": ["stashun"],
        "box": ["boks"],
    }
    for word, others in known.items():
        heard = _phonemes.sounds(word)
        assert {_phonemes.sounds(other) for other in others} == {heard}
    for a, b in [("knight", "kite"), ("city", "kitty"), ("bat", "bait")]:
        assert _phonemes.sounds(a) != _phonemes.sounds(b)
    for index in range(17):
        new = noise.attack("phonetic", SENTENCE, p=1.0, index=index)
        assert new != SENTENCE
        for old, word in zip(words(SENTENCE), words(new), strict=True):
            low = old.lower(), word.lower()
            assert _phonemes.sounds(low[0]) == _phonemes.sounds(low[1])
            assert old[0].isupper() == word[0].isupper()


def test_keyboard_neighbours():
    table = noise.get("keyboard_typo")._neighbours
    assert set(table["g"]) == set("tyhbvf")
    assert set(table["q"]) == set("12wa")
    for key, near in table.items():
        for other in near:
            assert key in table[other]
    seen = {
        noise.attack("keyboard_typo", "Gg", p=1.0, index=i) for i in range(399)
    }
    assert seen == {c.upper() + "g" for c in "tyhbvf"} | {
        "G" + c for c in "tyhbvf"
    }


def test_natural_typos_take_the_case():
    table = {"their": ["thier"], "US": ["us"]}
    new = noise.attack(
        "natural_typo", "their Their THEIR US", p=1.0, typos=table
    )
    assert new == "thier Thier THIER us"


def test_confusables_stay_over_marks_and_by_neighbours():
    table = {"e": ["ε"], "o": ["\u0c02", "0"], "m": ["rn"]}
    new = noise.attack("confusable", "e\u0301 oom.", p=1.0, table=table)
    assert new == "ε\u0301 00rn."
    built_in = noise.get("confusable")._table
    assert {c for c in map(chr, range(128)) if c.isalnum()} <= {
        *built_in,
        *"79",
        *built_in,
    }
    for key, others in built_in.items():
        assert key not in others
        assert all(len(clusters(other)) == 1 for other in others)


def test_visual_draws_by_cosine():
    rng = np.random.Generator(np.random.Philox(3))
    vectors = rng.normal(size=(13, 5))
    attack = noise.Visual(dict(zip("abcdefghijklm", vectors)), top=4)
    for place, character in enumerate("abcdefghijklm"):
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[place])
        cosine = vectors @ vectors[place] / norms
        cosine[place] = -2
        nearest = np.argsort(-cosine)[:4]
        found = attack.neighbours(character)
        assert [c for c, _ in found] == ["abcdefghijklm"[i] for i in nearest]
        np.testing.assert_allclose([s for _, s in found], cosine[nearest])
    similar = dict(attack.neighbours("a"))
    total = sum(s for s in similar.values() if s > 0)
    drawn = collections.Counter(attack("a" * 9973, p=1.0))
    for letter, cosine in similar.items():
        chance = max(cosine, 0) / total
        spread = 4.5 * math.sqrt(9973 * chance * (1 - chance))
        assert abs(drawn[letter] - 9973 * chance) <= spread


def test_words_are_found():
    text = "Don't e-mail U.S. firms, 1,200 of '90s cafés—सत्य हिन्दी x,y"
    pieces, spans = _words.split(text)
    assert ["".join(pieces[a:b]) for a, b in spans] == [
        *["Don't", "e-mail", "U.S", "firms", "1,200", "of", "90s", "cafés"],
        *["सत्य", "हिन्दी", "x", "y"],
    ]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: noise.get("confusabel"), ValueError, "mean 'confusable'"),
        (lambda: noise.get(3), ValueError, "truncate.*Received: name=3"),
        (lambda: noise.attack("truncate", 3, p=0.1), TypeError, "Received"),
        (lambda: noise.attack("truncate", ("a",), p=0.1), ValueError, "pair"),
        (lambda: noise.attack("truncate", "a", p=1.1), ValueError, "p=1.1"),
        (lambda: noise.attack("truncate", "a", p=True), TypeError, "p=True"),
        (
            lambda: noise.attack("truncate", "a", p=math.nan),
            ValueError,
            "p=nan",
        ),
        (
            lambda: noise.attack("truncate", "a", p=0.1, seed=-1),
            ValueError,
            "seed=-1",
        ),
        (
            lambda: noise.attack("truncate", "a", p=0.1, index=1.5),
            TypeError,
            "index=1.5",
        ),
        (lambda: noise.get("visual"), ValueError, "read_embedding"),
        (lambda: noise.get("visual", embedding={}), ValueError, "vector"),
        (lambda: noise.get("confusable", table="x.txt"), TypeError, "readers"),
        (lambda: noise.get("truncate", minimum=0), ValueError, "minimum=0"),
        (lambda: noise.get("intrude", signs=""), ValueError, "signs=''"),
        (lambda: noise.get("disemvowel", vowels=[]), ValueError, "vowels"),
        (lambda: noise.Segmentation().groups("a", p=1), TypeError, "list"),
        (lambda: noise.parse("truncate"), ValueError, "NAME:P"),
        (lambda: noise.parse("truncate:2"), ValueError, "NAME:P"),
        (lambda: noise.parse("trunkate:0.2"), ValueError, "'truncate'"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_configs_tell_tables_apart():
    one = noise.KeyboardTypo({"a": ["b"]}).get_config()
    other = noise.KeyboardTypo({"a": ["c"]}).get_config()
    assert one["name"] == "keyboard_typo"
    assert one["neighbours"].startswith("sha256:")
    assert one != other
    assert noise.Truncate().get_config() == {"name": "truncate", "minimum": 3}


def test_the_page_of_the_documentation(root, tmp_path, monkeypatch, renderer):
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "noise.md").read_text("utf-8")
    for name in noise.names():
        assert f"| `{name}` |" in page
    assert f"{len(noise.get('natural_typo')._typos)} words" in page
    namespace = {}
    for block in regex.findall(r"(?s)```python\n(.*?)```", page):
        exec(compile(block, "noise.md", "exec"), namespace)
    assert len(namespace["rows"]) == 11
    assert (tmp_path / "noise.png").stat().st_size > 9999
