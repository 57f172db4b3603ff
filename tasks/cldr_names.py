"""Names of languages, places, scripts and currencies in many languages.

The text of the built-in demonstration: CLDR data that Babel carries, split
for the task "which language is this name in?". Not here: drawing the names.
"""

import collections
import functools
import hashlib
import json
import unicodedata

import numpy as np

# 60 locales in 26 scripts (Babel 2.18), each with 540 or more names of its own.
LOCALES = tuple(
    # Latin
    "en fr de es it pt nl sv nb fi et lv lt pl cs sk hu ro sl hr tr vi id sw "
    # Cyrillic; Greek, Armenian, Georgian; Hebrew; Arabic
    "ru uk bg be mk kk mn el hy ka he ar fa ur ug "
    # Devanagari; nine more scripts of India and Sri Lanka
    "hi mr ne bn pa gu or ta te kn ml si "
    # Thai, Lao, Khmer, Myanmar; Ethiopic; Cherokee; Korean, Japanese, Han
    "th lo km my am chr ko ja zh".split()
)
SPLITS = ("train", "validation", "test")


class CLDRNames:
    """The language of a name: a text classification task out of Babel.

    The names of all languages, territories, scripts and currencies in each
    locale. Those that occur in several locales ("Angola") have no one answer
    and are left out of the task. Two names are the same where `name_key` says
    so (case, compatibility forms and spacing do not count), so no name stands
    on two sides of a split, nor in another spelling. Splits are stratified:
    every locale gives the same share. Everything is a pure function of the
    arguments and of Babel's version; the system's locale plays no part.

    Args:
        locales: CLDR locale identifiers that Babel knows; the labels.
        seed: int, which names fall into which split.
        names_per_locale: at most this many training names of each locale;
            None for all. Validation and test names do not depend on it.
        validation_fraction: share of each locale's own names, in (0, 1).
        test_fraction: share of each locale's own names, in (0, 1).

    Raises:
        ValueError: for an unknown or repeated locale, fewer than two locales,
            fractions that leave nothing to train on, or a locale with too few
            names for one in each split.
        ImportError: without babel.

    Example:
        >>> names = pixmodels.tasks.CLDRNames(("en", "el"), seed=3)
        >>> len(names.examples("train")), names.labels
        (800, ('en', 'el'))
    """

    def __init__(
        self,
        locales=LOCALES,
        *,
        seed=0,
        names_per_locale=400,
        validation_fraction=0.1,
        test_fraction=0.1,
    ):
        if isinstance(locales, str):
            raise TypeError(
                "Expected locales as a sequence of str. Received: "
                f"locales={locales!r}."
            )
        self.locales = tuple(locales)
        self.seed = seed
        self.names_per_locale = names_per_locale
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self._check()
        self._names = {name: locale_names(name) for name in self.locales}
        self._own = self._names_of_one_locale()
        self._splits = self._split()

    def _check(self):
        if len(self.locales) < 2 or len(set(self.locales)) < len(self.locales):
            raise ValueError(
                "Expected at least two locales, each once. Received: "
                f"locales={self.locales}."
            )
        fractions = (self.validation_fraction, self.test_fraction)
        if not all(0 < share < 1 for share in fractions) or sum(fractions) >= 1:
            raise ValueError(
                "Expected fractions in (0, 1) that leave names to train on. "
                f"Received: validation_fraction={fractions[0]}, "
                f"test_fraction={fractions[1]}."
            )
        most = self.names_per_locale
        if most is not None and (not isinstance(most, int) or most < 1):
            raise ValueError(
                "Expected names_per_locale to be None or an int >= 1. "
                f"Received: names_per_locale={most!r}."
            )

    def _names_of_one_locale(self):
        locales_of = collections.defaultdict(set)
        for locale, names in self._names.items():
            for name in names:
                locales_of[name_key(name)].add(locale)
        own = {}
        for locale, names in self._names.items():
            first = {}
            for name in names:
                first.setdefault(name_key(name), name)
            own[locale] = [
                (key, name)
                for key, name in first.items()
                if len(locales_of[key]) == 1
            ]
        return own

    def _split(self):
        splits = {name: [] for name in SPLITS}
        for locale, names in self._own.items():
            # A hash puts names in order: one more name in a later Babel
            # moves no other.
            ordered = sorted(names, key=lambda n: self._digest(locale, n[0]))
            num_test = round(len(ordered) * self.test_fraction)
            num_held = num_test + round(len(ordered) * self.validation_fraction)
            parts = {
                "test": ordered[:num_test],
                "validation": ordered[num_test:num_held],
                "train": ordered[num_held:][: self.names_per_locale],
            }
            if not all(parts.values()):
                raise ValueError(
                    "Expected enough names for one in each split. Received: "
                    f"locale {locale!r} with {len(ordered)} names of its own."
                )
            for split, part in parts.items():
                splits[split] += [(key, name, locale) for key, name in part]
        return {
            split: sorted(rows, key=lambda r: self._digest(r[2], r[0]))
            for split, rows in splits.items()
        }

    def _digest(self, locale, key):
        text = f"{self.seed}\0{locale}\0{key}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    @property
    def labels(self):
        """Locale identifiers; the label of an example is its index here."""
        return self.locales

    def examples(self, split):
        """Names of a split, in an order that mixes the locales.

        Args:
            split: "train", "validation" or "test".

        Returns:
            list of (text, locale), both str.

        Raises:
            ValueError: for another split.
        """
        return [(name, locale) for _, name, locale in self._rows(split)]

    def texts(self, split):
        """The texts of `examples(split)`: list of str."""
        return [name for _, name, _ in self._rows(split)]

    def label_ids(self, split):
        """The labels of `examples(split)`: (n,) int32 indices of `labels`."""
        index = {locale: i for i, locale in enumerate(self.locales)}
        rows = self._rows(split)
        return np.array([index[locale] for _, _, locale in rows], np.int32)

    def _rows(self, split):
        if split not in self._splits:
            raise ValueError(
                f"Expected a split among {SPLITS}. Received: split={split!r}."
            )
        return self._splits[split]

    @functools.cached_property
    def unlabelled(self):
        """Names to pre-train on: tuple of str, each spelling once.

        Every name of every locale, those of several locales and those above
        `names_per_locale` too, but none of the validation and test splits in
        any spelling: what a model is measured on it has never seen drawn.
        """
        held = {
            key
            for split in ("validation", "test")
            for key, _, _ in self._splits[split]
        }
        names = dict.fromkeys(n for own in self._names.values() for n in own)
        return tuple(name for name in names if name_key(name) not in held)

    def report(self):
        """Counts for a run's report; JSON-able.

        Returns:
            dict: `locales`, `scripts` (script -> locales), `names` (sum over
            locales of distinct names), `distinct_names`, `in_one_locale`
            (distinct names, as `name_key` compares, of one locale only),
            `fewest_in_one_locale`, the sizes of the splits and of
            `unlabelled`, `options`, `babel` (version) and `sha256` of the
            examples of all splits.
        """
        import babel

        scripts = collections.defaultdict(list)
        for locale in self.locales:
            scripts[locale_script(locale)].append(locale)
        rows = json.dumps(self._splits, ensure_ascii=True)
        own = {locale: len(names) for locale, names in self._own.items()}
        every = [n for names in self._names.values() for n in names]
        return {
            "locales": len(self.locales),
            "scripts": dict(scripts),
            "names": len(every),
            "distinct_names": len(set(every)),
            "in_one_locale": sum(own.values()),
            "fewest_in_one_locale": min(own.values()),
            **{split: len(self._splits[split]) for split in SPLITS},
            "unlabelled": len(self.unlabelled),
            "options": {
                "seed": self.seed,
                "names_per_locale": self.names_per_locale,
                "validation_fraction": self.validation_fraction,
                "test_fraction": self.test_fraction,
            },
            "babel": babel.__version__,
            "sha256": hashlib.sha256(rows.encode()).hexdigest(),
        }


def name_key(name):
    """What two spellings of one name share: NFKC, case folded, one space."""
    name = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", name).split())


def locale_names(locale):
    """The distinct names that CLDR has in one locale.

    Args:
        locale: CLDR identifier, "en" or "sr_Latn".

    Returns:
        tuple of str, without space at the ends, none empty: languages,
        territories, scripts, currencies, each in the order of their codes.

    Raises:
        ValueError: for a locale that Babel does not know.
    """
    parsed = _parse(locale)
    names = {}
    for table in (
        parsed.languages,
        parsed.territories,
        parsed.scripts,
        parsed.currencies,
    ):
        for code in sorted(table):
            name = table[code].strip()
            if name:
                names[name] = None
    return tuple(names)


def locale_script(locale):
    """ISO 15924 code of the script a locale is written in, "Latn"."""
    from babel.core import get_global

    parsed = _parse(locale)
    if parsed.script:
        return parsed.script
    likely = get_global("likely_subtags").get(locale) or get_global(
        "likely_subtags"
    ).get(parsed.language, "und_Zyyy_ZZ")
    return likely.split("_")[1]


def _parse(locale):
    try:
        import babel
    except ImportError as error:
        raise ImportError(
            "CLDR names need the package babel: pip install babel"
        ) from error
    try:
        return babel.Locale.parse(locale)
    except (babel.UnknownLocaleError, ValueError, TypeError) as error:
        raise ValueError(
            f"Expected a locale that Babel knows. Received: locale={locale!r}."
        ) from error
