"""The progress of a run: a live bar in a terminal or a notebook, plain lines elsewhere."""

import math
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ddmlp.runs.events import Drift, Epoch, Event, Lost, Started
from ddmlp.runs.lag import Lag
from ddmlp.training.report import Report
from ddmlp.training.worker_pool import EXITED, REJECTED, UNRESPONSIVE

LINE_SECONDS = 10  # between plain lines
ANOTHER = "a replacement starts"
LOST = {  # by cause: what has happened, and what will
    EXITED: ("died", ANOTHER),
    UNRESPONSIVE: ("did not answer", ANOTHER),
    REJECTED: ("was rejected", "{host} gets no replacement"),
}
IDLE_SECONDS = 1  # without rows, after which the progress shows that


class RunProgress:
    """Shows reports on standard output; a context manager.

    quiet: show nothing; None: show nothing unless standard output is a terminal or a notebook.
    """

    def __init__(self, *, quiet: bool | None, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True, emoji=False)
        notebook = self._console.is_jupyter
        self._quiet = not (self._console.is_terminal or notebook) if quiet is None else quiet
        # Without ipywidgets rich would show a warning in place of a bar.
        live = bool(find_spec("ipywidgets")) if notebook else self._console.is_terminal
        self._live = live and not self._quiet
        columns = (
            TextColumn("{task.fields[where]}"),
            BarColumn(bar_width=None),
            TextColumn("step {task.fields[step]}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} rows/s"),
            TextColumn("queue {task.fields[depth]}{task.fields[more]}"),
            TimeRemainingColumn(compact=True),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._live, expand=True, transient=True)
        fields: dict[str, Any] = dict.fromkeys(("where", "step", "loss", "speed", "depth"), "-")
        self._task = self._bar.add_task("", total=None, more="", **fields)
        self._first: tuple[int, float] | None = None  # step and time of the first report
        self._printed = 0.0
        self._workers: int | None = None  # at the last report
        self._started = False
        self._waiting: float | None = None  # since when

    def __enter__(self) -> "RunProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Show a line that stays."""
        if self._quiet:
            return
        if self._console.is_jupyter:
            print(text)  # rich would make an output of each line, with much room between them
        else:
            self._console.print(text, markup=False)

    def wait(self, text: str) -> None:
        """Show what the run waits for, once the wait has lasted IDLE_SECONDS."""
        if self._waiting is None:
            self._waiting = time.monotonic()
        elif time.monotonic() - self._waiting > IDLE_SECONDS:
            self._waiting = math.inf
            self.note(text)

    def show(self, report: Report) -> None:
        """Move the bar, and show what has happened."""
        if self._quiet:
            return
        if self._first is None:
            self._first = report.step, time.monotonic()
            self._printed = time.monotonic()
            self._bar.reset(self._task, total=report.steps, completed=report.step)
            self._bar.start()
        for event in report.events:
            self._show_event(event, report)
        before, self._workers = self._workers, report.workers
        if before is not None and report.workers > before:
            self.note(f"a worker has joined: {report.workers} running")
        fields: dict[str, Any] = {
            "where": where(report),
            "step": f"{report.step}/{'-' if report.steps is None else report.steps}",
            "loss": "-" if math.isnan(report.error) else f"{report.error:.4f}",
            "speed": f"{report.rows_per_second:,.0f}",
            "depth": report.depth,
            "more": "".join(f"  {each}" for each in more(report)),
        }
        if self._live:
            self._bar.update(self._task, completed=report.step, total=report.steps, **fields)
        elif time.monotonic() - self._printed >= LINE_SECONDS:
            self._printed = time.monotonic()
            line = "{where}  step {step}  loss {loss}  {speed} rows/s  queue {depth}{more}".format(**fields)
            self.note(line if report.steps is None else f"{line}  left {self._left(report, report.steps)}")

    def _show_event(self, event: Event, report: Report) -> None:
        if isinstance(event, Started):
            for complaint in event.complaints:
                self.note(f"note: {complaint}")
            if self._started:
                self._workers = None  # they connect to the new server one by one
                self.note(f"the server has died and was restarted: continuing after step {event.step}")
            self._started = True
        elif isinstance(event, Lost):
            happened, then = LOST.get(event.cause, (f"was lost ({event.cause})", ANOTHER))
            then = then.format(host=event.host)
            self.note(f"worker {event.worker} on {event.host} {happened}: {event.reason}; {then}, {left(report)}")
        elif isinstance(event, Epoch):
            of = f"epoch {event.epoch}/{report.epochs}" if report.epochs else f"rows {report.rows:,}"
            self.note(f"{of}  test error {event.error:.2%}")
        elif isinstance(event, Drift):
            self.note(
                f"drift alarm after {event.rows:,} rows: the error before training rose from {event.before:.2%} to "
                f"{event.after:.2%}"
            )

    def _left(self, report: Report, steps: int) -> timedelta | str:
        step, began = self._first or (0, 0.0)
        if report.step <= step:
            return "?"
        seconds = (time.monotonic() - began) / (report.step - step) * (steps - report.step)
        return timedelta(seconds=round(seconds))


def left(report: Report) -> str:
    """How many workers remain after some were lost."""
    return f"{report.workers or 'none'} running"


def where(report: Report) -> str:
    """The position of a run: its epoch, or its row if it has no epochs."""
    if report.epochs is None:
        return f"rows {report.rows:,}"
    return f"epoch {min(report.epoch + 1, report.epochs)}/{report.epochs}"


def lag_text(lag: Lag) -> str:
    """How far a run is behind its stream, in rows, or else messages, and in seconds."""
    count = f"{lag.messages:,} messages" if lag.rows is None else f"{lag.rows:,} rows"
    return count if lag.seconds is None else f"{count}, {lag.seconds:,.0f} s"


def more(report: Report) -> Iterator[str]:
    """The figures that only some runs have."""
    mean, most = report.staleness
    if report.asynchronous and not math.isnan(report.error):
        yield f"staleness {mean:.1f}, {most} at most"
    if not math.isnan(report.prequential):
        yield f"tested first {report.prequential:.2%}"
    if report.lag:
        yield f"lag {lag_text(report.lag)}"
    if report.idle >= IDLE_SECONDS:
        yield f"waiting for rows: {report.idle:.0f} s"
