"""Unicode's own conformance files, as Debian's unicode-data installs them.

Every test is skipped where the files are absent. Shaping is compared in
test_hb_shape.py, coverage of texts in test_coverage.py."""

import pathlib
import re

import numpy as np
import pytest
import regex

from pixmodels.renderers import _bidi
from pixmodels.renderers import _bidi_classes
from pixmodels.renderers._unicode import grapheme_start
from pixmodels.renderers._unicode import graphemes

FOLDER = pathlib.Path("/usr/share/unicode")
LAST = 0x110000


def lines(name):
    """The lines of a file of the Unicode Character Database, less comments."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is missing: apt-get install unicode-data")
    found = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            line = line.partition("#")[0].strip()
            if line:
                found.append(line)
    return found


def version(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is missing: apt-get install unicode-data")
    with path.open(encoding="utf-8") as file:
        return re.search(r"-(\d+\.\d+)\.", file.readline())[1]


def properties(name, *, missing=False):
    """Code point -> value, for `start..end ; value` files."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is missing: apt-get install unicode-data")
    start = "(?:# @missing: )?" if missing else ""
    pattern = re.compile(
        start + r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w[\w.]*)"
    )
    values = {}
    with path.open(encoding="utf-8") as file:
        for match in filter(None, map(pattern.match, file)):
            first = int(match[1], 16)
            last = int(match[2] or match[1], 16)
            values.update(dict.fromkeys(range(first, last + 1), match[3]))
    return values


def text_of(codes):
    return "".join(chr(int(code, 16)) for code in codes.split())


def test_bidi_character_test():
    """All cases: base level, levels, and order without what X9 removes."""
    cases = 0
    for line in lines("BidiCharacterTest.txt"):
        codes, direction, base, levels, order = line.split(";")
        text = text_of(codes)
        asked = {"0": 0, "1": 1, "2": None}[direction]
        found, found_base = _bidi.levels(text, asked)
        found = [0] * len(text) if found is None else found.tolist()
        assert found_base == int(base), line
        kept = [i for i, level in enumerate(levels.split()) if level != "x"]
        wanted = [int(level) for level in levels.split() if level != "x"]
        assert [found[i] for i in kept] == wanted, line
        visual = [i for i in _bidi.visual_order(found) if i in set(kept)]
        assert visual == list(map(int, order.split())), line
        cases += 1
    assert cases == {"15.0": 91_707}.get(
        version("BidiCharacterTest.txt"), cases
    )


# A character of each class, for BidiTest.txt, which names classes only.
EXAMPLES = {
    "L": "a",
    "R": "\u05d0",
    "AL": "\u0627",
    "EN": "1",
    "ES": "-",
    "ET": "%",
    "AN": "\u0661",
    "CS": ",",
    "NSM": "\u0300",
    "BN": "\u00ad",
    "B": "\u2029",
    "S": "\t",
    "WS": " ",
    "ON": "!",
    "LRE": "\u202a",
    "LRO": "\u202d",
    "RLE": "\u202b",
    "RLO": "\u202e",
    "PDF": "\u202c",
    "LRI": "\u2066",
    "RLI": "\u2067",
    "FSI": "\u2068",
    "PDI": "\u2069",
}


@pytest.mark.slow
def test_bidi_test():
    """Every string of up to four classes, in up to three directions."""
    for name, character in EXAMPLES.items():
        assert _bidi_classes.name(character) == name
    cases = 0
    for line in lines("BidiTest.txt"):
        if line.startswith("@"):
            if line.startswith("@Levels:"):
                levels = line.split()[1:]
            elif line.startswith("@Reorder:"):
                order = [int(index) for index in line.split()[1:]]
            continue
        classes, directions = line.split(";")
        text = "".join(EXAMPLES[name] for name in classes.split())
        for bit, base in ((1, None), (2, 0), (4, 1)):
            if int(directions, 16) & bit:
                check_levels(text, base, levels, order)
                cases += 1
    assert cases == {"15.0": 770_241}.get(version("BidiTest.txt"), cases)


def check_levels(text, base, levels, order):
    found, _ = _bidi.levels(text, base)
    found = [0] * len(text) if found is None else found.tolist()
    for level, wanted in zip(found, levels, strict=True):
        assert wanted in ("x", str(level)), (text, base)
    visual = [i for i in _bidi.visual_order(found) if levels[i] != "x"]
    assert visual == order, (text, base)


# Assigned characters whose class is another than in Unicode 15.0. Five signs
# nabla became ON in Unicode 16.0 (UTC consensus 179-C22, L2/24-064), three
# Balinese vowel signs L in 18.0 (188-C22, L2/26-154), and so did one of Ahom
# between the two.
NEWER_CLASSES = {
    0x1D6C1: ("L", "ON"),
    0x1D6FB: ("L", "ON"),
    0x1D735: ("L", "ON"),
    0x1D76F: ("L", "ON"),
    0x1D7A9: ("L", "ON"),
    0x1171E: ("NSM", "L"),
    0x1B3A: ("NSM", "L"),
    0x1B3C: ("NSM", "L"),
    0x1B42: ("NSM", "L"),
}
LONG_NAMES = {
    "Left_To_Right": "L",
    "Right_To_Left": "R",
    "Arabic_Letter": "AL",
    "European_Terminator": "ET",
}


@pytest.fixture(scope="module")
def classes():
    return [_bidi_classes.name(chr(code)) for code in range(LAST)]


def test_bidi_classes(classes):
    """Every code point; `regex` may know characters that the file does not."""
    wanted = properties("extracted/DerivedBidiClass.txt", missing=True)
    assigned = properties("DerivedAge.txt")
    found = {}
    for code, name in enumerate(classes):
        value = LONG_NAMES.get(wanted[code], wanted[code])
        if name == value:
            continue
        if code in assigned:
            found[code] = (value, name)
        else:
            assert regex.match(r"\P{Cn}", chr(code)), hex(code)
    if version("DerivedAge.txt") == "15.0":
        assert found.items() <= NEWER_CLASSES.items()


def test_paired_brackets():
    found = {}
    for line in lines("BidiBrackets.txt"):
        code, other, kind = (part.strip() for part in line.split(";"))
        opener = min(code, other, key=lambda c: c == (code, other)[kind == "o"])
        found[chr(int(code, 16))] = (opener, kind)
    assert _bidi_classes.BRACKETS.keys() == found.keys()
    same = {"2329": "3008"}  # Canonical equivalents (UAX #9, BD14).
    for character, (opener, kind) in found.items():
        number = _bidi_classes.BRACKETS[character]
        assert number >> 31 == (kind == "o")
        assert number & 0x7FFFFFFF == int(same.get(opener, opener), 16)


def test_newer_emoji_are_neutral():
    """FriBidi's own tables of 2018 take this one for a Latin letter."""
    text = "\u05d0 \U0001f972 \u05d1"  # Unicode 13, "smiling with tear"
    assert _bidi.levels(text) == (pytest.approx(np.ones(5)), 1)


def test_every_right_to_left_character_takes_the_full_path(classes):
    """The short cut for left-to-right text knows every such class."""
    special = {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI"}
    special |= {"FSI", "PDF", "PDI"}
    for code, name in enumerate(classes):
        if name in special:
            assert _bidi._NEEDS_BIDI.search(chr(code)), hex(code)


def test_grapheme_break_test():
    """All lines, but for one where `regex` knows Unicode 17 or later.

    Unicode 17 took Extended_Pictographic, on which rule GB11 of UAX #29
    rests, from 672 symbols that are no emoji (UTC consensus 182-C20, L2/25-006
    5.1), among them U+2701.
    """
    name = "auxiliary/GraphemeBreakTest.txt"
    changed = "\u00f7 2701 \u00d7 200D \u00d7 2701 \u00f7"
    newer = not regex.match(r"\p{Extended_Pictographic}", "\u2701")
    cases = 0
    differences = []
    for line in lines(name):
        wanted = [
            text_of(part.replace("\u00d7", " "))
            for part in line.strip("\u00f7 ").split("\u00f7")
        ]
        text = "".join(wanted)
        cases += 1
        if graphemes(text) != wanted:
            differences.append(line)
            continue
        start = 0
        for part in wanted:
            for index in range(start, start + len(part)):
                assert grapheme_start(text, index) == start, line
            start += len(part)
    if version(name) == "15.0":
        assert cases == 602
        assert differences == ([changed] if newer else [])
    else:
        assert differences == []
