"""`FontStack`: the explicit, ordered font files of a renderer.

Here: finding files by name, their checksums, which font draws a grapheme
cluster. Not here: the list of the default stack (_noto.py), sized fonts and
drawing (_font.py). System font settings are never asked."""

import functools
import hashlib
import os
import unicodedata
from pathlib import Path

from pixmodels.renderers import _noto
from pixmodels.renderers._libraries import load
from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import script
from pixmodels.renderers._unicode import without_ignorables

FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
_CACHE_LIMIT = 1 << 16
_LONG_CLUSTER = 32


class FontStack:
    """Font files in the order in which they are asked for a glyph.

    A grapheme cluster is drawn with one font: the first in order whose
    character map holds all of its characters, default-ignorable ones apart
    (as they stand, composed or decomposed). A cluster of Common or Inherited
    characters only (space, digit, punctuation) stays with the font of the
    cluster before it where that font covers it. Where no font covers the
    whole cluster the first that covers its first character is taken, else the
    first font of the stack, which then draws its .notdef.

    Files are opened when first needed. Two stacks are equal when their paths
    are. Pickles hold the paths only.

    Args:
        paths: font files in order, each `"path"` or `"path#index"` (the face
            in a collection). A bare file name is looked for in the usual font
            folders. None: the stack of `FontStack.default()`.

    Raises:
        TypeError: `paths` is not a list of str or Path.
        ValueError: `paths` is empty, or an index is not a number. A file that
            is not a font raises it when the file is opened.
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
        entries = [_split(path) for path in paths]
        if not entries:
            raise ValueError("expected at least one font. Received: paths=[]")
        self._entries = tuple(_locate(entries))
        self._fonts = [None] * len(self._entries)
        self._chosen = {}
        self._first = None

    @classmethod
    def default(cls, han="SC"):
        """The Noto stack of Debian's fonts-noto-core and fonts-noto-cjk.

        NotoSans-Regular first, then about 150 faces for the scripts of
        Unicode (_noto.py). Noto's four CJK faces cover the same characters,
        so the one that stands first draws all Han text.

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
        return self._has_all(
            index, unicodedata.normalize("NFC", text)
        ) or self._has_all(index, unicodedata.normalize("NFD", text))

    def first_covers(self, text):
        """Whether the first font's own map holds every character."""
        if self._first is None:
            characters = hb_face(*self._entries[0]).unicodes
            self._first = frozenset(map(chr, characters))
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
        neutral = all(script(character) in NEUTRAL for character in text)
        if previous is not None and neutral and self.covers(previous, text):
            return previous
        for part in (text, text[:1]):
            for index in range(len(self)):
                if self.covers(index, part):
                    return index
        return 0

    def _has_all(self, index, text):
        font = self._font(index)
        for character in set(text):
            if font.get_nominal_glyph(ord(character)) is None:
                if without_ignorables(character):
                    return False
        return True

    def _font(self, index):
        font = self._fonts[index]
        if font is None:
            font = load("uharfbuzz").Font(hb_face(*self._entries[index]))
            self._fonts[index] = font
        return font


@functools.cache
def hb_face(path, index):
    """Opens one face with HarfBuzz, once per process.

    Raises:
        ValueError: the file is not a font or has no such face.
    """
    harfbuzz = load("uharfbuzz")
    blob = harfbuzz.Blob.from_file_path(path)
    face = harfbuzz.Face(blob, index)
    if face.glyph_count == 0 or "cmap" not in face.table_tags:
        raise ValueError(
            "expected a TrueType or OpenType font with a character map. "
            f"Received: {path}, face {index}"
        )
    return face


def sha256(path):
    """Hex SHA-256 of a file, cached until its size or time changes."""
    status = os.stat(path)
    return _sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(path, size, time):
    del size, time
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _installed():
    """File name -> path over the usual folders; the first found stays."""
    found = {}
    for folder in FOLDERS:
        for root, folders, files in os.walk(os.path.expanduser(folder)):
            folders.sort()
            for name in files:
                found.setdefault(name, os.path.join(root, name))
    return found


def _split(path):
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            "expected every font as a str or Path. "
            f"Received: {path!r} ({type(path).__name__})"
        )
    path = os.fspath(path)
    if os.path.isfile(path):  # A file name may itself hold "#".
        return path, 0
    path, _, index = path.partition("#")
    if index and not index.isdecimal():
        raise ValueError(
            'expected "path" or "path#face index". '
            f"Received: {path + '#' + index!r}"
        )
    return path, int(index or 0)


def _locate(entries):
    missing = []
    for path, index in entries:
        if not os.path.isfile(path) and os.path.basename(path) == path:
            path = _installed().get(path, path)
        if os.path.isfile(path):
            yield os.path.abspath(path), index
        elif path not in missing:
            missing.append(path)
    if missing:
        raise FileNotFoundError(
            "expected every font file of the stack to be installed; the Noto "
            f"files come by: {_noto.INSTALL}. Received: missing "
            f"{', '.join(missing)}; looked in {', '.join(FOLDERS)}"
        )
