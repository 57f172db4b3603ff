"""Attacks by name.

Here: the table of names, and one call for all attacks. Not here: what they
do, which is a class a file."""

import difflib
import importlib

_CLASSES = {
    "confusable": "Confusable",
    "disemvowel": "Disemvowel",
    "full_swap": "FullSwap",
    "inner_swap": "InnerSwap",
    "intrude": "Intrude",
    "keyboard_typo": "KeyboardTypo",
    "natural_typo": "NaturalTypo",
    "phonetic": "Phonetic",
    "segmentation": "Segmentation",
    "truncate": "Truncate",
    "visual": "Visual",
}


def names():
    """Tuple of the names of all attacks, sorted.

    The ten of PIXEL's robustness experiments, and Zeroé's `visual`, which
    has no table built in.
    """
    return tuple(_CLASSES)


def get(name, **options):
    """Makes an attack.

    Args:
        name: one of `names()`; PIXEL's spelling with hyphens will do.
        **options: arguments of the attack's class, such as a table.

    Returns:
        `Attack`.

    Raises:
        ValueError: there is no such attack; lists those there are.

    Example:
        >>> typo = get("keyboard-typo", neighbours={"e": ["3"]})
        >>> typo("even better", p=1.0, seed=3)
        '3ven b3tter'
    """
    key = name.replace("-", "_") if isinstance(name, str) else name
    if key not in _CLASSES:
        near = difflib.get_close_matches(str(key), _CLASSES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"expected an attack: {', '.join(_CLASSES)}.{hint} "
            f"Received: name={name!r}"
        )
    module = importlib.import_module(f"pixmodels.renderers.noise.{key}")
    return getattr(module, _CLASSES[key])(**options)


def attack(name, text, *, p, seed=0, index=0, **options):
    """Perturbs one text by a named attack.

    Args:
        name: one of `names()`.
        text: str, (str, str) pair or list of words, as renderers take.
        p: severity in [0, 1]; 0 changes nothing. What it is the chance of is
            said by the attack's class.
        seed: int in [0, 2**64).
        index: int in [0, 2**64), number of the example; the same text under
            another index is perturbed otherwise.
        **options: arguments of the attack's class, such as a table. Make the
            attack once by `get` where a table is large.

    Returns:
        The same type as `text`.

    Raises:
        TypeError, ValueError: an argument is not as said above.

    Example:
        >>> attack("inner_swap", "a simple sentence", p=1.0, seed=1)
        'a spilme snencete'
        >>> attack("truncate", ["some", "words"], p=1.0)
        ['som', 'word']
    """
    return get(name, **options)(text, p=p, seed=seed, index=index)


def parse(text):
    """Reads `"NAME:P"`, as the command line has it.

    Returns:
        `(Attack, p)`.

    Raises:
        ValueError: the text has another form, or there is no such attack.

    Example:
        >>> parse("truncate:0.5")
        (Truncate(minimum=3), 0.5)
    """
    name, colon, number = str(text).partition(":")
    try:
        p = float(number)
    except ValueError:
        p = -1.0
    if not colon or not 0 <= p <= 1:
        raise ValueError(
            "expected NAME:P with P between 0 and 1, such as truncate:0.2. "
            f"Received: {text!r}"
        )
    return get(name), p
