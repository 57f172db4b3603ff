"""Fonts as data: order, coverage, checksums, errors."""

import pickle

import pytest
from fontTools import unicodedata
from fontTools.ttLib import TTFont
from made_fonts import builder

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack
from pixmodels.renderers import _installed
from pixmodels.renderers import _noto
from pixmodels.renderers import _scripts
from pixmodels.renderers.font_stack import sha256


def test_default_stack(renderer):
    stack = renderer.font_stack
    assert stack.names[0] == "NotoSans-Regular.ttf#0"
    assert len(set(stack.paths)) == len(stack) == len(_noto.default_files())
    assert stack.names == tuple(_noto.default_files())


def test_han_face_follows_language(renderer):
    def face(language):
        names = CairoRenderer(language=language).font_stack.names
        return next(name for name in names if "CJK" in name)

    assert face(None) == "NotoSansCJK-Regular.ttc#2"
    assert face("ja") == "NotoSansCJK-Regular.ttc#0"
    assert face("ko-KR") == "NotoSansCJK-Regular.ttc#1"
    assert face("zh-Hant-TW") == "NotoSansCJK-Regular.ttc#3"
    assert face("zh") == face("jav") == "NotoSansCJK-Regular.ttc#2"


def test_regional_han_forms_differ(renderer):
    text = "直骨"
    pictures = {
        CairoRenderer(FontStack.default(han))(text).pixels.tobytes()
        for han in ("SC", "JP")
    }
    assert len(pictures) == 2


def test_coverage(latin, renderer):
    stack = latin.font_stack
    assert stack.covers(0, "abc é")
    assert stack.covers(0, "e\u0301\u200d\ufe0f")
    assert not stack.covers(0, "日")
    assert stack.covers(0, "")
    default = renderer.font_stack
    index = default.font_for("ب")
    assert "Arabic" in default.names[index]
    assert default.font_for(",", index) == index or "," not in "،"
    assert default.font_for("日", index) != index
    # Nobody has it: the first font draws its .notdef.
    assert default.font_for("\U000e1000", index) == 0
    # The letter is drawn where a mark after it is missing everywhere.
    assert default.font_for("ب\U000e1000", None) == index


def test_coverage_table(latin, renderer):
    (row,) = latin.font_stack.coverage()
    assert row.font == "NotoSans-Regular.ttf#0"
    # Counted from the font's map by another library.
    best = TTFont(latin.font_stack.entry(0)[0]).getBestCmap()
    assert row.characters == len(best)
    greek = sum(unicodedata.script(chr(code)) == "Grek" for code in best)
    assert row.scripts["Grek"] == greek > 300
    assert next(iter(row.scripts)) == "Latn"
    assert sum(row.scripts.values()) == row.characters
    assert row.colour is None
    table = renderer.font_stack.coverage()
    assert len(table) == len(renderer.font_stack)
    assert [row.font for row in table if row.colour] == ["NotoColorEmoji.ttf#0"]


def test_every_script_of_the_default_stack_has_its_advice(renderer):
    """The file that is named for a script holds most of its characters."""
    most = {}
    for row in renderer.font_stack.coverage():
        if row.font == "HanaMinB.ttf#0":  # Rare characters only.
            continue
        for code, count in row.scripts.items():
            if count > most.get(code, (0, ""))[0]:
                most[code] = count, row.font.split("#")[0]
    for code in {"Zyyy", "Zinh", "Zzzz"} & set(most):
        del most[code]
    assert len(most) > 140
    for code, (_, file) in most.items():
        package, found = _scripts.source(code)
        assert found == file, code
        assert package == (
            "fonts-noto-cjk" if "CJK" in file else "fonts-noto-core"
        )


def test_what_is_not_covered(latin, renderer):
    stack = latin.font_stack
    text = "Reading \n is नमस्ते ไทย 日本 \U0001f600 🇩🇪 é e\u0301 \ud800"
    assert not stack.covers_text(text)
    assert set(stack.uncovered("aไaไ日")) == {"ไ", "日"}
    assert stack.uncovered("ไaไ日") == ("ไ", "日")
    assert list(stack.missing_scripts(text)) == ["Deva", "Hani", "Thai", "Zyyy"]
    assert stack.missing_scripts("aไท") == {"Thai": ("ไ", "ท")}
    with pytest.raises(ValueError, match="not covered: Devanagari") as caught:
        stack.require(text)
    message = str(caught.value)
    for part in (
        "(U+0E44, U+0E17, U+0E22): apt-get install fonts-noto-core "
        "(NotoSansThai-Regular.ttf)",
        "fonts-noto-cjk (NotoSansCJK-Regular.ttc)",
        "fonts-noto-color-emoji (NotoColorEmoji.ttf)",
        "FontStack(['NotoSans-Regular.ttf#0'])",
    ):
        assert part in message
    assert renderer.font_stack.covers_text(text)
    renderer.font_stack.require(text)
    # What renderers draw in other ways is not asked for.
    stack.require("a\tb\r\n\x00\u200d\ud800")
    stack.require("")


def test_what_is_missing_is_what_the_renderer_reports(latin, renderer):
    text = "a\u0e44 日\U000e1000 \U0001f9ff क्ष ☃"
    for drawn in (latin, renderer):
        (missing,) = drawn(text).missing
        assert missing == drawn.font_stack.uncovered(text)


def test_advice_for_a_script_that_debian_lacks(renderer):
    with pytest.raises(ValueError, match="Debian 12 has no Noto font"):
        renderer.font_stack.require("\U0001e290")  # Toto.
    with pytest.raises(ValueError, match="Symbols2-Regular"):
        FontStack(["NotoSansThai-Regular.ttf"]).require("\u2603")


def test_families(latin, renderer):
    stack = FontStack.from_families(
        ["Noto Sans", "noto sans thai", "Noto Sans CJK JP", "Noto Color Emoji"]
    )
    assert stack.names == (
        "NotoSans-Regular.ttf#0",
        "NotoSansThai-Regular.ttf#0",
        "NotoSansCJK-Regular.ttc#0",
        "NotoColorEmoji.ttf#0",
    )
    bold = FontStack.from_families(["Noto Sans"], style="bold")
    assert bold.names == ("NotoSans-Bold.ttf#0",)
    assert FontStack.from_config(stack.config()) == stack


def test_families_that_are_not_installed(latin):
    with pytest.raises(FileNotFoundError, match="nearest are: .*noto sans"):
        FontStack.from_families(["Noto Sanz"])
    with pytest.raises(FileNotFoundError, match="styles .*bold.*'Slim'"):
        FontStack.from_families(["Noto Sans"], style="Slim")
    for wrong in ("Noto Sans", [7], None):
        with pytest.raises(TypeError, match="Received: families="):
            FontStack.from_families(wrong)
    with pytest.raises(ValueError, match="at least one font"):
        FontStack.from_families([])


def test_families_of_a_folder(tmp_path, monkeypatch):
    """Names from the font files alone; no fontconfig in between."""
    for cached in (_installed.installed, _installed.families):
        cached.cache_clear()
    monkeypatch.setattr(_installed, "FOLDERS", (str(tmp_path),))
    (tmp_path / "deep").mkdir()
    builder("Hand Made", "Bold").save(tmp_path / "deep" / "x.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    try:
        stack = FontStack.from_families(["hand made"], style="BOLD")
        assert stack.paths == (f"{tmp_path}/deep/x.ttf#0",)
        assert FontStack(["x.ttf"]) == stack
    finally:
        for cached in (_installed.installed, _installed.families):
            cached.cache_clear()


def test_config_round_trip(latin):
    config = latin.font_stack.config()
    (font,) = config["fonts"]
    assert font["index"] == 0
    assert len(font["sha256"]) == 64
    assert FontStack.from_config(config) == latin.font_stack
    # Another machine: found by name.
    moved = {"fonts": [{**font, "path": "/nowhere/NotoSans-Regular.ttf"}]}
    assert FontStack.from_config(moved) == latin.font_stack


def test_config_refuses_another_file(latin):
    (font,) = latin.font_stack.config()["fonts"]
    config = {"fonts": [{**font, "sha256": "0" * 64}]}
    with pytest.raises(ValueError, match=r"the font file .* SHA-256"):
        FontStack.from_config(config)


def test_checksum_follows_the_file(tmp_path):
    path = tmp_path / "font.ttf"
    path.write_bytes(b"one")
    first = sha256(str(path))
    path.write_bytes(b"second")
    assert sha256(str(path)) != first


def test_pickle_and_equality(latin):
    stack = latin.font_stack
    stack.font_for("x")
    copy = pickle.loads(pickle.dumps(stack))
    assert copy == stack
    assert hash(copy) == hash(stack)
    assert copy.font_for("x") == 0


def test_missing_file_names_it_and_what_to_install():
    with pytest.raises(FileNotFoundError) as caught:
        FontStack(["Nowhere-Regular.ttf", "/no/such/folder/x.otf#1"])
    message = str(caught.value)
    assert "Nowhere-Regular.ttf, /no/such/folder/x.otf" in message
    assert "apt-get install fonts-noto-core fonts-noto-cjk" in message


def test_default_stack_without_fonts(monkeypatch):
    monkeypatch.setattr(_installed, "installed", dict)
    with pytest.raises(FileNotFoundError, match="missing NotoSans-Regular"):
        FontStack.default()


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ("NotoSans-Regular.ttf", TypeError, "expected a list of font paths"),
        (b"x", TypeError, "expected a list of font paths"),
        (7, TypeError, "expected a list of font paths"),
        ([None], TypeError, "expected every font as a str or Path"),
        ([], ValueError, "expected at least one font"),
        (["x.ttf#one"], ValueError, r"'x.ttf#one'"),
    ],
)
def test_bad_paths(paths, error, message):
    with pytest.raises(error, match=message):
        FontStack(paths)


def test_bad_han():
    with pytest.raises(ValueError, match="Received: han='XX'"):
        FontStack.default("XX")


@pytest.mark.parametrize(
    "content", [b"", b"not a font", b"\0\1\0\0" + bytes(60)]
)
def test_corrupt_file(tmp_path, content):
    path = tmp_path / "broken.ttf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a .*font.*broken\.ttf"):
        CairoRenderer([str(path)])


def test_truncated_font(tmp_path, latin):
    path = tmp_path / "half.ttf"
    with open(latin.font_stack.entry(0)[0], "rb") as file:
        path.write_bytes(file.read(997))
    with pytest.raises(ValueError, match=r"half\.ttf"):
        CairoRenderer([str(path)])


def test_face_that_is_not_there(latin):
    with pytest.raises(ValueError, match=r"NotoSans-Regular\.ttf, face 5"):
        CairoRenderer(["NotoSans-Regular.ttf#5"])


def test_corrupt_fallback_is_named_when_needed(tmp_path, latin):
    path = tmp_path / "broken.ttf"
    path.write_bytes(b"not a font")
    renderer = CairoRenderer(["NotoSans-Regular.ttf", path])
    renderer("Latin only")
    with pytest.raises(ValueError, match=r"broken\.ttf"):
        renderer("日本")
