import gzip
import io
import itertools
import json
import lzma
import os
import pickle
import random
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.tasks import TextField
from pixmodels.tasks import TextFiles
from pixmodels.tasks import _cache
from pixmodels.tasks import _text_spans


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXMODELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def texts_of(files):
    return [files[i] for i in range(len(files))]


LINE = st.text(st.sampled_from("ab c\u3000读é\t\x1f\x85\u2028 "), max_size=7)


@settings(max_examples=60)
@given(
    st.lists(LINE, max_size=23),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([3, 1 << 24]),
)
def test_spans_are_what_python_reads(
    tmp_path_factory, lines, end, final, bom, chunk
):
    path = tmp_path_factory.mktemp("spans") / "a.txt"
    text = end.join(lines) + (end if final else "")
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    before, _text_spans._CHUNK = _text_spans._CHUNK, chunk
    try:
        found = {
            (unit, blank): _text_spans.spans(path, unit, blank)
            for unit in _text_spans.UNITS
            for blank in ("skip", "keep")
        }
    finally:
        _text_spans._CHUNK = before
    data = path.read_bytes()

    def read(*key):
        spans, skipped = found[key]
        texts = [data[a:b].decode().removesuffix("\r") for a, b in spans]
        return texts, skipped

    whole = text.split("\n")
    if whole[-1] == "":
        whole.pop()
    whole = [line.removesuffix("\r") for line in whole]
    inked = [line for line in whole if line.strip()]
    assert read("line", "keep") == (whole, 0)
    assert read("line", "skip") == (inked, len(whole) - len(inked))
    assert read("file", "skip")[0] == (
        [text.removesuffix(end)] if inked else []
    )
    groups, group = [], []
    for line in [*whole, ""]:
        if line.strip():
            group.append(line)
        elif group:
            groups.append(end.join(group))
            group = []
    assert read("paragraph", "skip") == (groups, 0)


@given(st.text("ab é读", max_size=60), st.integers(4, 13))
def test_long_texts_are_cut_at_white_space(text, most):
    data = text.encode()
    found = np.array([[0, len(data)], [0, 0]])
    spans = _text_spans._cut(data, found, most)
    pieces = [data[a:b].decode() for a, b in spans[:-1]]
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= most for piece in pieces)
    for piece, after in itertools.pairwise(pieces):
        # In the middle of a word only where the word is as long as that.
        assert after.startswith(" ") or " " not in piece[1:]
        assert piece


def make_folder(folder):
    """Files of all kinds; the texts in order."""
    (folder / "in").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n\n \ntwo\r\nthree")
    (folder / "b.txt").write_text("")
    (folder / "no.md").write_text("no")
    with gzip.open(folder / "c.txt.gz", "wt") as file:
        file.write("four\n")
    with lzma.open(folder / "in" / "d.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\ufefffünf\nsix\n")
    return ["one", "two", "three", "four", "fünf", "six"]


def test_folders_and_packed_files(tmp_path, cache):
    wanted = make_folder(tmp_path / "texts")
    files = TextFiles(tmp_path / "texts")
    assert texts_of(files) == wanted
    assert files.num_blank == 2
    assert files[-1] == "six"
    with pytest.raises(IndexError):
        files[6]
    assert files.place(2) == f"{tmp_path}/texts/a.txt:5"
    assert files.place(5) == f"{tmp_path}/texts/in/d.txt.xz:2"
    again = pickle.loads(pickle.dumps(files))
    assert texts_of(again) == wanted
    assert len(pickle.dumps(files)) < 2000
    index = sorted(cache.rglob("*.npy"))
    before = [path.stat().st_mtime_ns for path in index]
    assert texts_of(TextFiles(str(tmp_path / "texts"))) == wanted
    assert [path.stat().st_mtime_ns for path in index] == before
    whole = TextFiles(tmp_path / "texts", unit="file")
    assert texts_of(whole)[1:] == ["four", "fünf\nsix"]
    assert len(TextFiles(tmp_path / "texts", blank="keep")) == 8


def test_archives(tmp_path):
    def pack(path, mode):
        with tarfile.open(path, mode) as archive:
            for name, text in (
                ("t/b.txt", b"b1\nb2"),
                ("t/a.txt", b"a1"),
                ("t/x.md", b"x"),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))

    pack(tmp_path / "t.tar.xz", "w:xz")
    files = TextFiles([tmp_path / "t.tar.xz"])
    assert texts_of(files) == ["a1", "b1", "b2"]
    assert files.place(2).endswith("t.tar.xz:t/b.txt:2")


def test_many_files_are_not_all_open(tmp_path):
    for number in range(300):
        (tmp_path / f"{number:03}.txt").write_text(f"{number}\n{-number}")
    files = TextFiles(tmp_path)
    order = list(range(600))
    random.Random(0).shuffle(order)
    before = len(os.listdir("/proc/self/fd"))
    for i in order:
        assert files[i] == str(i // 2 if i % 2 == 0 else -(i // 2))
    assert len(os.listdir("/proc/self/fd")) - before <= 256


def test_mistakes_name_file_and_line(tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"good\ngood\nb\xffd\n")
    with pytest.raises(ValueError, match=r"UTF-8.*bad\.txt:3, byte 0xff"):
        TextFiles(bad)
    with gzip.open(tmp_path / "bad.txt.gz", "wb") as file:
        file.write(b"x\n\xc3(")
    with pytest.raises(ValueError, match=r"bad\.txt\.gz:2, byte 0xc3"):
        TextFiles(tmp_path / "bad.txt.gz")
    whole = lzma.compress(os.urandom(5000))
    (tmp_path / "cut.txt.xz").write_bytes(whole[:2500])
    with pytest.raises(ValueError, match=r"complete packed file.*cut\.txt\.xz"):
        TextFiles(tmp_path / "cut.txt.xz")
    (tmp_path / "cut.tar.xz").write_bytes(whole[:2500])
    with pytest.raises(ValueError, match=r"complete packed.*cut\.tar\.xz"):
        TextFiles(tmp_path / "cut.tar.xz")
    (tmp_path / "blank.txt").write_text("a\nb\n\t\nc")
    with pytest.raises(ValueError, match=r"blank='error'.*blank\.txt:3"):
        TextFiles(tmp_path / "blank.txt", blank="error")
    (tmp_path / "empty.txt").write_text(" \n\n")
    with pytest.raises(ValueError, match=r"not blank.*empty\.txt, blank"):
        TextFiles(tmp_path / "empty.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"\*\.txt\.bz2 in the folder"):
        TextFiles(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="file or folder of texts"):
        TextFiles(tmp_path / "other")
    with pytest.raises(ValueError, match="paths=\\[\\]"):
        TextFiles([])
    with pytest.raises(ValueError, match="unit='word'"):
        TextFiles(bad, unit="word")
    with pytest.raises(ValueError, match="most_bytes=3"):
        TextFiles(bad, most_bytes=3)


def test_a_file_that_changes_is_noticed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    files = TextFiles(path)
    path.write_text("one\nother\n")
    with pytest.raises(ValueError, match=r"stays as it is.*a\.txt"):
        files[0]
    assert texts_of(TextFiles(path)) == ["one", "other"]


def test_a_damaged_cache_is_made_anew(cache):
    key = _cache.key_of({"a": [1, "é\ud800"]})
    assert _cache.load("kind", key) is None
    array = np.arange(14).reshape(7, 2)
    path, found, info = _cache.save("kind", key, array, {"b": 3})
    np.testing.assert_array_equal(found, array)
    assert _cache.load("kind", key)[2] == info == {"b": 3}
    data = path.read_bytes()
    for damage in (data[:-3], data[:-1] + b"\x01", b""):
        path.write_bytes(damage)
        with pytest.warns(UserWarning, match=rf"made anew.*{key}"):
            assert _cache.load("kind", key) is None
        _cache.save("kind", key, array, {"b": 3})
        np.testing.assert_array_equal(_cache.load("kind", key)[1], array)
    path.with_suffix(".json").write_text("{")
    with pytest.warns(UserWarning, match="made anew"):
        assert _cache.load("kind", key) is None
    assert sorted(f.name for f in (cache / "kind").iterdir()) == [
        f"{key}.json",
        f"{key}.npy",
    ]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXMODELS_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="PIXMODELS_CACHE names another"):
        _cache.folder("kind")


def test_texts_of_all_kinds_of_examples():
    field = TextField(
        [
            "a",
            "é".encode(),
            ("a", b"b"),
            ["a", "b"],
            {"text": b"c", "label": 3},
            np.array("d"),
            np.array(["e", "f"]),
            {"text": np.array(b"g", object)},
        ]
    )
    assert texts_of(field) == [
        *["a", "é", ("a", "b"), ["a", "b"], "c", "d", ["e", "f"], "g"]
    ]
    with pytest.raises(ValueError, match=r"label.*field='title'.*\[4\]"):
        TextField(field.examples, "title")[4]
    with pytest.raises(ValueError, match=r"UTF-8.*examples\[0\]"):
        TextField([b"\xff"])[0]
    with pytest.raises(TypeError, match=r"examples\[1\] with 3 \(int\)"):
        TextField(["a", 3])[1]
    for wrong in ("text", 7, iter(["a"])):
        with pytest.raises(TypeError, match="__len__ and __getitem__"):
            TextField(wrong)


def test_fingerprints(tmp_path):
    prints = {
        TextField(texts, key).fingerprint()
        for texts, key in (
            (["a", "b"], None),
            (["a", ("b", "")], None),
            (["a", ["b", ""]], None),
            (["ab", ""], None),
        )
    }
    # A pair and a list are drawn in another way, but json takes them for one.
    assert len(prints) >= 3
    one = [{"t": "a", "u": "b"}]
    assert (
        TextField(one, "t").fingerprint() != TextField(one, "u").fingerprint()
    )
    (tmp_path / "a.txt").write_text("a\nb")
    files = TextFiles(tmp_path / "a.txt")
    assert TextField(files).fingerprint() == f"{files.fingerprint()} None"
    assert json.dumps(files.fingerprint())
