"""Readers of labelled text against files written by hand."""

import bz2
import gzip
import json
import lzma

import pytest

from pixmodels import tasks
from pixmodels.tasks import _text_files

TREEBANK = """\
# sent_id = 1
# text = Der Hund läuft zum Baum.
1\tDer\tder\tDET\tART\t_\t2\tdet\t_\t_
2\tHund\tHund\tNOUN\tNN\t_\t3\tnsubj:pass\t_\t_
3\tläuft\tlaufen\tVERB\tVVFIN\t_\t0\troot\t_\t_
4-5\tzum\t_\t_\t_\t_\t_\t_\t_\t_
4\tzu\tzu\tADP\tAPPR\t_\t6\tcase\t_\t_
5\tdem\tder\tDET\tART\t_\t6\tdet\t_\t_
5.1\tleer\t_\t_\t_\t_\t_\t_\t_\t_
6\tBaum\tBaum\tNOUN\tNN\t_\t3\tobl\t_\tSpaceAfter=No
7\t.\t.\tPUNCT\t$.\t_\t3\tpunct\t_\t_

1\tJa\tja\tINTJ\t_\t_\t_\t_\t_\t_
"""


@pytest.fixture
def file(tmp_path):
    def write(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_conllu(file):
    path = file("a.conllu", TREEBANK)
    first, second = tasks.read_conllu(path)
    assert first.words == ("Der", "Hund", "läuft", "zu", "dem", "Baum", ".")
    assert first.tags[:3] == ("DET", "NOUN", "VERB")
    assert first.heads == (2, 3, 0, 6, 6, 3, 3)
    assert first.relations[1] == "nsubj"
    assert first.lines == (3, 4, 5, 7, 8, 10, 11)
    assert (second.heads, second.relations) == ((-1,), (None,))
    first, second = tasks.read_conllu(path, tags="xpos", subtypes=True)
    assert first.tags[2] == "VVFIN"
    assert first.relations[1] == "nsubj:pass"
    assert second.tags == (None,)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("2\tHund\tHund", "2\tHund Hund", 4, "10 columns"),
        ("2\tHund", "3\tHund", 4, "word number 2"),
        ("2\tHund", "zwei\tHund", 4, "word number 2"),
        ("_\t6\tcase", "_\tsix\tcase", 7, "a head from 0 to 7"),
        ("_\t6\tcase", "_\t8\tcase", 7, "a head from 0 to 7"),
    ],
)
def test_bad_conllu(file, old, new, line, words):
    path = file("a.conllu", TREEBANK.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"a.conllu:{line}: ") as caught:
        tasks.read_conllu(path)
    assert words in str(caught.value)


def test_tagged_words(file):
    text = "-DOCSTART- O\n\nRuth B-PER\nSo\u00a0what O\n\n\nKisumu\tB-LOC\n"
    first, second = tasks.read_tagged(file("a.txt", text))
    assert (first.words, first.tags) == (("Ruth", "So"), ("B-PER", "O"))
    assert second.words == ("Kisumu",)
    assert second.lines == (7,)
    four = "U.N. NNP I-NP I-ORG\nofficial NN I-NP O\n"
    (found,) = tasks.read_tagged(file("b.txt", four), tag_column=1)
    assert found.tags == ("NNP", "NN")
    with pytest.raises(ValueError, match=r"c\.txt:2: 1 column"):
        tasks.read_tagged(file("c.txt", "a O\nb\n"))
    with pytest.raises(ValueError, match=r"d\.txt:1: 2 column"):
        tasks.read_tagged(file("d.txt", "a O\n"), tag_column=3)
    with pytest.raises(ValueError, match="a sentence at least"):
        tasks.read_tagged(file("e.txt", "\n"))


def test_tables(file):
    rows = 'text\tlabel\nsay "so\tgood\n\nno\tbad\n'
    found = tasks.read_table(file("a.tsv", rows))
    assert [e.text for e in found] == ['say "so', "no"]
    assert [(e.label, e.line) for e in found] == [("good", 2), ("bad", 4)]
    rows = 'a,b,score\n"x, y","z\nz",2.5\nu,v,-1\n'
    found = tasks.read_table(
        file("a.csv", rows), text="a", pair="b", label="score", numbers=True
    )
    assert [e.text for e in found] == [("x, y", "z\nz"), ("u", "v")]
    assert [(e.label, e.line) for e in found] == [(2.5, 3), (-1.0, 4)]
    rows = (
        json.dumps({"s": "é", "y": 3}) + "\n" + json.dumps({"s": "b", "y": 0})
    )
    found = tasks.read_table(file("a.jsonl", rows), text="s", label="y")
    assert [(e.text, e.label) for e in found] == [("é", "3"), ("b", "0")]
    found = tasks.read_table(
        file("b.tsv", "y\tw\nn\tv\n"), text="1", label="0", header=False
    )
    assert [(e.label, e.text) for e in found] == [("y", "w"), ("n", "v")]


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("a.tsv", "txt\tlabel\na\tb\n", {}, ["a.tsv:2", "Did you mean 'txt'"]),
        (
            "a.tsv",
            "text\tlabel\na\n",
            {},
            ["a.tsv:2", "2 columns"],
        ),
        ("a.csv", 'text,label\n"a,b\n', {}, ["a.csv:2", "CSV"]),
        ("a.jsonl", '{"text": "a"}\n', {}, ["a.jsonl:1", "'label'"]),
        ("a.jsonl", "[1]\n", {}, ["a.jsonl:1", "a JSON object", "list"]),
        ("a.jsonl", "{\n", {}, ["a.jsonl:1", "JSON"]),
        (
            "a.tsv",
            "text\tlabel\na\tten\n",
            {"numbers": True},
            ["a.tsv:2", "a number", "'ten'"],
        ),
        ("a.tsv", "text\tlabel\n", {}, ["a row at least"]),
        ("a.doc", "text\tlabel\n", {}, [".tsv, .csv or .jsonl", "a.doc"]),
    ],
)
def test_bad_tables(file, name, text, options, words):
    with pytest.raises(ValueError, match="Received: ") as caught:
        tasks.read_table(file(name, text), **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("a , b .", "a, b."),
        ("it 's n't ( so ) !", "it's n't (so)!".replace(" n't", "n't")),
        ('he said " no " .', 'he said"no".'),
        ("a [ b ] # 1 / 2 ?", "a [b]# 1/ 2?"),
        ("plain text", "plain text"),
    ],
)
def test_spaces_of_tokenizers(file, text, stripped):
    """Worked by hand from what the original takes out."""
    path = file("a.tsv", f"text\tlabel\n{text}\t0\n")
    (found,) = tasks.read_table(path, strip=True)
    assert found.text == stripped


def squad(answers, context="The owl wrote.", **more):
    asked = {"id": "q1", "question": "Who?", "answers": answers, **more}
    paragraphs = [{"context": context, "qas": [asked]}]
    return {"data": [{"title": "t", "paragraphs": paragraphs}]}


def test_questions(file):
    answers = [{"text": "owl", "answer_start": 4}]
    path = file("a.json", json.dumps(squad(answers)))
    (found,) = tasks.read_questions(path)
    assert (found.id, found.question, found.answers) == (
        "q1",
        "Who?",
        ((4, 7),),
    )
    assert found.texts == ("owl",)
    for none in (squad([]), squad(answers, is_impossible=True)):
        values = json.dumps(none)
        (found,) = tasks.read_questions(file("b.json", values))
        assert found.answers == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            squad([{"text": "cat", "answer_start": 4}]),
            ["data[0].paragraphs[0].qas[0].answers[0]", "'owl' there"],
        ),
        (squad([{"text": "owl"}]), ["'answer_start' as int", "none"]),
        (squad([], context=7), ["paragraphs[0]", "'context' as str", "int"]),
        ({"data": {}}, ["at the top", "'data' as list", "dict"]),
        ([], ["at the top", "list"]),
        ({"data": []}, ["a question at least"]),
    ],
)
def test_bad_questions(file, values, words):
    path = file("a.json", json.dumps(values))
    with pytest.raises(ValueError, match=r"a\.json") as caught:
        tasks.read_questions(path)
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(ValueError, match=r"b\.json:2"):
        tasks.read_questions(file("b.json", '{"data":\n]}'))


def test_compressed_and_damaged_files(file, tmp_path):
    for suffix, module in ((".gz", gzip), (".xz", lzma), (".bz2", bz2)):
        path = tmp_path / f"a.txt{suffix}"
        path.write_bytes(module.compress(b"a O\nb O\n"))
        assert len(tasks.read_tagged(path)[0].words) == 2
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"a\.txt\.bz2"):
        tasks.read_tagged(path)
    for suffix, module in ((".gz", gzip), (".xz", lzma), (".bz2", bz2)):
        path = tmp_path / f"b.txt{suffix}"
        for damage in (b"\xff", b"\x00\xff" * 7):
            data = bytearray(module.compress(b"a O\nb O\n" * 99))
            middle = len(data) // 2
            data[middle : middle + len(damage)] = damage
            path.write_bytes(data)
            with pytest.raises(ValueError, match=rf"b\.txt\{suffix}:\d"):
                tasks.read_tagged(path)
    latin = file("l.txt", "a O\né O\n", "latin-1")
    with pytest.raises(ValueError, match=r"l\.txt:2: .*utf-8"):
        tasks.read_tagged(latin)
    assert tasks.read_tagged(latin, encoding="latin-1")[0].words[1] == "é"
    with pytest.raises(FileNotFoundError, match=r"no\.txt"):
        tasks.read_tagged(tmp_path / "no.txt")


def test_splits(file, tmp_path):
    for name in ("en-ud-train.conllu", "en-ud-dev.conllu.gz", "notes.txt"):
        file(name, "x")
    found = _text_files.find_splits(str(tmp_path), (".conllu",))
    assert set(found) == {"train", "validation"}
    file("xx-train.conllu", "x")
    with pytest.raises(ValueError, match="one file for train"):
        _text_files.find_splits(str(tmp_path), (".conllu",))
    paths = {"train": str(tmp_path / "notes.txt")}
    assert _text_files.find_splits(paths, ()) == {"train": [paths["train"]]}
    with pytest.raises(ValueError, match="file to train on"):
        _text_files.find_splits({"test": paths["train"]}, ())
    with pytest.raises(FileNotFoundError, match="no folder"):
        _text_files.find_splits(str(tmp_path / "nowhere"), ())
    with pytest.raises(FileNotFoundError, match="missing"):
        _text_files.find_splits({"train": str(tmp_path / "missing")}, ())
