import json

import pytest

from pixmodels.training import demo
from pixmodels.training.main import main


def test_unknown_settings_are_refused_before_anything_runs(tmp_path, capsys):
    folder = tmp_path / "demo"
    code = main(["demo", "--workdir", str(folder), "--set", "train.step=3"])
    assert code == 2
    assert "train.steps" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.slow
def test_a_short_demo(tmp_path):
    changes = ["train.steps=3", "train.warmup_steps=1"]
    a = demo.run(tmp_path / "a", changes)
    for name in ("gallery.png", "reconstruction.png", "report.md"):
        assert (tmp_path / "a" / name).stat().st_size > 1000
    assert a["gallery"]["scripts"] >= 12
    assert len(a["data"]["scripts"]) >= 12
    assert a["baselines"]["ngrams"]["accuracy"] > 0.8
    for export in a["exports"].values():
        assert export["largest_difference"] < 1e-6
    # A finished demo starts anew, and gives the same numbers.
    b = demo.run(tmp_path / "a", changes)
    for name in demo.RUNS:
        for part in ("training", "validation", "test"):
            assert _numbers(a[name], part) == _numbers(b[name], part)
    stored = json.loads((tmp_path / "a" / "report.json").read_text())
    assert stored["finetune"]["test"] == b["finetune"]["test"]


def _numbers(run, part):
    return run.get(part)
