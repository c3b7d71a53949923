"""Event files for TensorBoard: the curves of a run, from the events of metrics.jsonl (needs the extra tensorboard)."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event as Entry
from tensorboardX.proto.event_pb2 import SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from ddmlp.files import naming
from ddmlp.runs.events import Event, Started
from ddmlp.runs.scalars import scalars


class EventFiles:
    """A new event file in `folder`, begun with the first events; a context manager. Raises OSError if it cannot be
    written, which tensorboardX's SummaryWriter would lose in its thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None

    def __enter__(self) -> "EventFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._writer:
            with naming(self._folder):
                self._writer.close()

    def record(self, events: Iterable[Event]) -> None:
        """Add the points of these events, at their steps. A start takes back those past it, as in metrics.jsonl."""
        with naming(self._folder):
            for event in events:
                for entry in _entries(event):
                    self._open.write_event(entry)
            if self._writer:
                self._writer.flush()

    @property
    def _open(self) -> EventsWriter:
        if self._writer is None:
            self._folder.mkdir(exist_ok=True)
            # Files are named by the second; two processes that begin in the same one must not meet.
            self._writer = EventsWriter(str(self._folder / "events"), filename_suffix=f".{os.getpid()}")
        return self._writer


def _entries(event: Event) -> Iterator[Entry]:
    """What an event adds to the file."""
    now = time.time()
    if isinstance(event, Started):  # TensorBoard drops what it has read of this step and later ones
        yield Entry(wall_time=now, step=event.step + 1, session_log=SessionLog(status=SessionLog.START))
    if points := [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(event)]:
        yield Entry(wall_time=now, step=event.step, summary=Summary(value=points))
