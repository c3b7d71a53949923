"""Where the events of a run go."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from ddmlp.errors import require_extra

if TYPE_CHECKING:  # these import NumPy, which a missing extra need not wait for
    from ddmlp.runs.events import Event
    from ddmlp.runs.run import Run

    EventSink: TypeAlias = Callable[[Iterable[Event]], None]


@contextmanager
def recording(run: "Run", *, tensorboard: bool) -> "Iterator[EventSink]":
    """What takes the events of a run: its metrics.jsonl and, where they are asked for, event files for TensorBoard.
    Raises ConfigError if these need what is not installed."""
    if not tensorboard:
        yield run.record
        return
    with require_extra("tensorboard"):
        from ddmlp.runs.tensorboard import EventFiles
    with EventFiles(run.path / "tensorboard") as files:

        def record(events: "Iterable[Event]") -> None:
            run.record(events)
            files.record(events)

        yield record
