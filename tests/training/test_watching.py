"""What a run leaves to look at: histories, event files, pictures, tables."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import toys

import pixmodels
from pixmodels.tasks import ImageSource
from pixmodels.training import Trainer
from pixmodels.training import _run_state
from pixmodels.training import main as main_lib
from pixmodels.training import workdir
from pixmodels.training.observers import Observer
from pixmodels.training.throughput import Throughput

# 5 x 7 patches of 3 x 2 pixels.
SIZE = (15, 14)


class Interrupted(Exception):
    pass


def autoencoder():
    encoder = pixmodels.ViTBackbone(
        (*SIZE, 1), (3, 2), num_layers=1, num_heads=1, hidden_dim=4, mlp_dim=7
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=1,
        decoder_hidden_dim=4,
        decoder_mlp_dim=5,
    )


def images(count):
    rng = np.random.default_rng(count)
    return ImageSource(rng.integers(0, 256, (count, *SIZE), np.uint8))


def trainer(path, model=autoencoder, **settings):
    sources = images(23), images(5)
    if model is not autoencoder:
        sources = toys.ToySource(23), toys.ToySource(5)
    settings = {
        "steps": 7,
        "checkpoint_every": 4,
        "log_every": 1,
        "eval_every": 3,
        "picture_every": 3,
        "curves": True,
        "tensorboard": True,
        "peak_flops": 1e9,
    } | settings
    return Trainer(
        model,
        sources[0],
        toys.config(**settings),
        path,
        eval_source=sources[1],
        progress=toys.QuietProgress(),
    )


def width(path):
    from PIL import Image

    with Image.open(path) as image:
        return image.width


def pictures(path):
    return sorted(p.name for p in (path / "pictures").iterdir())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A whole run, one that broke off and went on, and what was there then."""
    folder = tmp_path_factory.mktemp("runs")
    trainer(folder / "whole", toys.LinearModel).train()
    path = folder / "deep" / "broken"
    broken = trainer(path, learning_rate=0.003)
    step = broken.driver.train_step

    def fail(batch, number):
        if number == 6:  # two logs and an evaluation after the checkpoint
            raise Interrupted
        return step(batch, number)

    broken.driver.train_step = fail
    with pytest.raises(Interrupted):
        broken.train()
    before = folder.parent / "before"
    shutil.copytree(path, before)
    # As if it had drawn at other steps before it was set to every third.
    shutil.copy(
        path / "pictures" / "reconstruction_00000006.png",
        path / "pictures" / "reconstruction_00000005.png",
    )
    trainer(path, learning_rate=0.003).train()
    yield folder
    shutil.rmtree(before)


def test_histories_have_no_step_twice(runs):
    before = workdir.History(runs.parent / "before").read()
    assert [x["step"] for x in before if x["split"] == "train"][-1] == 6
    for name in ("whole", "deep/broken"):
        lines = workdir.History(runs / name).read()
        places = [(line["step"], line["split"]) for line in lines]
        assert len(set(places)) == len(places) == 7 + 3
        assert places == sorted(places, key=lambda x: (x[0], x[1] != "train"))
        seconds = [line["seconds"] for line in lines]
        assert seconds == sorted(seconds)


@pytest.mark.parametrize("name", ["whole", "deep/broken"])
def test_table_holds_the_same_numbers(runs, name):
    lines = workdir.History(runs / name).read()
    with open(runs / name / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(lines)
    for cells, line in zip(rows, lines):
        kept = {k: v for k, v in cells.items() if v != ""}
        assert kept.keys() == {k for k, v in line.items() if v is not None}
        for key, text in kept.items():
            assert text == line[key] or float(text) == line[key]


def test_columns_may_grow(tmp_path):
    history = workdir.History(tmp_path)
    history.append({"step": 1, "split": "train", "loss": 0.1})
    history.append({"step": 2, "split": "eval", "loss": None, "new, b": 3})
    history.append({"step": 3, "split": "eval", "new, b": 1e-30})
    text = 'step,split,loss,"new, b"\n1,train,0.1,\n2,eval,,3\n3,eval,,1e-30\n'
    assert history.table.read_text() == text
    with open(history.path, "a") as file:
        file.write('{"step": 4, "spl')  # a crash while writing
    again = workdir.History(tmp_path)
    again.cut(2)
    assert [line["step"] for line in again.read()] == [1, 2]
    assert history.table.read_text() == text[: text.index("3,eval")]


@pytest.mark.parametrize("name", ["whole", "deep/broken"])
def test_tensorboard_holds_the_same_numbers(runs, name):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    lines = workdir.History(runs / name).read()
    for split in ("train", "eval"):
        folder = runs / name / "tensorboard" / split
        (file,) = folder.iterdir()
        found = reader.EventAccumulator(
            str(file), size_guidance={"scalars": 0, "images": 0}
        )
        found.Reload()
        mine = [line for line in lines if line["split"] == split]
        read = {}
        for tag in found.Tags()["scalars"]:
            for event in found.Scalars(tag):
                key = event.step, tag.removeprefix("speed/")
                assert key not in read
                read[key] = event.value
        written = {
            (line["step"], key): np.float32(value)
            for line in mine
            for key, value in line.items()
            if key not in ("step", "split", "time", "seconds")
        }
        assert read == written
        if split == "eval" and name == "deep/broken":
            shown = [e.step for e in found.Images("reconstruction")]
            assert shown == [3, 6, 7]


def test_pictures_are_cut_like_the_rest(runs):
    wanted = [f"reconstruction_{n:08d}.png" for n in (3, 6, 7)]
    assert pictures(runs.parent / "before") == wanted[:2]
    assert pictures(runs / "deep" / "broken") == wanted
    assert not (runs / "whole" / "pictures").exists()


def test_a_picture_shows_the_model(runs):
    """What is not hidden is there as it was; the rest is predicted."""
    from PIL import Image

    path = runs / "deep" / "broken" / "pictures"
    path /= "reconstruction_00000007.png"
    with Image.open(path) as image:
        picture = np.asarray(image)
    source = images(5).images[0]
    # 8 times as large, below a line of text, three side by side.
    height, across = (8 * n for n in SIZE)
    first, masked, last = (
        picture[18 : 18 + height, 4 + i * (across + 4) :][:, :across][::8, ::8]
        for i in range(3)
    )
    np.testing.assert_array_equal(first, source)
    hidden = masked == 128
    blocks = hidden.reshape(5, 3, 7, 2).transpose(0, 2, 1, 3).reshape(35, 6)
    assert blocks.all(axis=1).sum() == 9  # a quarter of 35, rounded up
    np.testing.assert_array_equal(masked[~hidden], source[~hidden])
    np.testing.assert_array_equal(last[~hidden], source[~hidden])


def test_curves_and_state(runs):
    for name, state in (
        (runs / "whole", "finished"),
        (runs / "deep" / "broken", "finished"),
        (runs.parent / "before", "failed"),
    ):
        assert width(name / "curves.png") == 900
        facts = json.loads((name / "run.json").read_text())
        assert facts["state"] == state
        count = 6 if name.name == "whole" else autoencoder().count_params()
        assert facts["parameters"] == count


@pytest.mark.parametrize(
    ("said", "step", "state"),
    [
        ("finished", 3, "finished"),  # stopped early
        ("interrupted", 3, "interrupted"),
        ("interrupted", 7, "finished"),  # after its last step
        ("failed", 3, "failed"),
        (None, 3, "interrupted"),
        (None, 7, "finished"),
        (None, None, "new"),
    ],
)
def test_states(said, step, state, tmp_path):
    if said is not None:
        (tmp_path / "run.json").write_text(json.dumps({"state": said}))
    assert _run_state.state_of(tmp_path, step, 7)[0] == state


def test_observers_are_told(tmp_path):
    calls = []

    class Recorder(Observer):
        def on_start(self, trainer):
            calls.append(("start", trainer.step))

        def on_step(self, step):
            calls.append(("step", step))

        def on_log(self, line):
            calls.append(("log", line["step"], line["split"]))

        def on_evaluation(self, line):
            calls.append(("log", line["step"], line["split"]))

        def on_end(self, result):
            calls.append(("end", result.step))

    Trainer(
        toys.LinearModel,
        toys.ToySource(),
        toys.config(steps=2, log_every=2),
        tmp_path,
        eval_source=toys.ToySource(5),
        progress=toys.QuietProgress(),
        observers=[Recorder()],
    ).train()
    assert calls == [
        ("start", 0),
        ("step", 1),
        ("log", 2, "train"),
        ("log", 2, "eval"),
        ("step", 2),
        ("end", 2),
    ]


def test_a_run_does_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run = Trainer(
        toys.LinearModel,
        toys.ToySource(),
        toys.config(steps=2, curves=True),
        tmp_path,
        progress=toys.QuietProgress(),
    )
    assert run.train().step == 2
    (note,) = [n for n in run.progress.notes if "curves" in n]
    assert "pip install pixmodels[plots]" in note


def test_throughput_by_hand():
    class Driver:
        num_replicas = 2

    config = toys.config(batch_size=6, peak_flops=1e12)
    counter = Throughput(autoencoder(), config, Driver)
    data = images(5).get_batch(np.array([0, 1, -1]))
    counts = counter.counts(data)
    # A host with 3 of 6 rows, one of them a filler.
    assert counts["examples"] == 4
    assert counts["patches"] == 4 * 35
    assert counts["computed"] == 6 * 35
    data["num_patches"] = np.array([4, 99, 2])  # and the end patch
    assert counter.counts(data)["patches"] == 2 * (5 + 35)
    # Packs of 2 and 3 texts; the filler has none.
    data["segment_ids"] = np.array([[1, 1, 2, 0], [1, 2, 3, 3], [0] * 4])
    assert counter.counts(data)["examples"] == 2 * 5
    values = counter.values({**counts, "flops": 5e11})
    assert values["padding"] == pytest.approx(1 / 3)
    assert values["mfu"] == 0.25
    assert Throughput(toys.LinearModel(), toys.config(), Driver).counts(
        toys.ToySource().get_batch(np.arange(6), None, 0, 0)
    ) == {"examples": 6}


def rows(capsys, *arguments):
    assert main_lib.main(["runs", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_compared(runs, capsys):
    deep, whole = rows(capsys, runs)
    assert [deep["run"], whole["run"]] == ["deep/broken", "whole"]
    lines = workdir.History(runs / "whole").read()
    losses = {
        s: [x["loss"] for x in lines if x["split"] == s]
        for s in ("train", "eval")
    }
    assert whole["loss"] == losses["train"][-1]
    assert whole["eval_loss"] == losses["eval"][-1]
    assert whole["best_eval_loss"] == min(losses["eval"])
    assert whole["seconds"] == lines[-1]["seconds"]
    assert (whole["step"], whole["steps"]) == (7, 7)
    assert whole["state"] == "finished"
    assert whole["parameters"] == 6
    assert deep["patches_per_s"] > 0
    assert 0 < deep["mfu"] < 1
    assert whole["patches_per_s"] is whole["mfu"] is None
    assert [r["train.learning_rate"] for r in (deep, whole)] == [0.003, 0.01]
    assert {k for k in whole if k.startswith("train.")} == {
        "train.learning_rate"
    }
    best = sorted([deep, whole], key=lambda r: r["loss"])
    assert rows(capsys, runs, "--sort", "loss") == best
    assert rows(capsys, runs, "--sort", "loss", "--reverse") == best[::-1]


def test_settings_newer_than_a_run_are_no_difference(runs, tmp_path, capsys):
    shutil.copytree(runs / "whole", tmp_path / "a")
    shutil.copytree(runs / "whole", tmp_path / "b")
    path = tmp_path / "b" / "config.json"
    config = json.loads(path.read_text())
    del config["train"]["beta_1"]  # its default was in force
    path.write_text(json.dumps(config))
    a, b = rows(capsys, tmp_path)
    assert {**a, "run": "b"} == b
    config["train"]["gone"] = 3  # of a version that had more
    path.write_text(json.dumps(config))
    a, b = rows(capsys, tmp_path)
    assert (a["train.gone"], b["train.gone"]) == (None, 3)


def test_table_and_plot_of_runs(runs, capsys, tmp_path):
    for name, text in (
        ("foreign", '{"model_type": "vit"}'),
        ("broken", '{"train": '),
        ("listed", "[]"),
    ):
        (runs / name).mkdir()
        (runs / name / "config.json").write_text(text)
    try:
        assert main_lib.main(["runs", str(runs)]) == 0
        out, err = capsys.readouterr()
        table, differing = out.split("\n\n")
        head, *body = table.splitlines()
        assert head.split()[:2] == ["run", "state"]
        assert [line.split()[:2] for line in body] == [
            ["deep/broken", "finished"],
            ["whole", "finished"],
        ]
        assert differing.split() == [
            *["run", "train.learning_rate"],
            *["deep/broken", "0.003", "whole", "0.01"],
        ]
        skipped = [x for x in err.splitlines() if x.startswith("skipped")]
        assert [x.split()[1] for x in skipped] == [
            "broken:",
            "foreign:",
            "listed:",
        ]
        assert width(runs / "runs.png") == 1100
    finally:
        for name in ("foreign", "broken", "listed"):
            shutil.rmtree(runs / name)
    other = tmp_path / "losses.svg"
    assert (
        main_lib.main(["runs", str(runs), "--csv", "--plot", str(other)]) == 0
    )
    found = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [r["run"] for r in found] == ["deep/broken", "whole"]
    assert other.stat().st_size > 1000


def test_a_killed_run_is_no_running_one(runs, tmp_path, capsys):
    shutil.copytree(runs.parent / "before", tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "state": "running"}))
    (row,) = rows(capsys, tmp_path)
    assert row["state"] == "running"  # by this very process
    path.write_text(json.dumps({**facts, "state": "running", "pid": 2**22 + 7}))
    (row,) = rows(capsys, tmp_path)
    assert row["state"] == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such"], "'/no/such', which is no folder"),
        ([], "has none"),
        (["--sort", "los"], "Did you mean 'loss'"),
        (["--plot", "a.xyz"], "--plot 'a.xyz'"),
    ],
)
def test_mistakes(runs, arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    if arguments and arguments[0].startswith("--"):
        arguments = [str(runs), *arguments]
    assert main_lib.main(["runs", *arguments]) == 2
    assert words in capsys.readouterr().err
