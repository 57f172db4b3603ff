import dataclasses
import json
import math
import re

import pytest

from pixmodels.training import _overhead_benchmark
from pixmodels.training import main
from pixmodels.training import recipes


def lines_of(capfd):
    return capfd.readouterr().out.splitlines()


def test_interval_of_a_median():
    ratios = [0.1 * place for place in range(1, 22)]
    size = len(ratios)

    def at_most(place):
        """P(the median of a resample is one of the first `place` values)."""
        p = place / size
        return sum(
            math.comb(size, k) * p**k * (1 - p) ** (size - k)
            for k in range(size // 2 + 1, size + 1)
        )

    low, high = (
        next(r for i, r in enumerate(ratios, 1) if at_most(i) >= share)
        for share in (0.025, 0.975)
    )
    found = _overhead_benchmark.interval(ratios[::-1])
    assert found == pytest.approx((low, high))
    assert _overhead_benchmark.interval([1.25] * 3) == (1.25, 1.25)


def test_overhead_of_settings_that_the_bare_step_has_not():
    config = recipes.get("digits_vit")
    train = dataclasses.replace(config.train, ema=0.9)
    with pytest.raises(ValueError, match=r"train\.ema=0\.9"):
        _overhead_benchmark.settings_of(train)


@pytest.mark.slow
def test_overhead_starts_from_the_same_loss(capfd):
    argv = ["benchmark", "train-step", "--overhead", "--rounds", "2"]
    argv += ["--config", "digits_vit", "--debug"]
    assert main.main(argv) == 0
    text = capfd.readouterr().out
    losses = re.search(r"trainer (\d\.\d+), bare (\d\.\d+)", text).groups()
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    assert re.search(r"overhead [+-]\d+\.\d % \[[+-]", text)


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
