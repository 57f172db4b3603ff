"""Tables from files: our own small ones, and those of Zeroé and PIXEL."""

import gzip

import pytest

from pixmodels.renderers import noise

UTS39 = """\ufeff# confusables.txt
05AD ;\t0596 ;\tMA\t# ( a -> b ) comment
0430 ;\t0061 ;\tMA\t# CYRILLIC
0251 ;\t0061 ;\tMA\t#
FB01 ;\t0066 0069 ;\tMA\t#
"""
SUMMARY = "# File: x\n\n#\ta\tɑ\tа\n\t(a)\t0061\n#\tɑ\tz\n# total : 3\n"


def test_both_forms_of_confusables(tmp_path):
    path = tmp_path / "confusables.txt"
    path.write_text(UTS39, "utf-8")
    table = noise.read_confusables(path)
    assert table["a"] == ["а", "ɑ"]
    assert table["ɑ"] == ["a", "а"]
    assert table["ﬁ"] == ["fi"]
    path.write_text(SUMMARY, "utf-8")
    table = noise.read_confusables(str(path))
    assert table["ɑ"] == ["a", "а", "z"]
    assert noise.attack("confusable", "z", p=1.0, table=table) == "ɑ"


def test_word_lists(tmp_path):
    path = tmp_path / "typos.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("love luv love\nlone\n\nlove lov luv\n")
    assert noise.read_typos(path) == {"love": ["luv", "lov"]}
    assert noise.read_neighbours(path) == {"love": ["luv", "lov"]}


def test_bad_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    for read in (
        noise.read_confusables,
        noise.read_neighbours,
        noise.read_typos,
        noise.read_embedding,
    ):
        with pytest.raises(ValueError, match="expected .* Received: path="):
            read(path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    for text in ("1 2\na 1.0\n", "2 1\na 1.0\n", "1 1\na x\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="word2vec"):
            noise.read_embedding(path)
    path.write_text("2 3\na 1 2 3\nb 4 5 6.5\n")
    assert noise.read_embedding(path)["b"] == [4.0, 5.0, 6.5]


@pytest.fixture(scope="module")
def data(shared):
    return shared("data/noise_zeroe")


def test_zeroe_keys(data):
    table = noise.read_neighbours(data / "en.key.xz")
    assert len(table) == 26
    assert table["a"] == list("qwsxz")
    attack = noise.get("keyboard_typo", neighbours=table)
    word = "phrases"
    wanted = {
        word[:i] + key + word[i + 1 :]
        for i, letter in enumerate(word)
        for key in table[letter]
    }
    # So many does the original give in 3,000 calls, too.
    assert len(wanted) == 46
    assert {attack(word, p=1.0, index=i) for i in range(1999)} == wanted


def test_zeroe_typos(data):
    table = noise.read_typos(data / "en.natural.xz")
    attack = noise.get("natural_typo", typos=table)
    seen = {attack("girls", p=1.0, index=i) for i in range(399)}
    assert seen == {"gherls", "girles", "gerls", "girs", "grils", "gairls"}
    assert attack("millionaires' club", p=0.0) == "millionaires' club"


def test_pixel_confusables(data):
    """Every look-alike of the original's last class of a character."""
    path = data / "unicode_confusables.txt.xz"
    table = noise.read_confusables(path)
    # Counted with the original's reader: 8,848 characters, 23 for "a".
    assert len(table) >= 8848
    assert len(table["a"]) == 23
    attack = noise.get("confusable", table=table)
    seen = {attack("a", p=1.0, index=i) for i in range(997)}
    assert seen == set(table["a"])


def test_zeroe_embedding(data):
    table = noise.read_embedding(data / "repres.txt.xz")
    assert len(table) == 1285
    assert {len(vector) for vector in table.values()} == {256}
    attack = noise.get("visual", embedding=table)
    near = [character for character, _ in attack.neighbours("e")]
    assert len(near) == 20
    assert set("éèêë") & set(near)
