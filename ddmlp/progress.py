"""The progress of a run on the terminal: a live bar, or plain lines where nobody watches."""

import math
import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ddmlp.job import Event, Report

LINE_SECONDS = 10  # between plain lines


class RunProgress:
    """Shows reports on standard output; a context manager. Quiet: shows nothing."""

    def __init__(self, epochs: int, *, quiet: bool, console: Console | None = None) -> None:
        self._epochs, self._quiet = epochs, quiet
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal and not quiet
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("step {task.fields[step]}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} rows/s"),
            TextColumn("queue {task.fields[depth]}"),
            TimeRemainingColumn(compact=True),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._live, expand=True, transient=True)
        fields: dict[str, Any] = {"epoch": f"-/{epochs}", "step": "-", "loss": "-", "speed": "-", "depth": 0}
        self._task = self._bar.add_task("", total=None, **fields)
        self._first: tuple[int, float] | None = None  # step and time of the first report
        self._printed = 0.0
        self._workers: int | None = None  # at the last report
        self._started = False

    def __enter__(self) -> "RunProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Say something that stays."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def show(self, report: Report) -> None:
        """Move the bar, and say what happened."""
        if self._quiet:
            return
        if self._first is None:
            self._first = report.step, time.monotonic()
            self._printed = time.monotonic()
            self._bar.reset(self._task, total=report.steps, completed=report.step)
            self._bar.start()
        for event in report.events:
            self._show_event(event)
        before, self._workers = self._workers, report.workers
        if before is not None and report.workers < before:
            self.note(f"a worker has died: {report.workers or 'none'} left, another is being started")
        elif before is not None and report.workers > before:
            self.note(f"a worker has joined: {report.workers} now")
        step = f"{report.step}/{report.steps}"
        epoch = f"{min(report.epoch + 1, self._epochs)}/{self._epochs}"
        loss = "-" if math.isnan(report.error) else f"{report.error:.4f}"
        speed = f"{report.rows_per_second:,.0f}"
        if self._live:
            self._bar.update(
                self._task, completed=report.step, step=step, epoch=epoch, loss=loss, speed=speed, depth=report.depth
            )
        elif time.monotonic() - self._printed >= LINE_SECONDS:
            self._printed = time.monotonic()
            self.note(
                f"epoch {epoch}  step {step}  loss {loss}  {speed} rows/s  "
                f"queue {report.depth}  left {self._left(report)}"
            )

    def _show_event(self, event: Event) -> None:
        if event["event"] == "start":
            for complaint in event["complaints"]:
                self.note(f"note: {complaint}")
            if self._started:
                self._workers = None  # they come to the new server one by one
                self.note(f"the server has died and was started again: going on after step {event['step']}")
            self._started = True
        elif event["event"] == "epoch":
            self.note(f"epoch {event['epoch']}/{self._epochs}  test error {event['test_error']:.2%}")

    def _left(self, report: Report) -> timedelta | str:
        step, began = self._first or (0, 0.0)
        if report.step <= step:
            return "?"
        seconds = (time.monotonic() - began) / (report.step - step) * (report.steps - report.step)
        return timedelta(seconds=round(seconds))
