"""How a run is shown: a bar on a terminal, a line every N steps elsewhere.

Not here: what is kept (`workdir.History`) or measured (`meters`).
"""

import sys

from pixmodels.training.workdir import TIMES

# Metrics that are shown in percent, and under which name.
_SHARES = {"padding": "padding", "mfu": "MFU"}


def for_stream(stream=None):
    """The progress display that fits a stream (stderr by default)."""
    stream = stream or sys.stderr
    return TerminalProgress() if stream.isatty() else LineProgress(stream)


def metric_text(values):
    """dict as one line: `loss 0.1234  accuracy 0.5  step 12.3 ms`.

    Rates are `5,678 patches/s`, shares `padding 12.3 %`; examples per second
    are left out where patches are counted.
    """
    hidden = "examples_per_s" if "patches_per_s" in values else None
    return "  ".join(
        _text_of(name, value)
        for name, value in values.items()
        if name != hidden
    )


def _text_of(name, value):
    if name.endswith("_ms"):
        return f"{name.removesuffix('_ms')} {value:.1f} ms"
    if name.endswith("_per_s"):
        digits = 0 if value >= 100 else 1
        return f"{value:,.{digits}f} {name.removesuffix('_per_s')}/s"
    if name in _SHARES:
        return f"{_SHARES[name]} {100 * value:.1f} %"
    return f"{name} {value:.4g}"


def duration_text(seconds):
    """Seconds as `1:02:03` or `2:03`."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{seconds:02d}"


class LineProgress:
    """One line per report, for log files and pipes.

    Args:
        stream: text file to write to.
    """

    # A line is written only where the run logs, not at every step.
    live = False

    def __init__(self, stream):
        self._stream = stream
        self._total = 0

    def start(self, done, total):
        """Begins at update `done` of `total`."""
        self._total = total

    def step(self, done, values, eta):
        """A step has ended; nothing is shown."""

    def report(self, done, values, eta):
        """Shows averages since the last report.

        Args:
            done: int, updates done.
            values: dict from name to float.
            eta: seconds left, or None if not known yet.
        """
        left = "" if eta is None else f"  ETA {duration_text(eta)}"
        self.note(f"step {done}/{self._total}  {metric_text(values)}{left}")

    def note(self, text):
        """Shows a line that stays."""
        print(text, file=self._stream, flush=True)

    def stop(self):
        """Ends the display."""


class NoProgress:
    """Shows nothing: for workers that are not the chief."""

    live = False

    def start(self, done, total):
        """Begins at update `done` of `total`."""

    def step(self, done, values, eta):
        """A step has ended."""

    def report(self, done, values, eta):
        """A log interval has ended."""

    def note(self, text):
        """A line that stays."""

    def stop(self):
        """Ends the display."""


class TerminalProgress:
    """A progress bar; below it a line of metrics and one of speed.

    Notes scroll above it.
    """

    live = True

    def __init__(self):
        from rich import console
        from rich import progress
        from rich import text

        class Bar(progress.Progress):
            def get_renderables(self):
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    metrics, speed = task.fields["numbers"]
                    yield text.Text(metrics)
                    yield text.Text(speed, style="dim")

        self._bar = Bar(
            progress.TextColumn("step {task.completed:,}/{task.total:,}"),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.percentage:3.0f} %"),
            progress.TextColumn("{task.description}"),
            console=console.Console(stderr=True, highlight=False),
            expand=True,
        )
        self._task = None

    def start(self, done, total):
        """Begins at update `done` of `total`."""
        self._task = self._bar.add_task(
            "", total=total, completed=done, numbers=("", "")
        )
        self._bar.start()

    def step(self, done, values, eta):
        """Moves the bar."""
        self._bar.update(
            self._task,
            completed=done,
            description="" if eta is None else f"ETA {duration_text(eta)}",
            numbers=(
                metric_text({k: values[k] for k in values if k not in TIMES}),
                metric_text({k: values[k] for k in values if k in TIMES}),
            ),
        )

    def report(self, done, values, eta):
        """Moves the bar to the averages of a log interval."""
        self.step(done, values, eta)

    def note(self, text):
        """Shows a line above the bar."""
        self._bar.console.print(text, markup=False)

    def stop(self):
        """Leaves the bar as it is."""
        self._bar.stop()
