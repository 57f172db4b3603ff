"""Our shaping beside Debian's HarfBuzz, run by run, over real texts.

Debian 12 has HarfBuzz 6.0.0, uharfbuzz a newer one. The library is called for
every run, the program hb-shape for a sample. The texts are the Universal
Declaration of Human Rights in 354 languages."""

import collections
import ctypes
import json
import shutil
import subprocess
import tarfile
import unicodedata

import numpy as np
import pytest
import random_texts
import regex
import uharfbuzz

from pixmodels.renderers import _bidi
from pixmodels.renderers import _bidi_classes
from pixmodels.renderers import _harfbuzz
from pixmodels.renderers._clean import clean
from pixmodels.renderers._itemise import itemise
from pixmodels.renderers._libraries import fribidi
from pixmodels.training._pango import PangoCairoRenderer

# Runs of these texts differ, all with NotoSansMyanmar: where the font puts a
# spacing glyph before a base (one glyph becomes two), HarfBuzz 6 attaches no
# mark to the base, HarfBuzz >= 7.0.1 does (its commit adccc5355, "[MarkBase]
# Adjust base-finding logic", for issue 4124).
MYANMAR = {"mnw": 20, "mya": 6}
SPACERS = {"sp1", "sp3", "sp5"}
POINTER = ctypes.c_void_p
UINT = ctypes.c_uint
SIGNATURES = {
    "hb_version_string": (ctypes.c_char_p, []),
    "hb_blob_create_from_file": (POINTER, [ctypes.c_char_p]),
    "hb_face_create": (POINTER, [POINTER, UINT]),
    "hb_font_create": (POINTER, [POINTER]),
    "hb_font_set_scale": (None, [POINTER, UINT, UINT]),
    "hb_buffer_create": (POINTER, []),
    "hb_buffer_destroy": (None, [POINTER]),
    "hb_buffer_set_flags": (None, [POINTER, UINT]),
    "hb_buffer_set_cluster_level": (None, [POINTER, UINT]),
    "hb_buffer_add_utf32": (None, [POINTER, POINTER, UINT, UINT, UINT]),
    "hb_buffer_set_direction": (None, [POINTER, UINT]),
    "hb_buffer_set_script": (None, [POINTER, UINT]),
    "hb_buffer_set_language": (None, [POINTER, POINTER]),
    "hb_script_from_string": (UINT, [ctypes.c_char_p, ctypes.c_int]),
    "hb_language_from_string": (POINTER, [ctypes.c_char_p, ctypes.c_int]),
    "hb_direction_from_string": (UINT, [ctypes.c_char_p, ctypes.c_int]),
    "hb_shape": (None, [POINTER, POINTER, POINTER, UINT]),
    "hb_buffer_get_glyph_infos": (POINTER, [POINTER, POINTER]),
    "hb_buffer_get_glyph_positions": (POINTER, [POINTER, POINTER]),
}


class Debian:
    """Debian's libharfbuzz, with a new buffer for every run."""

    def __init__(self, size):
        self.hb = ctypes.CDLL("libharfbuzz.so.0")
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(self.hb, name)
            function.restype = result
            function.argtypes = arguments
        self.version = self.hb.hb_version_string().decode()
        self.size = size
        self.fonts = {}

    def font(self, path, index):
        if (path, index) not in self.fonts:
            hb = self.hb
            blob = hb.hb_blob_create_from_file(path.encode())
            font = hb.hb_font_create(hb.hb_face_create(blob, index))
            hb.hb_font_set_scale(font, self.size, self.size)
            self.fonts[path, index] = font
        return self.fonts[path, index]

    def shape(self, font, text, run):
        """int32 (n, 6): glyph, cluster, advances, offsets."""
        hb = self.hb
        buffer = hb.hb_buffer_create()
        hb.hb_buffer_set_flags(buffer, 1 | 2)  # Begin and end of text.
        hb.hb_buffer_set_cluster_level(buffer, 1)  # Monotone characters.
        encoded = text.encode("utf-32-le")
        hb.hb_buffer_add_utf32(
            buffer, encoded, len(text), run.start, run.end - run.start
        )
        name = b"rtl" if run.level & 1 else b"ltr"
        direction = hb.hb_direction_from_string(name, -1)
        hb.hb_buffer_set_direction(buffer, direction)
        script = hb.hb_script_from_string(run.script.encode(), -1)
        hb.hb_buffer_set_script(buffer, script)
        language = hb.hb_language_from_string(b"c", -1)
        hb.hb_buffer_set_language(buffer, language)
        hb.hb_shape(font, buffer, None, 0)
        count = UINT()
        parts = []
        for part in ("infos", "positions"):
            get = getattr(hb, f"hb_buffer_get_glyph_{part}")
            start = get(buffer, ctypes.byref(count))
            size = 20 * count.value
            data = np.frombuffer(ctypes.string_at(start, size), np.int32)
            parts.append(data.reshape(-1, 5))
        hb.hb_buffer_destroy(buffer)
        return np.hstack([parts[0][:, [0, 2]], parts[1][:, :4]])


@pytest.fixture(scope="module")
def texts(shared):
    """Code -> list of lines."""
    path = shared("data/udhr/udhr_shared.tar.xz")
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("udhr/").removesuffix(".txt")
            content = archive.extractfile(member).read().decode("utf-8")
            found[name] = [clean(line)[0] for line in content.splitlines()]
    return found


@pytest.fixture(scope="module")
def debian(renderer):
    try:
        library = Debian(renderer._shaper.size)
    except OSError as error:
        pytest.skip(f"apt-get install libharfbuzz0b: {error}")
    if library.version != "6.0.0" or not newer():
        pytest.skip(
            "differences are known between HarfBuzz 6.0.0 and 15.0.0, here "
            f"are {library.version} and {uharfbuzz.version_string()}"
        )
    return library


def newer():
    return uharfbuzz.version_string() == "15.0.0"


def runs(renderer, lines):
    """(line, run) of every run that is shaped."""
    for line in lines:
        levels, _ = _bidi.levels(line)
        for run in itemise(line, levels, renderer.font_stack):
            if line[run.start] != "\t":
                yield line, run


def ours(renderer, line, run):
    shaper = renderer._shaper
    infos, positions = _harfbuzz.Buffer("c").shape(
        shaper.font(run.font).harfbuzz,
        line.encode("utf-32-le"),
        run.start,
        run.end,
        run.level,
        _harfbuzz.tag(run.script),
        shaper.features(run.script),
    )
    return np.hstack([infos[:, [0, 2]], positions[:, :4]])


def compare(renderer, debian, texts):
    """Checks every run; `(number of runs, Counter of known differences)`."""
    count = 0
    known = collections.Counter()
    for name, lines in texts.items():
        for line, run in runs(renderer, lines):
            path, index = renderer.font_stack.entry(run.font)
            found = ours(renderer, line, run)
            font = debian.font(path, index)
            wanted = debian.shape(font, line, run)
            count += 1
            if not np.array_equal(found, wanted):
                assert is_myanmar(path, found, wanted), (name, line, run)
                known[name] += 1
    return count, known


def is_myanmar(path, found, wanted):
    """Only offsets of marks differ that follow a spacing glyph's base."""
    if not path.endswith("NotoSansMyanmar-Regular.ttf"):
        return False
    if not np.array_equal(found[:, :4], wanted[:, :4]):
        return False
    from fontTools import ttLib

    with ttLib.TTFont(path, lazy=True) as font:
        glyphs = font.getGlyphOrder()
    for place in np.nonzero(np.any(found != wanted, axis=1))[0]:
        base = place
        while found[base, 2] == 0:  # Marks have no advance.
            base -= 1
        spacer = glyphs[found[base - 1, 0]]
        if spacer not in SPACERS or found[base, 1] != found[base - 1, 1]:
            return False
        if np.any(wanted[place, 4:]):
            return False  # HarfBuzz 6 leaves these marks where they are.
    return True


def test_sample_of_texts(renderer, debian, texts):
    sample = {name: texts[name] for name in sorted(texts)[::13]}
    sample |= {name: texts[name] for name in MYANMAR}
    count, known = compare(renderer, debian, sample)
    assert count > 2_000
    assert known == MYANMAR


@pytest.mark.slow
def test_all_texts(renderer, debian, texts):
    count, known = compare(renderer, debian, texts)
    assert len(texts) == 354
    assert count > 35_000
    assert known == MYANMAR


SAMPLE = """
    spa vie ell_polytonic rus heb arb urd_2 aii hin ben guj pan tam tel kan mal
    sin tha khm amh hye csw san_gran tgl_tglg kor jpn cmn_hans_beijing
""".split()
PROGRAM = "hb-shape --output-format=json --no-glyph-names --cluster-level=1"


def program(renderer, run, lines, before="", after=""):
    """Glyphs by hb-shape: a list of int (n, 5) arrays, one per line."""
    path, index = renderer.font_stack.entry(run.font)
    process = subprocess.run(
        [
            *PROGRAM.split(),
            "--bot",
            "--eot",
            "--utf8-clusters",
            f"--font-file={path}",
            f"--face-index={index}",
            f"--font-size={renderer._shaper.size}",
            f"--direction={'rtl' if run.level & 1 else 'ltr'}",
            f"--script={run.script}",
            "--language=c",
            f"--text-before={before}",
            f"--text-after={after}",
        ],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    keys = ("g", "cl", "ax", "dx", "dy")
    return [
        np.array([[glyph[key] for key in keys] for glyph in json.loads(line)])
        for line in process.stdout.splitlines()
    ]


def in_bytes(line, run, glyphs):
    """Our glyphs as hb-shape gives them: clusters in bytes of the run."""
    places = [len(line[run.start : i].encode()) for i in glyphs[:, 1]]
    return np.column_stack([glyphs[:, 0], places, glyphs[:, [2, 4, 5]]])


def test_program_on_whole_lines(renderer, debian, texts):
    """Lines of one run each, one process for all lines of a language."""
    if shutil.which("hb-shape") is None:
        pytest.skip("apt-get install libharfbuzz-bin")
    compared = 0
    for name in SAMPLE:
        whole = [
            (line, run)
            for line, run in runs(renderer, texts[name])
            if run.end - run.start == len(line)
        ]
        assert whole, name
        first = whole[0][1]
        whole = [pair for pair in whole if pair[1][2:] == first[2:]][:20]
        results = program(renderer, first, [line for line, _ in whole])
        assert len(results) == len(whole)
        for (line, run), wanted in zip(whole, results):
            found = in_bytes(line, run, ours(renderer, line, run))
            assert np.array_equal(found, wanted), line
            compared += 1
    assert compared > 300


def test_program_on_runs_in_context(renderer, debian, texts):
    if shutil.which("hb-shape") is None:
        pytest.skip("apt-get install libharfbuzz-bin")
    compared = 0
    for name in ("heb", "ydd", "urd_2", "jpn", "kor", "khk"):
        inner = [
            (line, run)
            for line, run in runs(renderer, texts[name])
            if run.end - run.start < len(line)
        ]
        for line, run in inner[::31]:
            (wanted,) = program(
                renderer,
                run,
                [line[run.start : run.end]],
                line[: run.start],
                line[run.end :],
            )
            found = in_bytes(line, run, ours(renderer, line, run))
            assert np.array_equal(found, wanted), (line, run)
            compared += 1
    assert compared > 5


FONTS = """
    NotoSans-Regular.ttf NotoSansArabic-Regular.ttf NotoSansHebrew-Regular.ttf
    NotoSansDevanagari-Regular.ttf NotoSansMyanmar-Regular.ttf
    NotoSansCJK-Regular.ttc#2 DejaVuSans.ttf
""".split()


def comparable(character, characters):
    """Whether Pango 1.50 with FriBidi 1.0.8 takes a character as we do.

    Not so: characters that FriBidi's tables do not know; U+202A-U+202E, from
    which Pango takes a base direction (UAX #9, P2, does not); emoji, which
    Pango cuts from the marks on them.
    """
    kind = fribidi().fribidi_get_bidi_type
    kind.restype, kind.argtypes = ctypes.c_uint32, [ctypes.c_uint32]
    return (
        ord(character) in characters
        and unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        and not "\u202a" <= character <= "\u202e"
        and not regex.match(r"\p{Emoji_Presentation}", character)
        and kind(ord(character)) == _bidi_classes.CLASSES[character]
    )


@pytest.mark.parametrize("font", FONTS)
def test_random_texts_look_as_pango_draws_them(make_renderer, debian, font):
    """Pixels, where HarfBuzz 6, which Pango uses, shapes as ours does."""
    renderer = make_renderer(font)
    path, index = renderer.font_stack.entry(0)
    try:
        theirs = PangoCairoRenderer(f"{path}#{index}")
    except ImportError as error:
        pytest.skip(str(error)[:200])
    characters = frozenset(renderer._shaper.font(0).shaping.face.unicodes)
    compared = 0
    for seed in range(300):
        texts = random_texts.Texts(seed)
        text = "".join(
            character
            for character in " ".join(texts.text() for _ in range(3))
            if comparable(character, characters)
        )
        if all(
            np.array_equal(
                ours(renderer, line, run),
                debian.shape(debian.font(path, index), line, run),
            )
            for line, run in runs(renderer, [text])
        ):
            batch = renderer([text], num_patches=529)
            drawn = theirs.text(text)
            assert np.array_equal(batch.pixels[0], drawn["pixels"]), text
            assert batch.num_patches[0] == drawn["num_patches"]
            compared += 1
    assert compared > 200
