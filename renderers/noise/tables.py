"""Readers of the tables that attacks use, which are the user's own.

Here: the file formats of Zeroé and of Unicode, checks of tables. Not here:
the small tables built in (_defaults.py). Files may be .xz or .gz."""

import bz2
import gzip
import hashlib
import json
import lzma
from pathlib import Path

_OPEN = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


def read_confusables(path):
    """Reads look-alike characters.

    Args:
        path: a file in the form of Unicode's confusables.txt (UTS 39:
            `05AD ; 0596 ; MA # ...`) or of its confusablesSummary.txt, which
            PIXEL's unicode_confusables.txt is (`#`, then a class of
            look-alikes, separated by tabs).

    Returns:
        dict from a text to the list of all others of its class.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no class of look-alikes.
    """
    classes = {}
    for number, line in enumerate(_lines(path)):
        fields = line.rstrip("\n").split("\t")
        if line.startswith("#\t"):
            classes.setdefault(number, []).extend(filter(None, fields[1:]))
        elif line.partition("#")[0].count(";") == 2:
            source, target, _ = line.partition("#")[0].split(";")
            classes.setdefault(_text(target), [_text(target)])
            classes[_text(target)].append(_text(source))
    table = {}
    for members in classes.values():
        for member in members:
            others = table.setdefault(member, [])
            others += [m for m in members if m != member and m not in others]
    return _found(table, path, "classes of look-alikes")


def read_neighbours(path):
    """Reads keyboard neighbours.

    Args:
        path: a file with a key, then the keys around it, a line, separated
            by spaces, as Zeroé's en.key.

    Returns:
        dict from a key to the list of its neighbours.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no such line.
    """
    return _found(_word_lists(path), path, "keys with their neighbours")


def read_typos(path):
    """Reads misspellings.

    Args:
        path: a file with a word, then misspellings of it, a line, separated
            by spaces, as Zeroé's en.natural. Lines of one word are joined.

    Returns:
        dict from a word to the list of its misspellings.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no such line.
    """
    return _found(_word_lists(path), path, "words with misspellings")


def read_embedding(path):
    """Reads vectors of characters.

    Args:
        path: a file in word2vec's text form, as Zeroé's repres.txt: a line
            with the number of characters and E, then a character and E
            numbers a line.

    Returns:
        dict from character to list of E floats.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not in this form.
    """
    lines = iter(_lines(path))
    try:
        count, size = map(int, next(lines, "").split())
        table = {}
        for line in lines:
            character, *numbers = line.rstrip("\n").split(" ")
            numbers = [float(number) for number in numbers if number]
            if len(numbers) != size:
                raise ValueError(f"{len(numbers)} numbers for {character!r}")
            table[character] = numbers
        if len(table) != count:
            raise ValueError(f"{len(table)} characters, {count} announced")
    except ValueError as error:
        raise ValueError(
            "expected vectors in word2vec's text form. "
            f"Received: path={str(path)!r} ({error})"
        ) from error
    return table


def checked(name, table):
    """The table, where it is a dict from str to lists of str.

    Raises:
        TypeError: it is not; a path is told of the readers.
    """
    valid = isinstance(table, dict) and all(
        isinstance(key, str)
        and isinstance(values, list | tuple)
        and all(isinstance(value, str) and value for value in values)
        for key, values in table.items()
    )
    if not valid:
        shown = repr(table)[:60]
        raise TypeError(
            "expected a dict from str to lists of str, as the readers of "
            f"pixmodels.renderers.noise return. Received: {name}={shown}"
        )
    return {k: [v for v in values if v != k] for k, values in table.items()}


def described(name, table):
    """`{name: ...}` for a config: the SHA-256 of a table, or "built in"."""
    if table is None:
        return {name: "built in"}
    data = json.dumps(table, sort_keys=True).encode()
    return {name: f"sha256:{hashlib.sha256(data).hexdigest()}"}


def with_case_of(word, text):
    """`text` in the case of `word`: lower, Capital or CAPITALS."""
    if word.isupper() and len(word) > 1:
        return text.upper()
    if word[:1].isupper():
        return text[:1].upper() + text[1:]
    return text


def _lines(path):
    path = Path(path)
    opener = _OPEN.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8-sig", newline="\n") as file:
        yield from file


def _word_lists(path):
    table = {}
    for line in _lines(path):
        key, *values = line.split() or [""]
        known = table.setdefault(key, [])
        known += [v for v in values if v != key and v not in known]
    return {key: values for key, values in table.items() if values}


def _text(codes):
    """`"05AD 0596"` as text."""
    return "".join(chr(int(code, 16)) for code in codes.split())


def _found(table, path, what):
    if not table:
        raise ValueError(
            f"expected {what}, one a line. Received: path={str(path)!r}"
        )
    return table
