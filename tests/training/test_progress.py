import io

from pixmodels.training import meters
from pixmodels.training import progress

VALUES = {"loss": 0.123456, "accuracy": 0.5, "step_ms": 12.34}


def test_lines():
    stream = io.StringIO()
    shown = progress.for_stream(stream)
    shown.start(0, 17)
    shown.step(1, VALUES, 3.0)
    shown.report(2, VALUES, 3723.0)
    shown.note("compiling")
    shown.stop()
    assert stream.getvalue().splitlines() == [
        "step 2/17  loss 0.1235  accuracy 0.5  step 12.3 ms  ETA 1:02:03",
        "compiling",
    ]


def test_terminal(capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    shown = progress.for_stream(Terminal())
    assert shown.live
    shown.start(3, 17)
    shown.step(5, VALUES, 61.0)
    shown.note("[compiling]")
    shown.report(7, VALUES, None)
    shown.stop()
    err = capsys.readouterr().err
    for words in ("7/17", "loss 0.1235", "step 12.3 ms", "[compiling]"):
        assert words in err


def test_compiling_steps_do_not_count():
    watch = meters.Stopwatch()
    assert watch.milliseconds() == {}
    assert watch.eta(7) is None
    watch.add(1.0, 50.0, compiled=True)
    watch.add(0.001, 0.004)
    watch.add(0.003, 0.006)
    watch.add_wait(0.002)
    assert watch.milliseconds() == {"data_ms": 2.0, "step_ms": 6.0}
    assert round(watch.eta(10), 6) == 0.08
    watch.clear()
    assert watch.milliseconds() == {}
    assert watch.eta(10) > 0


def test_meter_restores_its_sums():
    meter = meters.Meter()
    meter.add({"loss": (3.0, 2.0)})
    again = meters.Meter(meter.state())
    again.add({"loss": (1.0, 2.0)})
    assert again.averages() == {"loss": 1.0}
    meter.clear()
    assert meter.averages() == {}
