"""Callbacks: what a program does while a run trains."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError
from ddmlp.runs.events import Drift, Epoch, Event, Progress, Saved

if TYPE_CHECKING:
    from ddmlp.api.result import Result


class Callback:
    """Called while a run trains. Subclass it, and override what you need.

    The calls are made in the process and the thread that called `fit`, a few times a second, with all that has happened
    since the last time. They slow the run down, but change no bit of it. An error that a callback raises ends the run;
    the newest checkpoint remains.

    Attributes
    ----------
    stopped : bool
        Whether `stop` was called.

    Examples
    --------
    >>> import ddmlp
    >>> class Patience(ddmlp.Callback):
    ...     "Stops when the test error has not improved for 3 epochs."
    ...     best, epoch = 1.0, 0
    ...     def on_test(self, epoch):
    ...         if epoch.error < self.best:
    ...             self.best, self.epoch = epoch.error, epoch.epoch
    ...         elif epoch.epoch >= self.epoch + 3:
    ...             self.stop()
    """

    stopped = False

    def stop(self) -> None:
        """Stop the run soon: with a checkpoint and a model, and a result that is not finished. `resume` continues it.

        The run stops between two steps, at most a few tenths of a second later.
        """
        self.stopped = True

    def on_begin(self, run: Path, config: TrainConfig) -> None:
        """Training begins or continues. run: its folder; config: its settings."""

    def on_step(self, progress: Progress) -> None:
        """Some steps were made: `progress.step`, `.epoch`, `.rows`, `.error` (nats), `.mistakes`, `.speed` (rows/s)."""

    def on_test(self, epoch: Epoch) -> None:
        """An epoch has ended, and its weights were tested: `epoch.epoch`, `.error`, `.cross_entropy`, `.step`."""

    def on_checkpoint(self, saved: Saved) -> None:
        """A checkpoint was written: `saved.step`, `.seconds`."""

    def on_drift(self, drift: Drift) -> None:
        """The prequential error has risen: `drift.before`, `.after` (fractions), `.step`, `.rows`; see `fit`."""

    def on_end(self, result: "Result") -> None:
        """The run has a result; not called if the run was interrupted or has failed."""

    def on_event(self, event: Event) -> None:
        """An event was written to the run's metrics.jsonl. Calls the method above that is for it, if there is one."""
        if isinstance(event, Progress):
            self.on_step(event)
        elif isinstance(event, Epoch):
            self.on_test(event)
        elif isinstance(event, Saved):
            self.on_checkpoint(event)
        elif isinstance(event, Drift):
            self.on_drift(event)

    def close(self) -> None:
        """Release what the callback holds. Called last, however the run has ended."""


def checked(callbacks: Iterable[Callback]) -> list[Callback]:
    """The callbacks as a list; raises ConfigError if one is none."""
    if not isinstance(callbacks, Iterable):
        raise ConfigError(f"callbacks is a {type(callbacks).__name__}, expected a list of instances of ddmlp.Callback")
    found = list(callbacks)
    for each in found:
        if not isinstance(each, Callback):
            raise ConfigError(f"callbacks has a {type(each).__name__}, expected instances of ddmlp.Callback")
    return found
