import io
import json

import numpy as np
import pytest

from pixmodels.training import main as main_lib

DIGITS = [
    "--config=digits_vit",
    "--set=train.steps=6",
    "--set=train.warmup_steps=2",
    "--set=train.batch_size=16",
    "--set=train.log_every=3",
    "--set=train.deterministic=false",
    "--set=train.jit_compile=false",
    "--set=model.num_layers=1",
    "--set=model.hidden_dim=8",
    "--set=model.num_heads=2",
    "--set=model.mlp_dim=11",
    "--set=data.options.test_fraction=0.9",
]


def run(*argv):
    return main_lib.main(list(argv))


@pytest.fixture
def renders():
    """Skips where no renderer can be made."""
    from pixmodels.renderers import CairoRenderer

    try:
        return CairoRenderer()
    except (ImportError, FileNotFoundError) as error:
        pytest.skip(str(error))


def picture(path):
    from PIL import Image

    return np.asarray(Image.open(path))


def test_render(tmp_path, capsys, renders):
    path = tmp_path / "a" / "o.png"
    assert run("render", "any text", "a", "-o", str(path)) == 0
    expected = renders(["any text", "a"]).pixels
    np.testing.assert_array_equal(
        picture(path), expected.reshape(-1, expected.shape[2])
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 rows" in err


def test_render_in_another_layout(tmp_path, capsys, renders):
    output = tmp_path / "mono.png"
    command = ["render", "abc d", "-o", str(output), "--layout"]
    assert main_lib.main([*command, "mono"]) == 0
    assert output.stat().st_size > 100
    assert "96 x 16 pixels" in capsys.readouterr().err
    assert main_lib.main([*command, "monos"]) == 2
    assert "perhaps 'mono'. Received: layout='monos'" in capsys.readouterr().err


def test_render_reports_what_is_lost(tmp_path, capsys, renders, monkeypatch):
    lines = "x" * 99 + "\n\n\ue123\n"
    stdin = io.TextIOWrapper(io.BytesIO(lines.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    path = tmp_path / "o.png"
    code = run("render", "-", "--max-patches", "5", "-o", str(path))
    assert code == 0
    err = capsys.readouterr().err
    assert "row 0" in err
    assert "is cut at character" in err
    assert "no font has a glyph for U+E123" in err
    assert picture(path).shape == (3 * 16, 5 * 16)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["render", "a", "-o", "o.gif"], ["--output 'o.gif'"]),
        (
            ["render", "a", "-o", "o.png", "--font", "/no/such.ttf"],
            ["/no/such.ttf"],
        ),
        (["pretrain"], ["Expected --config", "pixel_tiny_cldr"]),
        (["finetune", "--config", "digit_vit"], ["Did you mean 'digits_vit'"]),
        (
            ["pretrain", "--config", "digits_vit"],
            ["task 'pretrain'", "pixmodels finetune"],
        ),
        (
            ["finetune", *DIGITS, "--set", "train.step=3"],
            ["Did you mean 'train.steps'"],
        ),
        (
            ["finetune", *DIGITS, "--set", "data.options.sed=3"],
            ["Did you mean 'seed'", "data.options.sed=3"],
        ),
        (
            ["finetune", *DIGITS, "--set", "data.name=digit"],
            ["Did you mean 'digits'"],
        ),
        (
            ["finetune", *DIGITS, "--set", "model.attention=softmx"],
            ["'softmax'"],
        ),
        (
            ["finetune", *DIGITS, "--set", "init=/no/run"],
            ["workdir='/no/run'"],
        ),
        (["finetune", *DIGITS, "--strategy", "tpus"], ["strategy='tpus'"]),
        (["evaluate", "--workdir", "/no/run"], ["no config.json"]),
        (["export", "--workdir", "/no", "--output", "x"], ["no config.json"]),
        (["benchmark", "attention", "--lengths", "a"], ["--lengths 'a'"]),
        (["benchmark", "step", "--rounds", "0"], ["--rounds 0"]),
    ],
)
def test_mistakes_are_one_line(argv, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = [x for x in err.splitlines() if x.startswith("error: ")]
    for word in words:
        assert word in line


def test_debug_shows_the_traceback(capsys, monkeypatch):
    assert run("evaluate", "--workdir", "/no/run", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("PIXMODELS_DEBUG", "1")
    assert run("evaluate", "--workdir", "/no/run") == 2
    assert "Traceback" in capsys.readouterr().err


def test_unknown_commands_and_help(capsys):
    for argv in (["fly"], []):
        with pytest.raises(SystemExit) as caught:
            run(*argv)
        assert caught.value.code == 2
    for command in ("render", "pretrain", "evaluate", "benchmark", "demo"):
        with pytest.raises(SystemExit) as caught:
            run(command, "--help")
        assert caught.value.code == 0
    capsys.readouterr()


def test_recipes_are_listed(capsys):
    assert run("pretrain", "--list") == 0
    out = capsys.readouterr().out
    assert "pixel_base_pretrain" in out
    assert "digits_vit" not in out
    lines = out.splitlines()
    assert len(lines) == len({line.split()[0] for line in lines})
    argv = ["pretrain", "--list", "--config", "pixel_base_pretrain"]
    assert run(*argv) == 0
    assert "not yet run" in capsys.readouterr().out.lower()


def test_finetune_evaluate_export(tmp_path, capsys):
    """The commands on digits, end to end."""
    workdir = str(tmp_path / "run")
    best = ["--set", "train.keep_best=1", "--set", "train.eval_every=2"]
    best += ["--set", "train.ema=0.5", "--set", "train.eval_ema=true"]
    assert run("finetune", *DIGITS, *best, "--workdir", workdir) == 0
    out, _ = capsys.readouterr()
    for words in (
        "train.steps = 6",
        "model.image_shape = (8, 8, 1)",
        "parameters:",
        "global batch: 16",
    ):
        assert words in out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"]["num_classes"] == 10
    assert run("evaluate", "--workdir", workdir) == 0
    out, _ = capsys.readouterr()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    accuracy = json.loads(lines[-1])["accuracy"]
    assert f"accuracy {accuracy:.4g}" in out
    evaluations = [x for x in map(json.loads, lines) if x["split"] == "eval"]
    least = min(evaluations, key=lambda line: line["loss"])["step"]
    pick = ["evaluate", "--workdir", workdir, "--checkpoint"]
    assert run(*pick, "best") == 0
    assert f"test at step {least}:" in capsys.readouterr().out
    assert run(*pick, "999") == 2
    assert "Received: checkpoint='999'" in capsys.readouterr().err
    assert run("evaluate", "--workdir", workdir, "--split", "tset") == 2
    assert "Did you mean 'test'" in capsys.readouterr().err
    assert run("finetune", *DIGITS, *best, "--workdir", workdir) == 0
    assert "nothing left" in capsys.readouterr().err
    other = [*best, "--set", "train.seed=7", "--workdir", workdir]
    assert run("finetune", *DIGITS, *other) == 2
    assert "train.seed=7 (there: 42)" in capsys.readouterr().err
    output = tmp_path / "saved"
    assert run("export", "--workdir", workdir, "--output", str(output)) == 0
    assert (output / "saved_model.pb").exists()
