"""Which characters a reader looks for, by script.

Here: the default characters of a script, checks of those that a user names,
how likely each is without context. Not here: their pictures
(_read_tokens.py)."""

import functools
import unicodedata

from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers._unicode import script
from pixmodels.renderers.font_stack import hb_face

# Scripts whose letters stand side by side, each with a picture of its own.
SCRIPTS = (
    *("Latn", "Grek", "Cyrl", "Armn", "Geor", "Hebr", "Cher", "Ethi"),
    *("Hani", "Hira", "Kana", "Bopo", "Hang", "Yiii"),
)
CJK = frozenset(("Hani", "Hira", "Kana", "Bopo", "Hang", "Yiii"))
_LATIN = ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x180), (0x18E, 0x220))
_LATIN = (*_LATIN, (0x259, 0x25A), (0x1E00, 0x1F00))
_COMMON = ((0x20, 0x7F), (0xA1, 0xAD), (0xAE, 0xC0), (0xD7, 0xD8))
_COMMON = (*_COMMON, (0xF7, 0xF8), (0x2010, 0x2028), (0x2030, 0x203B))
_COMMON = (*_COMMON, (0x20A0, 0x20C0), (0x2116, 0x2117), (0x2122, 0x2123))
_CJK_COMMON = ((0x3000, 0x3040), (0xFF01, 0xFF66))
_KANA_COMMON = ((0x30FB, 0x30FD),)
# As many as are in daily use, by the character sets made for that.
_CODECS = {"Hani": ("gb2312",), "Hang": ("euc_kr",)}
_JAPANESE = ("shift_jis",)  # For Hani beside kana.
# Natural logarithms of how often a character is met, by kind, roughly.
_LOWER, _UPPER, _DIGIT, _SIGN = -1.0, -3.0, -3.5, -3.5
_OTHER_LETTER, _OTHER_SIGN, _RARE = -5.0, -5.5, -8.0


def default_characters(stack, scripts):
    """The characters of some scripts that a stack can draw, and signs.

    Args:
        stack: FontStack.
        scripts: iterable of ISO 15924 codes.

    Returns:
        tuple of characters in the order of code points: letters and digits of
        the scripts less those that only spell others (NFKC), ASCII, the signs
        of Latin-1, general punctuation and currencies.

    Raises:
        ValueError: a script is unknown or has letters that join or change
            places.
    """
    scripts = tuple(dict.fromkeys(scripts))
    for code in scripts:
        if code not in SCRIPTS:
            raise ValueError(
                "expected scripts whose letters stand side by side "
                f"({', '.join(SCRIPTS)}); the letters of others join or "
                f"change places. Received: scripts={scripts!r}"
            )
    found = set(_ranges(_COMMON))
    if not CJK.isdisjoint(scripts):
        found |= set(_ranges(_CJK_COMMON))
    has_kana = not {"Hira", "Kana"}.isdisjoint(scripts)
    if has_kana:
        found |= set(_ranges(_KANA_COMMON))
    found = {chr(code) for code in found if _has_picture(chr(code))}
    covered = set().union(
        *(hb_face(*stack.entry(index)).unicodes for index in range(len(stack)))
    )
    for code in scripts:
        codecs = _CODECS.get(code)
        if code == "Hani" and has_kana:
            codecs = _JAPANESE
        found.update(_letters(code, covered, codecs))
    return tuple(sorted(c for c in found if ord(c) in covered))


def _ranges(ranges):
    return (code for start, end in ranges for code in range(start, end))


def _has_picture(character):
    return unicodedata.category(character)[0] in "LNPSZ"


def _letters(code, covered, codecs):
    if code == "Latn":
        found = _ranges(_LATIN)
    else:
        found = (point for point in covered if point > 0x7F)
    for point in found:
        character = chr(point)
        if script(character) != code:
            continue
        if unicodedata.category(character)[0] not in "LN":
            continue
        if unicodedata.normalize("NFKC", character) != character:
            continue
        if codecs is None or any(_encodes(character, c) for c in codecs):
            yield character


def _encodes(character, codec):
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def check_characters(stack, characters):
    """The characters that a user names, each once.

    Args:
        stack: FontStack.
        characters: str, or iterable of str, each one grapheme cluster.

    Returns:
        tuple of str.

    Raises:
        TypeError: an item is no str.
        ValueError: there are none; one is no single cluster, joins its
            neighbours, changes places with them or has no glyph.
    """
    if isinstance(characters, str):
        characters = graphemes(characters)
    found = tuple(dict.fromkeys(characters))
    if not found:
        raise ValueError("expected characters to look for. Received: none")
    for cluster in found:
        _check_cluster(stack, cluster)
    return found


def _check_cluster(stack, cluster):
    if not isinstance(cluster, str):
        raise TypeError(f"expected a str. Received: {cluster!r} in characters")
    if len(graphemes(cluster)) != 1 or not cluster.isprintable():
        raise ValueError(
            "expected printable characters (grapheme clusters). "
            f"Received: {cluster!r} in characters"
        )
    code = script(cluster[0])
    if code not in NEUTRAL and code not in SCRIPTS:
        raise ValueError(
            f"expected characters of the scripts {', '.join(SCRIPTS)}; the "
            "letters of others join or change places. "
            f"Received: {cluster!r} ({code}) in characters"
        )
    if not stack.covers(stack.font_for(cluster), cluster):
        raise ValueError(
            f"expected characters that {stack!r:.80} can draw. "
            f"Received: {cluster!r} in characters"
        )


def is_right_to_left(character):
    """Whether a character is written right to left by itself."""
    return unicodedata.bidirectional(character[0]) in ("R", "AL")


@functools.lru_cache(maxsize=1 << 16)
def log_prior(text):
    """How likely characters are without context, natural logarithm."""
    return sum(map(_log_prior, text))


def _log_prior(character):
    if character.isascii():
        if character.isalpha():
            return _LOWER if character.islower() else _UPPER
        if character == " ":
            return _LOWER
        return _DIGIT if character.isdigit() else _SIGN
    if unicodedata.normalize("NFKC", character) != character:
        return _RARE
    code = script(character)
    if code in NEUTRAL:
        return _SIGN if 0x3001 <= ord(character) < 0x3100 else _OTHER_SIGN
    if code == "Latn":
        return _OTHER_LETTER if ord(character) < 0x180 else _RARE
    if character.isupper():
        return _UPPER + _script_extra(character)
    return _LOWER + _script_extra(character)


def _script_extra(character):
    """Letters beyond the modern core of their script are rare."""
    code = ord(character)
    if 0x400 <= code < 0x530:
        if 0x410 <= code < 0x450 or character in "ЁёЄєІіЇїҐґЎў":
            return -0.5
        return -4.5 if code < 0x460 else -8.0
    if 0x5F0 <= code < 0x5F3:  # Digraphs of Yiddish.
        return -4.5
    if 0x370 <= code < 0x400 and not 0x386 <= code < 0x3CF:
        return -4.0
    # Which of two alike is meant is told by the letters around.
    return -0.5
