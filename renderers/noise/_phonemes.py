"""English letters to sounds, and other letters for the same sounds.

Here: our own two tables, the ear (`sounds`) and the pen (`respellings`): a
pen stroke counts only where the ear hears no difference. Not here: chances.
What English spells in many ways, such as -ough, has a sound of its own."""

import functools
import re

_C = "bcdfghjklmnpqrstvwxz"

# (letters as a pattern, sounds); the first that matches at a place wins.
# Sounds in capitals follow ARPABET; others stand for letters that only
# sound the same where they are spelled the same.
_EAR = (
    # Starts and ends of words.
    (r"(?<![a-z])(kn|gn|pn)", "N"),
    (r"(?<![a-z])wr", "R"),
    (r"(?<![a-z])rh", "R"),
    (r"(?<![a-z])ps(?=y)", "S"),
    (r"(?<![a-z])wh(?=o)", "HH"),
    (r"(?<![a-z])wh", "W"),
    (r"(?<![a-z])x", "Z"),
    (r"(?<![a-z])y(?=[aeiou])", "Y"),
    (r"mb(?=s?$)", "M"),
    (r"mn(?=s?$)", "M"),
    # Sounds of several letters.
    (r"tion(?=s?$)", "SH AH N"),
    (r"sion(?=s?$)", "sion"),
    (r"shun(?=s?$)", "SH AH N"),
    (r"eigh", "EY"),
    (r"igh", "AY"),
    (r"[ao]ugh", "ough"),
    (r"ph", "F"),
    (r"tch", "CH"),
    (r"sch", "sch"),
    (r"ch(?=[rl])", "K"),
    (r"ch", "ch"),
    (r"sh", "SH"),
    (r"th", "TH"),
    (r"gh", "gh"),
    (r"ck(?![aeiou])", "K"),
    (r"ck", "K"),
    (r"qu(?=[aeio])", "K W"),
    (r"kw", "K W"),
    (r"dge(?=s?$)", "JH"),
    (r"dg(?=e)", "JH"),
    (r"ng(?![aeiouy])", "NG"),
    (r"cc(?=[eiy])", "K S"),
    (r"cc", "K"),
    (r"sc(?=[eiy])", "S"),
    (r"c(?=[eiy])", "S"),
    (r"c", "K"),
    (r"kk?", "K"),
    (r"x", "K S"),
    (r"g(?=[eiy])", "g~"),
    (r"gg?", "G"),
    # s is a voiced sound between vowels and at many ends.
    (r"ss", "S"),
    (r"(?<![a-z])s", "S"),
    (r"s(?=[ptkfmnlwc])", "S"),
    (r"(?<=[ptkf])s", "S"),
    (r"se?$", "s~"),
    (r"s", "s~"),
    (r"zz?", "Z"),
    (r"ff?", "F"),
    (r"bb?", "B"),
    (r"dd?", "D"),
    (r"ll?", "L"),
    (r"mm?", "M"),
    (r"nn?", "N"),
    (r"pp?", "P"),
    (r"rr?", "R"),
    (r"tt?", "T"),
    (r"vv?", "V"),
    (r"j", "JH"),
    (r"h", "HH"),
    (r"w(?=[aeiou])", "W"),
    # Vowels before r.
    (rf"[eiu]r(?!r)(?=[{_C}]|$)", "ER"),
    (rf"or(?=[{_C}]|$)", "AO R"),
    (rf"ar(?=[{_C}]|$)", "AA R"),
    # Long vowels; an e at the end makes the vowel before it long.
    (r"a(?=[bdfklmnptvz]e(?:s?$))", "EY"),
    (r"i(?=[bdfklmnptvz]e(?:s?$))", "AY"),
    (r"o(?=[bdfklmnptz]e(?:s?$))", "OW"),
    (r"u(?=[bdfklmnptz]e(?:s?$))", "UW"),
    (rf"ai(?=[{_C}])", "EY"),
    (r"ay", "EY"),
    (r"ee", "IY"),
    (r"oa(?=[bcdfklmnpt])", "OW"),
    (r"oo(?=[nlmpt]|$)", "UW"),
    (r"oo", "oo"),
    (r"a[uw]", "AO"),
    (r"o[iy]", "OY"),
    (r"[aeiou]{2,}w?", None),
    (r"[eo]w", None),
    (rf"(?<=[{_C}])y(?=s?$)", "IY"),
    (rf"(?<=[{_C}])e(?=s?$)", ""),
    # Short vowels.
    (r"a", "AE"),
    (r"e", "EH"),
    (r"[iy]", "IH"),
    (r"o", "AA"),
    (r"u", "AH"),
    (r".", None),
)

# (pattern, replacement): what to try; the ear decides.
_PEN = (
    (r"ph", "f"),
    (r"f", "ph"),
    (r"ff", "f"),
    (r"^kn", "n"),
    (r"^gn", "n"),
    (r"^n", "kn"),
    (r"^wr", "r"),
    (r"^r", "wr"),
    (r"^ps", "s"),
    (r"^wh", "w"),
    (r"^w", "wh"),
    (r"mb$", "m"),
    (r"mn$", "m"),
    (r"m$", "mb"),
    (r"tion", "shun"),
    (r"eigh", "ay"),
    (r"eigh([bdfklmnptvz])$", r"a\1e"),
    (r"igh([bdfklmnptvz])$", r"i\1e"),
    (r"i(t)e$", r"igh\1"),
    (r"a([bdfklmnptvz])e$", r"ai\1"),
    (r"ai([bdfklmnptvz])$", r"a\1e"),
    (r"ay", "eigh"),
    (r"oa([bdfklmnpt])$", r"o\1e"),
    (r"o([bdfklmnpt])e$", r"oa\1"),
    (r"oo([lmnpt])$", r"u\1e"),
    (r"u([lmnpt])e$", r"oo\1"),
    (r"ee$", "y"),
    (r"(?<=[a-z]{3})y$", "ee"),
    (r"aw", "au"),
    (r"au", "aw"),
    (r"oi", "oy"),
    (r"oy", "oi"),
    (r"er", "ur"),
    (r"er", "ir"),
    (r"ur", "er"),
    (r"ir", "er"),
    (r"(?<=.)y(?=.)", "i"),
    (r"tch", "ch"),
    (r"ck(?![aeiouy])", "k"),
    (r"(?<=[aeiou])k$", "ck"),
    (r"k(?=[aoulr])", "c"),
    (r"c(?!k)", "k"),
    (r"cc", "k"),
    (r"ch", "k"),
    (r"qu", "kw"),
    (r"kw", "qu"),
    (r"x", "ks"),
    (r"x", "cks"),
    (r"ks", "x"),
    (r"cs", "x"),
    (r"dge", "j"),
    (r"j", "dg"),
    (r"sc", "s"),
    (r"c(?=[eiy])", "s"),
    (r"s", "c"),
    (r"ss", "s"),
    (r"z", "zz"),
    (r"([bdfglmnprt])\1(?![aeiouy])", r"\1"),
    (r"(?<=[aeiou])([lft])$", r"\1\1"),
)


@functools.cache
def _ear():
    return [(re.compile(pattern), heard) for pattern, heard in _EAR]


@functools.cache
def _pen():
    return [(re.compile(pattern), text) for pattern, text in _PEN]


@functools.lru_cache(maxsize=1 << 14)
def sounds(word):
    """What the table hears in a word.

    Args:
        word: str of letters a to z.

    Returns:
        tuple of str: sounds in capitals, other letters as they stand.

    Example:
        >>> sounds("knight") == sounds("nite") == ("N", "AY", "T")
        True
    """
    heard = []
    place = 0
    while place < len(word):
        for pattern, sound in _ear():
            match = pattern.match(word, place)
            if match:
                text = match.group().lower()
                heard += [text] if sound is None else sound.split()
                place = match.end()
                break
    return tuple(heard)


@functools.lru_cache(maxsize=1 << 14)
def respellings(word):
    """Words one pen stroke away that sound the same.

    Args:
        word: str of letters a to z.

    Returns:
        tuple of str, without the word itself, each once.

    Example:
        >>> respellings("phone")
        ('fone', 'phoan')
    """
    wanted = sounds(word)
    found = {}
    for pattern, text in _pen():
        for match in pattern.finditer(word):
            new = word[: match.start()] + match.expand(text)
            new += word[match.end() :]
            if new != word and sounds(new) == wanted:
                found[new] = None
    return tuple(found)
