import collections
import json
import os
import subprocess
import sys

import babel
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pixmodels.tasks import CLDRNames
from pixmodels.tasks import cldr_names

SOME = ("nb", "sv", "nl", "uk", "ru", "el", "am")


@pytest.fixture(scope="module")
def names():
    return CLDRNames()


def test_what_the_default_task_holds(names):
    report = names.report()
    assert report["locales"] == len(set(names.labels)) == 60
    assert len(report["scripts"]) >= 12
    assert 70_000 < report["names"] < 77_000
    assert 55_000 < report["in_one_locale"] < 60_000
    assert report["in_one_locale"] < report["distinct_names"]
    assert report["train"] == 60 * 400
    assert report["test"] == len(names.texts("test")) > 5000
    assert report["fewest_in_one_locale"] >= 500
    assert report["unlabelled"] == len(names.unlabelled) > 45_000
    json.dumps(report)


def test_every_name_is_what_babel_says(names):
    texts = dict.fromkeys(names.examples("test")[:97])
    for text, locale in texts:
        parsed = babel.Locale.parse(locale)
        tables = (
            parsed.languages,
            parsed.territories,
            parsed.scripts,
            parsed.currencies,
        )
        assert any(
            text == name.strip() for table in tables for name in table.values()
        ), (text, locale)


def test_a_name_of_several_locales_is_in_no_split(names):
    everywhere = collections.Counter(
        key
        for locale in names.locales
        for key in {
            cldr_names.name_key(n) for n in cldr_names.locale_names(locale)
        }
    )
    for split in cldr_names.SPLITS:
        for text in names.texts(split):
            assert everywhere[cldr_names.name_key(text)] == 1


@hypothesis.settings(max_examples=17)
@hypothesis.given(
    seed=st.integers(0, 2**31),
    locales=st.lists(
        st.sampled_from(SOME), min_size=2, max_size=4, unique=True
    ),
    most=st.sampled_from([None, 7, 101]),
    shares=st.tuples(st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
)
def test_splits(seed, locales, most, shares):
    options = {
        "seed": seed,
        "names_per_locale": most,
        "validation_fraction": shares[0],
        "test_fraction": shares[1],
    }
    names = CLDRNames(locales, **options)
    keys = {
        split: [cldr_names.name_key(text) for text in names.texts(split)]
        for split in cldr_names.SPLITS
    }
    # No name stands twice, on one side or on two.
    flat = [key for split in keys.values() for key in split]
    assert len(flat) == len(set(flat))
    # Nothing that is measured is pre-trained on.
    pretrained = {cldr_names.name_key(name) for name in names.unlabelled}
    assert not pretrained & {*keys["validation"], *keys["test"]}
    assert pretrained >= set(keys["train"])
    # Stratified: each locale gives its share.
    count = {
        split: collections.Counter(
            locale for _, locale in names.examples(split)
        )
        for split in cldr_names.SPLITS
    }
    whole = CLDRNames(locales, **{**options, "names_per_locale": None})
    for locale in locales:
        own = sum(
            locale == label
            for split in cldr_names.SPLITS
            for _, label in whole.examples(split)
        )
        for split, share in zip(("validation", "test"), shares, strict=True):
            assert abs(count[split][locale] - share * own) <= 0.5
        rest = own - count["validation"][locale] - count["test"][locale]
        assert count["train"][locale] == min(rest, most or rest)
    # The cap moves no name between splits.
    for split in ("validation", "test"):
        assert whole.examples(split) == names.examples(split)
    # The same arguments, the same names in the same order.
    again = CLDRNames(locales, **options)
    assert again.report() == names.report()
    assert again.examples("train") == names.examples("train")
    for split in cldr_names.SPLITS:
        ids = names.label_ids(split)
        assert ids.dtype == np.int32
        labels = [names.labels[i] for i in ids]
        assert labels == [locale for _, locale in names.examples(split)]


def test_seed_matters_and_order_of_locales_does_not():
    def held(seed, locales):
        return set(CLDRNames(locales, seed=seed).examples("test"))

    assert held(3, SOME) == held(3, SOME[::-1])
    assert len(held(3, SOME) & held(5, SOME)) < 0.3 * len(held(3, SOME))


def test_same_in_another_process_and_system_locale():
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('c', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "names = module.CLDRNames(sys.argv[2].split(), seed=11)\n"
        "print(names.report()['sha256'])"
    )
    command = [sys.executable, "-c", code, cldr_names.__file__, " ".join(SOME)]
    for system, hashing in (("tr_TR.UTF-8", "1"), ("C", "2")):
        env = {**os.environ, "LC_ALL": system, "PYTHONHASHSEED": hashing}
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=True
        )
        expected = CLDRNames(SOME, seed=11).report()["sha256"]
        assert done.stdout.strip() == expected


def test_name_key():
    assert cldr_names.name_key("  Straße\u00a0 X") == "strasse x"
    assert cldr_names.name_key("e\u0301") == cldr_names.name_key("É")
    assert cldr_names.name_key("ｱ") == cldr_names.name_key("ア")


def test_scripts_by_locale():
    found = {
        locale: cldr_names.locale_script(locale)
        for locale in ("sr", "sr_Latn", "zh", "zh_Hant", "am", "en_GB")
    }
    assert found == {
        "sr": "Cyrl",
        "sr_Latn": "Latn",
        "zh": "Hans",
        "zh_Hant": "Hant",
        "am": "Ethi",
        "en_GB": "Latn",
    }


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"locales": ("en", "xx_QQ_no")}, ValueError, "locale='xx_QQ_no'"),
        ({"locales": ("en", 7)}, ValueError, "locale=7"),
        ({"locales": "en"}, TypeError, "locales='en'"),
        ({"locales": ("en",)}, ValueError, "at least two"),
        ({"locales": ("en", "el", "en")}, ValueError, "each once"),
        ({"locales": ("en", "aa")}, ValueError, "locale 'aa'"),
        ({"names_per_locale": 0}, ValueError, "names_per_locale=0"),
        ({"test_fraction": 0.0}, ValueError, "test_fraction=0.0"),
        (
            {"test_fraction": 0.5, "validation_fraction": 0.5},
            ValueError,
            "validation_fraction=0.5",
        ),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        CLDRNames(**arguments)


def test_unknown_split(names):
    with pytest.raises(ValueError, match="split='dev'"):
        names.texts("dev")
