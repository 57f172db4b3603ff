"""render_corpus: the same bytes however it is run, and what is read back."""

import gzip
import itertools
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
from toy_renderer import ToyRenderer

from pixmodels.renderers import Corpus
from pixmodels.renderers import check_corpus
from pixmodels.renderers import noise
from pixmodels.renderers import read_corpus
from pixmodels.renderers import render_corpus

TEXTS = [
    f"text {number} " + "lorem ipsum dolor"[: number % 17]
    for number in range(331)
]
FORMATS = ("arrayrecord", "tfrecord")


def draw(texts, folder, renderer=None, **options):
    options = {"workers": 0, "shard_size": 101, "progress": False, **options}
    return render_corpus(texts, folder, renderer or ToyRenderer(), **options)


def files(folder):
    """Name -> bytes of all files."""
    return {f.name: f.read_bytes() for f in pathlib.Path(folder).iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Bytes of the corpus of TEXTS, by format."""
    found = {}
    for name in FORMATS:
        folder = tmp_path_factory.mktemp(name)
        draw(TEXTS, folder, format=name)
        found[name] = files(folder)
    return found


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_do_not_depend_on_workers(whole, tmp_path, format, workers):
    corpus = draw(iter(TEXTS), tmp_path, workers=workers, format=format)
    assert files(tmp_path) == whole[format]
    assert sorted(whole[format]) == [
        *["lengths.npy", "manifest.json"],
        *[f"shard-0000{number}.{format}" for number in range(4)],
    ]
    assert len(corpus) == 331


@pytest.mark.parametrize("format", FORMATS)
def test_items_are_what_the_renderer_gives(tmp_path, format):
    items = [*TEXTS, "", ("a pair", "b"), ["some", "words", ""], "\udce4☃", []]
    corpus = draw(items, tmp_path, format=format)
    batch = ToyRenderer()(items)
    assert len(corpus) == len(items)
    assert [record["id"] for record in corpus] == [*range(len(items))]
    for index, item in enumerate(items):
        record = corpus[index]
        end = (int(batch.num_patches[index]) + 1) * 7
        np.testing.assert_array_equal(
            record["pixels"], batch.pixels[index, :, :end]
        )
        assert record["pixels"].dtype == np.uint8
        assert record["num_patches"] == batch.num_patches[index]
        assert record["sep_patches"] == batch.sep_patches[index]
        assert record["word_starts"] == (batch.word_starts[index] or None)
        assert record["text"] == item
        assert type(record["text"]) is type(item)
    np.testing.assert_array_equal(corpus.lengths, batch.num_patches + 1)
    assert corpus.lengths.dtype == np.int32
    assert corpus[-3]["text"] == ["some", "words", ""]
    with pytest.raises(IndexError):
        corpus[len(items)]
    copy = pickle.loads(pickle.dumps(corpus))
    np.testing.assert_array_equal(copy[200]["pixels"], corpus[200]["pixels"])
    [first, last] = corpus.__getitems__([5, -1])
    assert (first["text"], last["text"]) == (TEXTS[5], [])
    corpus.close()
    assert corpus[7]["text"] == TEXTS[7]


def test_real_renderer_and_tensorflow_alone(tmp_path, latin):
    """Plain TensorFlow, by the snippet of the documentation."""
    tf = pytest.importorskip("tensorflow")
    page = pathlib.Path(__file__).parents[2] / "docs" / "corpus.md"
    code = page.read_text("utf-8").split("```python\n")[2].split("```")[0]
    texts = ["Reading is seeing.", ("Why?", "Because."), ["so", "it", "is"]]
    draw(texts, tmp_path / "corpus", latin, format="tfrecord", workers=1)
    namespace = {"folder": str(tmp_path / "corpus")}
    exec(compile(code, "corpus.md", "exec"), namespace)
    examples = list(namespace["dataset"])
    assert len(examples) == 3
    batch = latin(texts)
    for index, example in enumerate(examples):
        end = (int(batch.num_patches[index]) + 1) * 16
        np.testing.assert_array_equal(
            example["pixels"], batch.pixels[index, :, :end]
        )
        assert int(example["num_patches"]) == batch.num_patches[index]
    [record] = tf.data.TFRecordDataset(
        str(tmp_path / "corpus" / "shard-00000.tfrecord")
    ).skip(2)
    features = tf.train.Example.FromString(record.numpy()).features.feature
    assert features["text"].bytes_list.value == [b"so", b"it", b"is"]
    assert features["kind"].bytes_list.value == [b"words"]
    starts = list(features["word_starts"].int64_list.value)
    assert starts == list(batch.word_starts[2])
    # What we write is what TensorFlow's own class writes, read back.
    again = tf.train.Example.FromString(record.numpy())
    assert again.SerializeToString(deterministic=True) == record.numpy()


def test_grain_reads_array_records(tmp_path):
    from grain.sources import ArrayRecordDataSource

    from pixmodels.renderers import _corpus_record

    corpus = draw(TEXTS, tmp_path)
    paths = sorted(str(path) for path in tmp_path.glob("*.arrayrecord"))
    source = ArrayRecordDataSource(paths)
    assert len(source) == 331
    for index in (0, 100, 101, 330):
        record = _corpus_record.decode(source[index])
        assert record["text"] == corpus[index]["text"] == TEXTS[index]


def test_colour(tmp_path):
    corpus = draw(TEXTS[:11], tmp_path, ToyRenderer(3))
    wanted = ToyRenderer(3)(TEXTS[:11]).pixels
    pixels = corpus[10]["pixels"]
    assert pixels.shape[0::2] == (7, 3)
    np.testing.assert_array_equal(pixels, wanted[10, :, : pixels.shape[1]])
    assert check_corpus(tmp_path, pixels=True) == []


KILLED = """
import os, sys
from toy_renderer import ToyRenderer
from pixmodels.renderers import render_corpus
texts = eval(sys.stdin.read())
folder, workers, format, last = sys.argv[1:]
render_corpus(
    texts, folder, ToyRenderer(seconds=1e-4), workers=int(workers),
    shard_size=101, format=format,
    progress=lambda done: done >= int(last) and os.kill(os.getpid(), 9),
)
"""


@pytest.mark.parametrize(
    ("workers", "format", "last"),
    [(0, "arrayrecord", 150), (1, "tfrecord", 130), (2, "arrayrecord", 300)],
)
def test_resumes_after_sigkill(whole, tmp_path, workers, format, last):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    command += [str(workers), format, str(last)]
    # It returns when all workers have let go of stderr, so they ended, too.
    done = subprocess.run(
        command,
        input=repr(TEXTS),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        Corpus(tmp_path)
    complete = list((tmp_path / ".progress").glob("0*.json"))
    assert len(complete) == {150: 1, 130: 1}.get(last, len(complete))
    for path in complete:  # A shard that is noted down is not drawn again.
        file = tmp_path / json.loads(path.read_text())["entry"]["file"]
        os.utime(file, ns=(1, 1))
    draw(TEXTS, tmp_path, ToyRenderer(), format=format, workers=2)
    assert files(tmp_path) == whole[format]
    old = [f for f in tmp_path.iterdir() if f.stat().st_mtime_ns == 1]
    assert len(old) == len(complete) > 0


def test_resume_draws_a_spoilt_shard_again(whole, tmp_path):
    with pytest.raises(RuntimeError, match="text 250 "):
        draw(TEXTS, tmp_path, ToyRenderer(fails_at=TEXTS[250]))
    (tmp_path / "shard-00000.arrayrecord").write_bytes(b"spoilt")
    (tmp_path / "shard-00001.arrayrecord").unlink()
    (tmp_path / "shard-00002.arrayrecord.77.tmp").write_bytes(b"rest")
    draw(TEXTS, tmp_path)
    assert files(tmp_path) == whole["arrayrecord"]


def test_a_finished_folder_is_left_alone(whole, tmp_path):
    draw(TEXTS, tmp_path)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    draw(TEXTS, tmp_path, ToyRenderer(fails_at=TEXTS[0]))
    assert before == {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="expected the texts of the corpus"):
        draw(TEXTS[:-1], tmp_path)
    with pytest.raises(ValueError, match="format .*shard_size 101 -> 7"):
        draw(TEXTS, tmp_path, shard_size=7, format="tfrecord")
    with pytest.raises(ValueError, match="empty or new folder"):
        draw(TEXTS, tmp_path, resume=False)


def test_begun_with_others(tmp_path):
    with pytest.raises(RuntimeError, match="text 250 "):
        draw(TEXTS, tmp_path, ToyRenderer(fails_at=TEXTS[250]))
    with pytest.raises(ValueError, match="other texts in shard 1"):
        draw([*TEXTS[:150], "another", *TEXTS[151:]], tmp_path)
    with pytest.raises(ValueError, match="seed null -> 3"):
        draw(TEXTS, tmp_path, noise=[("truncate", 0.1)], seed=3)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "own").write_text("mine")
    with pytest.raises(ValueError, match=r"with \['own'\]"):
        draw(TEXTS, tmp_path / "a")
    with pytest.raises(ValueError, match="expected a folder"):
        draw(TEXTS, tmp_path / "a" / "own")
    assert (tmp_path / "a" / "own").read_text() == "mine"


def test_one_process_at_a_time(tmp_path):
    def texts():
        yield "one"
        with pytest.raises(RuntimeError, match="no other process"):
            draw(["one"], tmp_path)
        yield "two"

    assert len(draw(texts(), tmp_path)) == 2


@pytest.mark.parametrize("format", FORMATS)
def test_check_finds_what_is_altered(tmp_path, format):
    draw(TEXTS, tmp_path, format=format)
    assert check_corpus(tmp_path, pixels=True) == []
    shard = tmp_path / f"shard-00002.{format}"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    (tmp_path / f"shard-00003.{format}").unlink()
    (tmp_path / "own").write_text("mine")
    (tmp_path / "lengths.npy").write_bytes(b"")
    assert check_corpus(tmp_path) == [
        f"shard-00002.{format}: altered",
        f"shard-00003.{format}: missing",
        "lengths.npy: altered",
        "own: not of the corpus",
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_few_shards_are_open_at_once(tmp_path, monkeypatch, format):
    from pixmodels.renderers import corpus as module

    monkeypatch.setattr(module, "_MOST_OPEN", 2)
    corpus = draw(TEXTS, tmp_path, format=format)
    for index in (0, 300, 150, 1, 301, 151, 330, 0):
        assert corpus[index]["text"] == TEXTS[index]
        assert len(corpus._readers) <= 2


def test_check_compares_pixels(tmp_path):
    draw(TEXTS, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["shards"][1]["pixels_sha256"] = "0"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert check_corpus(tmp_path) == []
    assert check_corpus(tmp_path, pixels=True) == [
        "shard-00001.arrayrecord: other pixels"
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_name_the_text(tmp_path, workers):
    texts = [*TEXTS[:150], 3, *TEXTS[150:]]
    with pytest.raises(ValueError, match=r"text 150 of .*, texts\[150\]: "):
        draw(texts, tmp_path / "a", workers=workers)
    with pytest.raises(RuntimeError, match="text 207 of .*KeyError: "):
        draw(
            TEXTS,
            tmp_path / "b",
            ToyRenderer(fails_at=TEXTS[207]),
            workers=workers,
        )
    assert not list((tmp_path / "b").glob("*.tmp"))


def test_a_worker_that_dies_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="texts 202 to 302.*status 7"):
        draw(TEXTS, tmp_path, ToyRenderer(dies_at=TEXTS[222]), workers=1)


def test_workers_load_no_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_ALONE", "1")
    assert len(draw(TEXTS[:3], tmp_path, workers=1)) == 3


def test_noise_is_keyed_on_the_number(tmp_path):
    attacks = [("inner_swap", 0.5), (noise.Truncate(minimum=2), 0.3)]
    corpus = draw(TEXTS, tmp_path, noise=attacks, seed=5, workers=1)
    for number in (0, 17, 330):
        wanted = noise.attack(
            "inner_swap", TEXTS[number], p=0.5, seed=5, index=number
        )
        wanted = noise.Truncate(minimum=2)(wanted, p=0.3, seed=5, index=number)
        assert corpus[number]["text"] == wanted
    assert corpus.manifest["settings"]["noise"] == [
        {"name": "inner_swap", "p": 0.5},
        {"name": "truncate", "minimum": 2, "p": 0.3},
    ]


def test_files_and_folders(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "z.txt").write_bytes(b"\xef\xbb\xbfeins\r\n\n  \nzwei\n")
    (folder / "other.md").write_text("no")
    with gzip.open(folder / "b" / "a.txt.gz", "wt") as file:
        file.write("drei\n\nvier")
    (tmp_path / "single").write_bytes(b"f\xfcnf\xe2\x98\x83\n")
    corpus = draw([folder, tmp_path / "single"], tmp_path / "out", workers=2)
    texts = [record["text"] for record in corpus]
    assert texts == ["drei", "vier", "eins", "zwei", "f\udcfcnf\u2603"]
    assert corpus.manifest["blank_lines"] == 3
    assert len(corpus.manifest["inputs"]) == 3
    assert corpus.manifest["missing"] == {
        "texts": 1,
        "characters": {"U+2603": 1},
    }
    alone = draw(tmp_path / "single", tmp_path / "alone", keep_text=False)
    assert "text" not in alone[0]
    with pytest.raises(RuntimeError, match=r"text 0 of .*single:1: "):
        draw(
            tmp_path / "single",
            tmp_path / "bad",
            ToyRenderer(fails_at="f\udcfcnf\u2603"),
        )


def test_manifest_counts(tmp_path):
    texts = ["x" * 41, "ab", "y" * 50, "☃☃", "☃"]
    manifest = draw(texts, tmp_path, shard_size=3).manifest
    assert manifest["truncated"] == {"texts": 2, "characters": 1 + 10}
    assert manifest["missing"] == {"texts": 2, "characters": {"U+2603": 2}}
    assert manifest["num_examples"] == 5
    assert manifest["num_patches"] == 24 + 3 + 24 + 3 + 2
    assert [s["num_examples"] for s in manifest["shards"]] == [3, 2]
    assert manifest["settings"]["renderer"] == {
        "class": "ToyRenderer",
        "channels": 1,
    }


def test_fonts_are_in_the_manifest(tmp_path, latin):
    manifest = draw(["a"], tmp_path, latin).manifest
    [font] = manifest["settings"]["renderer"]["font_stack"]["fonts"]
    assert len(font["sha256"]) == 64
    assert set(manifest["libraries"]) == {"cairo", "harfbuzz"}


def test_progress(tmp_path, capsys, monkeypatch):
    seen = []
    draw(TEXTS, tmp_path / "a", workers=2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 331
    from pixmodels.renderers import render_corpus as module

    module = sys.modules[module.__module__]
    monkeypatch.setattr(module, "_LINE_EVERY", 200)
    draw(TEXTS, tmp_path / "b", progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "202 of 331 texts",
        "331 of 331 texts",
    ]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    draw(iter(TEXTS), tmp_path / "c", progress=True)
    assert "331 texts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"texts": "a.txt"}, TypeError, r"pathlib\.Path.*'a\.txt'"),
        ({"texts": 3}, TypeError, "texts=3"),
        ({"texts": []}, ValueError, "at least one text"),
        ({"texts": pathlib.Path("/no/such")}, FileNotFoundError, "such"),
        ({"format": "zip"}, ValueError, "arrayrecord, tfrecord.*'zip'"),
        ({"workers": -1}, ValueError, "workers=-1"),
        ({"shard_size": 0}, ValueError, "shard_size=0"),
        ({"renderer": len}, TypeError, "renderer"),
        ({"noise": ["truncate"]}, TypeError, "attack, p"),
        ({"noise": [("trunc", 0.1)]}, ValueError, "an attack"),
        ({"noise": [("truncate", 2)]}, ValueError, "p=2"),
        ({"noise": [(len, 0.1)]}, TypeError, "Attack or its name"),
        ({"noise": [("truncate", 0.1)], "seed": -1}, ValueError, "seed=-1"),
    ],
)
def test_arguments(tmp_path, options, error, match):
    options = {"texts": TEXTS, "renderer": None, **options}
    with pytest.raises(error, match=match):
        draw(options.pop("texts"), tmp_path / "out", **options)


def test_an_iterator_that_fails(tmp_path):
    def texts():
        yield from itertools.islice(TEXTS, 150)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        draw(texts(), tmp_path, workers=2)
    assert len(draw(TEXTS, tmp_path, workers=2)) == 331


def test_read_corpus_of_no_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="render_corpus"):
        read_corpus(tmp_path)
