import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.training import _pipeline_benchmark
from pixmodels.training._pipeline_benchmark import Rate
from pixmodels.training.main import main

TINY = [
    *["model.num_layers=1", "model.num_heads=2", "model.hidden_dim=8"],
    *["model.mlp_dim=11", "model.decoder_num_layers=1"],
    *["model.decoder_num_heads=2", "model.decoder_hidden_dim=8"],
    *["model.decoder_mlp_dim=11", "data.buckets=23"],
    *["train.jit_compile=false", "train.deterministic=false"],
    *["train.batch_size=3"],
]


def test_verdict():
    ready = Rate("step, batches ready", 10.0, 1, 1, 0.0, (1.0, 1.0))
    ahead = Rate("batches, 2 workers", 4.0, 1, 1, None, (0.4, 0.5, 0.5))
    fed = Rate("step, 2 workers", 10.2, 1, 1, 0.1, (1.0, 1.02, 1.04))
    behind = Rate("batches, in the thread", 20.0, 1, 1, None, (2.0,))
    slow = Rate("step, in the thread", 21.0, 1, 1, 10.4, (2.1,))
    lines = _pipeline_benchmark.verdict([ready, ahead, fed, behind, slow])
    assert lines == [
        "2 workers: keeps ahead: 2.00 times as many batches as the step "
        "takes; fed by it, a step takes +2.0 % of time, 0.1 ms of it waiting",
        "in the thread: does not keep ahead: 0.50 of the batches as the step "
        "takes; fed by it, a step takes +110.0 % of time, 10.4 ms of it "
        "waiting",
    ]


@pytest.mark.slow
def test_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PIXMODELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_pipeline_benchmark, "_SECONDS", 0.02)
    text = "\n".join(f"line {n} of many" for n in range(97))
    (tmp_path / "a.txt").write_text(text)
    command = ["benchmark", "pipeline", "--text", str(tmp_path / "a.txt")]
    for change in TINY:
        command += ["--set", change]
    assert main([*command, "--rounds", "1", "--workers", "0,1"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "pixels 3x16x2048" not in shown[0]
    assert "pixels 3x16x368" in shown[0]
    names = [line[:24].strip() for line in shown[3:8]]
    assert names == [
        *["step, batches ready", "batches, in the thread"],
        *["step, in the thread", "batches, 1 worker", "step, 1 worker"],
    ]
    widths = CairoRenderer().widths(text.splitlines())
    for line in shown[3:8]:
        examples, patches = (
            float(n.replace(",", "")) for n in line[33:57].split()
        )
        # Both are rounded to whole numbers.
        ratio = patches / examples
        assert 0.97 * min(widths) < ratio < 1.03 * max(widths), line
    assert len(shown) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "-1"], "--workers '-1'"),
        (["--workers", "a"], "at least 0. Received: --workers 'a'"),
        ([], "data.options.paths"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert main(["benchmark", "pipeline", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
