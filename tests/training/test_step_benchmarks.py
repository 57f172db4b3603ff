import json
import re

import pytest

from pixmodels.training import main


def lines_of(capfd):
    return capfd.readouterr().out.splitlines()


@pytest.mark.slow
def test_train_step_prints_ratios_and_memory(capfd):
    argv = ["benchmark", "train-step", "--size", "tiny", "--batches", "2"]
    assert main.main([*argv, "--rounds", "1", "--debug"]) == 0
    lines = lines_of(capfd)
    rows = [line for line in lines if re.search(r"\d ms +\d+ MiB", line)]
    assert [line.split("  ")[1].strip() for line in rows[:2]] == [
        "pixmodels",
        "pixmodels, graph",
    ]
    assert any("padded to 529" in line for line in rows)


@pytest.mark.slow
def test_long_pages_gives_every_mixer_the_same_masks(tmp_path, capfd):
    text = tmp_path / "text.txt"
    text.write_text("Seven words stand in this one line. " * 300)
    folder = tmp_path / "pages"
    argv = ["benchmark", "long-pages", "--text", str(text), "--side", "3"]
    argv += ["--attention", "softmax,local", "--steps", "11"]
    assert main.main([*argv, "--output", str(folder), "--debug"]) == 0
    found = json.loads((folder / "losses.json").read_text())
    assert list(found) == ["softmax", "local"]
    # A window as wide as the page is softmax: the same numbers.
    for one, other in zip(*(run["losses"] for run in found.values())):
        assert other == pytest.approx(one, rel=1e-4)
    assert len(found["local"]["losses"]) == 11
    assert found["local"]["peak"] > 1e8
    assert (folder / "losses.png").stat().st_size > 1000
    assert "softmax's time" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train-step", "--size", "huge"], "--size 'huge'"),
        (["train-step", "--batches", "0"], "--batches '0'"),
        (["long-pages"], "--text FILE"),
        (["long-pages", "--text", "x", "--attention", "softmx"], "'softmx'"),
    ],
)
def test_what_cannot_be_measured(capfd, argv, said):
    assert main.main(["benchmark", *argv]) != 0
    assert said in capfd.readouterr().err
