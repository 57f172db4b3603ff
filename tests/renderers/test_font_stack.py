"""Fonts as data: order, coverage, checksums, errors."""

import pickle

import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import FontStack
from pixmodels.renderers import _noto
from pixmodels.renderers import font_stack
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
    monkeypatch.setattr(font_stack, "_installed", dict)
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
