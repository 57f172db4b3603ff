"""`pixmodels render-corpus` and `render --noise`, and the page on corpora."""

import re

import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import noise
from pixmodels.renderers import read_corpus
from pixmodels.training.main import main


@pytest.fixture(scope="module", autouse=True)
def fonts():
    try:
        CairoRenderer()
    except FileNotFoundError as error:
        pytest.skip(str(error)[:200])


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_draw_and_check(tmp_path, capsys):
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = [f"line {number}" for number in range(13)]
    (folder / "a.txt").write_text("\n".join(lines))
    (tmp_path / "b.txt").write_text("\n\nwide " + "w" * 97 + "\n\U000f0000")
    out = tmp_path / "out"
    code = run(
        *["render-corpus", folder, tmp_path / "b.txt", "--output", out],
        *["--workers", 2, "--shard-size", 7, "--max-patches", 11],
        *["--noise", "truncate:0.5", "--seed", 3, "--format", "tfrecord"],
    )
    assert code == 0
    report = capsys.readouterr().err.splitlines()
    assert report[0].startswith("15 texts, ")
    assert report[1].startswith("15 texts, ")
    assert "3 shards" in report[1]
    assert report[2] == "skipped 2 blank lines"
    assert report[3].startswith("warning: 1 texts are cut, ")
    assert report[4].endswith("1 in all: U+F0000")
    corpus = read_corpus(out)
    wanted = noise.attack("truncate", lines[5], p=0.5, seed=3, index=5)
    assert corpus[5]["text"] == wanted
    assert run("render-corpus", "--check", "--output", out) == 0
    (out / "shard-00001.tfrecord").write_bytes(b"")
    assert run("render-corpus", "--check", "--output", out) == 1
    report = capsys.readouterr().err.splitlines()
    assert report == [
        f"{out}: all files are as written",
        f"{out}: shard-00001.tfrecord: altered",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Received: no INPUT"),
        (["/no/such"], "file or folder of texts"),
        (["x", "--noise", "trunc:0.5"], "'truncate'"),
        (["x", "--noise", "visual:0.5"], "read_embedding"),
        (["x", "--shard-size", "0"], "shard_size=0"),
        (["x", "--check"], "manifest.json"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("text\n")
    assert run("render-corpus", *arguments, "--output", "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_render_with_noise(tmp_path, capsys):
    texts = ["some noisy words", "and others beside them"]
    perturbed = [
        noise.attack("disemvowel", text, p=0.6, index=row)
        for row, text in enumerate(texts)
    ]
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    assert run("render", *texts, "-o", one, "--noise", "disemvowel:0.6") == 0
    assert run("render", *perturbed, "-o", two) == 0
    assert perturbed != texts
    assert one.read_bytes() == two.read_bytes()
    assert run("render", "a", "-o", one, "--noise", "disemvowel") == 2
    assert "NAME:P" in capsys.readouterr().err


def test_the_page_of_the_documentation(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "corpus.md").read_text("utf-8")
    blocks = re.findall(r"(?s)```python\n(.*?)```", page)
    namespace = {}
    exec(compile(blocks[0], "corpus.md", "exec"), namespace)
    assert namespace["again"][0]["text"] == "one text a line"
    np.testing.assert_array_equal(
        namespace["corpus"].lengths, namespace["again"].lengths
    )
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (root / "docs" / link).exists(), link
