"""`FontStack`: the explicit, ordered fonts of a renderer.

Here: which font draws a grapheme cluster, coverage, what to install. Not
here: finding files (_installed.py), the list of the default stack (_noto.py),
sized fonts and drawing (_font.py). System font settings are never asked."""

import collections
import functools
import unicodedata
from pathlib import Path
from typing import NamedTuple

from pixmodels.renderers import _noto
from pixmodels.renderers._emoji import wants_emoji
from pixmodels.renderers._faces import colour_format
from pixmodels.renderers._faces import hb_face
from pixmodels.renderers._installed import family
from pixmodels.renderers._installed import locate
from pixmodels.renderers._installed import sha256
from pixmodels.renderers._installed import split
from pixmodels.renderers._libraries import load
from pixmodels.renderers._scripts import advice
from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import graphemes
from pixmodels.renderers._unicode import ignorable
from pixmodels.renderers._unicode import script
from pixmodels.renderers._unicode import without_ignorables

_CACHE_LIMIT = 1 << 16
_LONG_CLUSTER = 32


class FontCoverage(NamedTuple):
    """What one font of a stack can draw.

    Attributes:
        font: `"file name#face"`.
        characters: int, characters of its own map.
        scripts: dict from ISO 15924 code to number of characters, most first.
        colour: None, "CBDT" or "COLR".
    """

    font: str
    characters: int
    scripts: dict[str, int]
    colour: str | None


class FontStack:
    """Font files in the order in which they are asked for a glyph.

    A grapheme cluster is drawn with one font: the first in order whose
    character map holds all of its characters, default-ignorable ones apart
    (as they stand, composed or decomposed). A cluster of Common or Inherited
    characters only (space, digit, punctuation) stays with the font of the
    cluster before it where that font covers it. Where no font covers the
    whole cluster the first that covers its first character is taken, else the
    first font of the stack, which then draws its .notdef.

    Emoji come first from the colour fonts of the stack wherever they stand in
    it: clusters that Unicode presents as emoji (UTS 51: emoji presentation,
    U+FE0F, modifiers, flags, joined sequences). All others, and those with
    U+FE0E, take a colour font only where no other font covers them. The same
    font is taken in grey and in colour, so that widths do not differ.

    Files are TrueType or OpenType fonts and collections, with outlines or
    colour glyphs in the formats CBDT and COLR version 0 (version 1 under
    cairo 1.18); WOFF, bitmap fonts and sbix are refused. A variable font is
    drawn at its defaults, or at the axes given. Files are opened when first
    needed. Two stacks are equal when their paths are. Pickles hold the paths
    only.

    Args:
        paths: font files in order, each `"path"`, `"path#index"` (the face
            in a collection) or `"path#index@wght=700,wdth=80"` (axes of a
            variable font). A bare file name is looked for in the usual font
            folders. None: the stack of `FontStack.default()`.

    Raises:
        TypeError: `paths` is not a list of str or Path.
        ValueError: `paths` is empty, a path is a folder, or what follows "#"
            is not an index. A file that is not a font, and an axis that the
            font lacks, raise it when the file is opened.
        FileNotFoundError: names every missing file and the apt line.

    Example:
        >>> FontStack(["NotoSans-Regular.ttf"]).names
        ('NotoSans-Regular.ttf#0',)
    """

    def __init__(self, paths=None):
        if paths is None:
            paths = _noto.default_files()
        if isinstance(paths, str | bytes) or not hasattr(paths, "__iter__"):
            raise TypeError(
                "expected a list of font paths, or None for the default "
                f"stack. Received: paths={paths!r}"
            )
        entries = [split(path) for path in paths]
        if not entries:
            raise ValueError("expected at least one font. Received: paths=[]")
        self._entries = locate(entries)
        self._fonts = [None] * len(self._entries)
        self._chosen = {}
        self._first = None

    @classmethod
    def default(cls, han="SC"):
        """The Noto stack of Debian's packages named in README.md.

        NotoSans-Regular first, then about 150 faces for the scripts of
        Unicode, then HanaMinB (fonts-hanazono) for rare Han characters, of
        which Debian's Noto has none, colour emoji last (_noto.py). Noto's
        four CJK faces cover the same characters, so the one that stands first
        draws all Han text: the regional forms are chosen for a renderer, not
        for a text.

        Args:
            han: regional Han forms, `"SC"` (mainland China), `"TC"` (Taiwan),
                `"JP"` or `"KR"`.

        Raises:
            ValueError: `han` is another value.
            FileNotFoundError: as for the class.
        """
        if han not in _noto.HAN_FACES:
            raise ValueError(
                f"expected one of {sorted(_noto.HAN_FACES)}. "
                f"Received: han={han!r}"
            )
        return cls(_noto.default_files(han))

    @classmethod
    def from_families(cls, families, *, style="Regular"):
        """A stack of installed fonts by family name.

        The names are those in the font files (name table, English), found in
        the usual font folders, never asked of fontconfig; case is ignored.

        Args:
            families: list of family names in order, e.g. `["Noto Sans"]`.
            style: the style of all of them, e.g. `"Bold"`.

        Raises:
            TypeError: `families` is not a list of str.
            ValueError: `families` is empty.
            FileNotFoundError: a family or style is not installed; names the
                styles that are, or the nearest families.
        """
        if not isinstance(families, list | tuple) or not all(
            isinstance(name, str) for name in families
        ):
            raise TypeError(
                "expected a list of family names. "
                f"Received: families={families!r}"
            )
        return cls([family(name, style) for name in families])

    @classmethod
    def from_config(cls, config):
        """Rebuilds a stack; ValueError where a file's SHA-256 differs.

        A file that is no longer at its recorded path is looked for by name in
        the usual font folders.
        """
        paths = []
        for font in config["fonts"]:
            path = Path(font["path"])
            name = str(path) if path.is_file() else path.name
            paths.append(f"{name}#{font['index']}")
        stack = cls(paths)
        for (path, _), font in zip(stack._entries, config["fonts"]):
            found = sha256(path)
            if font.get("sha256", found) != found:
                raise ValueError(
                    f"expected the font file {path} with SHA-256 "
                    f"{font['sha256']}. Received: a file with {found}"
                )
        return stack

    def config(self):
        """JSON-able dict: path, face index and SHA-256 of every font."""
        fonts = [
            {"path": path, "index": index, "sha256": sha256(path)}
            for path, index in self._entries
        ]
        return {"fonts": fonts}

    get_config = config

    @property
    def paths(self):
        """Tuple of `"path#index"`, in order."""
        return tuple(f"{path}#{index}" for path, index in self._entries)

    @property
    def names(self):
        """Tuple of `"file name#index"`, in order."""
        return tuple(
            f"{Path(path).name}#{index}" for path, index in self._entries
        )

    def __len__(self):
        return len(self._entries)

    def __eq__(self, other):
        return isinstance(other, FontStack) and self.paths == other.paths

    def __hash__(self):
        return hash(self._entries)

    def __reduce__(self):
        return FontStack, (list(self.paths),)

    def __repr__(self):
        return f"FontStack({list(self.names)!r})"

    def entry(self, index):
        """`(path, face index)` of one font of the stack."""
        return self._entries[index]

    def coverage(self):
        """What each font can draw: list of `FontCoverage`, in order."""
        result = []
        for name, entry in zip(self.names, self._entries):
            characters = hb_face(*entry).unicodes
            scripts = collections.Counter(map(script, map(chr, characters)))
            result.append(
                FontCoverage(
                    name,
                    len(characters),
                    dict(scripts.most_common()),
                    colour_format(*entry),
                )
            )
        return result

    def uncovered(self, text):
        """The characters of `text` that no font can draw, each once.

        Asked by grapheme cluster, as a renderer does; controls and lone
        surrogates, which renderers replace, are not asked for.

        Returns:
            tuple of characters, in order of appearance.
        """
        found = {}
        for cluster in dict.fromkeys(graphemes(text)):
            index = self.font_for(cluster)
            if not self.covers(index, cluster):
                for character in cluster:
                    if unicodedata.category(character) not in ("Cc", "Cs"):
                        if not self.covers(index, character):
                            found[character] = None
        return tuple(found)

    def covers_text(self, text):
        """Whether every grapheme cluster of `text` can be drawn."""
        return not self.uncovered(text)

    def missing_scripts(self, text):
        """Dict from ISO 15924 code to the characters that no font can draw."""
        found = {}
        for character in self.uncovered(text):
            found.setdefault(script(character), []).append(character)
        return {code: tuple(found[code]) for code in sorted(found)}

    def require(self, text):
        """Raises ValueError unless `text` can be drawn in full.

        The message names every script that is not covered, its characters,
        and the Debian package and file that hold it.
        """
        missing = self.missing_scripts(text)
        if missing:
            needs = "; ".join(
                advice(code, characters, any(map(wants_emoji, characters)))
                for code, characters in missing.items()
            )
            raise ValueError(
                "expected fonts for every character of the text; not covered: "
                f"{needs}. Received: {self!r:.200}"
            )

    def covers(self, index, text):
        """Whether font `index` has a glyph for every character of `text`.

        Default-ignorable characters need none. A character that the font
        lacks may be covered by its canonical composition or decomposition.
        """
        if self._has_all(index, text):
            return True
        # Canonical ordering takes quadratic time in a long row of marks.
        if len(text) > _LONG_CLUSTER or text.isascii():
            return False
        return any(self._has_all(index, form) for form in _other_forms(text))

    def first_covers(self, text):
        """Whether the first font's own map holds all of it, emoji apart."""
        if self._first is None:
            characters = map(chr, hb_face(*self._entries[0]).unicodes)
            # An emoji may have a font of its own further down.
            self._first = frozenset(
                character
                for character in characters
                if not wants_emoji(character)
            )
        return self._first.issuperset(text)

    def font_for(self, cluster, previous=None):
        """Index of the font that draws a grapheme cluster (class rule).

        Args:
            cluster: str, one grapheme cluster.
            previous: index of the font of the cluster before, or None.
        """
        if len(cluster) > _LONG_CLUSTER:
            return self._choose(cluster, previous)
        found = self._chosen.get((cluster, previous))
        if found is None:
            if len(self._chosen) >= _CACHE_LIMIT:
                self._chosen.clear()
            found = self._choose(cluster, previous)
            self._chosen[cluster, previous] = found
        return found

    def _choose(self, cluster, previous):
        text = without_ignorables(cluster)
        emoji = wants_emoji(cluster)
        if previous is not None and not emoji and self._keeps(previous, text):
            return previous
        for part in dict.fromkeys((text, text[:1])):
            for colour in (emoji, not emoji):
                for index in range(len(self)):
                    if self._is_colour(index) == colour:
                        if self.covers(index, part):
                            return index
        return 0

    def _keeps(self, index, text):
        """Whether a neutral cluster stays with the font before it."""
        return (
            all(script(character) in NEUTRAL for character in text)
            and not self._is_colour(index)
            and self.covers(index, text)
        )

    def _is_colour(self, index):
        return colour_format(*self._entries[index]) is not None

    def _has_all(self, index, text):
        glyph = self._font(index).get_nominal_glyph
        for character in text if len(text) <= _LONG_CLUSTER else set(text):
            if glyph(ord(character)) is None and not ignorable(character):
                return False
        return True

    def _font(self, index):
        font = self._fonts[index]
        if font is None:
            font = load("uharfbuzz").Font(hb_face(*self._entries[index]))
            self._fonts[index] = font
        return font


@functools.lru_cache(maxsize=1 << 12)
def _other_forms(text):
    """The canonically composed and decomposed text, where they differ."""
    forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    return tuple(form for form in forms if form != text)
