"""Event files for TensorBoard: the curves of a run, as in metrics.jsonl. Needs the extra `tensorboard`."""

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
    """A new event file in `folder`, created with the first events; a context manager.

    Its methods raise OSError if the file cannot be written; tensorboardX's SummaryWriter would lose it in a thread.
    """

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
        """Add the points of these events. A start drops the points past its step, as in metrics.jsonl."""
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
            # File names have a resolution of one second; two processes must not share a file.
            self._writer = EventsWriter(str(self._folder / "events"), filename_suffix=f".{os.getpid()}")
        return self._writer


def _entries(event: Event) -> Iterator[Entry]:
    """Yield the entries that an event adds to the file."""
    now = time.time()
    if isinstance(event, Started):  # TensorBoard then drops the points of this step and later
        yield Entry(wall_time=now, step=event.step + 1, session_log=SessionLog(status=SessionLog.START))
    if points := [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(event)]:
        yield Entry(wall_time=now, step=event.step, summary=Summary(value=points))
