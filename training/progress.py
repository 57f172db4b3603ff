"""How a run is shown: a bar on a terminal, a line every N steps elsewhere.

Not here: what is kept (`workdir.History`) or measured (`meters`).
"""

import sys


def for_stream(stream=None):
    """The progress display that fits a stream (stderr by default)."""
    stream = stream or sys.stderr
    return TerminalProgress() if stream.isatty() else LineProgress(stream)


def metric_text(values):
    """dict as one line: `loss 0.1234  accuracy 0.5  step 12.3 ms`."""
    return "  ".join(
        f"{name[:-3]} {value:.1f} ms"
        if name.endswith("_ms")
        else f"{name} {value:.4g}"
        for name, value in values.items()
    )


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


class TerminalProgress:
    """A progress bar with the numbers below it; notes scroll above."""

    live = True

    def __init__(self):
        from rich import console
        from rich import progress
        from rich import text

        class Bar(progress.Progress):
            def get_renderables(self):
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    yield text.Text(task.fields["numbers"])

        self._bar = Bar(
            progress.TextColumn("{task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.description}"),
            console=console.Console(stderr=True, highlight=False),
        )
        self._task = None

    def start(self, done, total):
        """Begins at update `done` of `total`."""
        self._task = self._bar.add_task(
            "", total=total, completed=done, numbers=""
        )
        self._bar.start()

    def step(self, done, values, eta):
        """Moves the bar."""
        self._bar.update(
            self._task,
            completed=done,
            description="" if eta is None else f"ETA {duration_text(eta)}",
            numbers=metric_text(values),
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
