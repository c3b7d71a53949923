"""Ingest of a stream: writes its rows into a dataset, from which they are trained on at the same time.

So a run can be replayed, resumed and audited after the stream itself is gone.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.oddities import odd_pixels
from ddmlp.data.quarantine import Quarantine
from ddmlp.data.repetition import Repetition
from ddmlp.data.resumption import break_error, resume_stream
from ddmlp.data.sources import PositionedSource, Rows, Source, StreamEnd
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError

PUBLISH_SECONDS = 1.0  # at least, between publications, so that shards of a fast stream are not too small
PAUSE_SECONDS = 0.05  # between looks at how many rows are trained on
LOOK_SECONDS = 1.0  # between looks for the end of the stream
STOP_SECONDS = 30.0  # to write the rows that were read
SPARE_BYTES = 128 << 20  # to leave free on the disk, for buffered rows and the run's checkpoints


class StreamIngest:
    """Receives a stream in a thread and appends its rows to a dataset.

    Rows are published once `publish_rows` of them are buffered and `publish_seconds` have passed since the last
    publication. When the stream ends, breaks off or has bad rows, and on `stop`, all rows before are published. If the
    dataset already has rows, the stream contains either the remaining rows or all rows; in the second case the rows
    that the dataset has are skipped (see `Repetition`). A stream with positions continues at the position that was
    published with its last rows, in the same replacement of the manifest: so each row is in the dataset exactly once.

    Parameters
    ----------
    source : Source
        The open stream; closed by the ingest.
    path : Path
        The folder of the dataset, which may exist.
    classes : int
        The number of classes.
    publish_rows : int
        Rows per publication, at least.
    publish_seconds : float
        Seconds between publications, at least.
    note : callable
        Called in the thread with a line of text for the user, for example when rows are skipped.
    quarantine : Quarantine, optional
        Where rows are put that cannot be decoded, if the stream has positions; without it, the first one is an error.
    spool_bytes : int, optional
        Bytes of pixels of rows that are not trained on yet: if there are more, the ingest stops reading. But it always
        reads as many as two publications need.

    Attributes
    ----------
    rows : int
        The number of rows appended so far.
    ended : bool
        Whether the stream ended with Arrow's end-of-stream marker; the dataset is then complete.
    error : Exception or None
        Why the ingest failed, usually a DatasetError.
    trained : int
        The number of rows of the dataset that were trained on, to be set by another thread.
    waits : int
        How often the ingest has waited for rows to be trained on.
    end : StreamEnd or None
        Where the stream ended when its broker was asked last; None if it has none, or it does not say.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        classes: int,
        publish_rows: int,
        *,
        publish_seconds: float = PUBLISH_SECONDS,
        note: Callable[[str], None] = lambda _: None,
        quarantine: Quarantine | None = None,
        spool_bytes: int | None = None,
    ) -> None:
        self.path = path
        self.trained = self.waits = 0
        self.rows = 0
        self.ended = False
        self.error: Exception | None = None
        self.end: StreamEnd | None = None
        self._looked = -math.inf
        self._source, self._classes = source, classes
        self._publish_rows, self._publish_seconds, self._note = publish_rows, publish_seconds, note
        self._quarantine, self._spool_bytes = quarantine, spool_bytes
        self._before = 0  # the number of rows in the dataset when the ingest began
        self._repetition: Repetition | None = None
        self._writer: DatasetWriter | None = None
        self._published, self._last = 0, -publish_seconds  # the number of rows at the last publication, and its time
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def raise_error(self) -> None:
        """Raise `error` if there is one."""
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Stop reading and publish the rows received; waits at most STOP_SECONDS. May be called again."""
        self._source.stop()
        if self._thread.ident is None:
            self._source.close()
        else:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            with closing(self._source):
                self._receive()
        except OSError as error:
            self.error = DatasetError(f"{error.filename or self.path}: {error.strerror or error}; {self._kept()}")
        except Exception as error:
            self.error = error

    def _receive(self) -> None:
        source, fault = self._source, None
        with ExitStack() as stack:  # when it ends, the writer publishes its rows
            known = Manifest.read(self.path) if (self.path / NAME).exists() else None
            self._before = known.rows if known else 0
            self._repetition = resume_stream(source, self.path, known, self._quarantine, stack)
            try:
                for rows in source.batches(self._classes, self._pause, self._publish_seconds):
                    for new in self._new(rows):
                        self._append(new, stack)
                if not source.lost and self._repetition is not None:
                    self._repetition.check_end()
            except DatasetError as error:
                fault = error
            if fault is None and source.lost and not source.stopped:
                fault = break_error(source, self.rows, self._repetition)
            elif fault is None and not source.lost:
                if self._writer is not None:
                    self._writer.end()
                elif self._before:  # the rest of a stream may be just its end
                    mark_end(self.path)
                else:
                    fault = DatasetError(f"the stream from {source.name} ended without rows, expected at least one")
            if self._writer is not None:
                self._publish(self._writer)
        self.ended = fault is None and not source.lost
        if fault is not None:
            raise fault

    def _new(self, rows: Rows) -> list[Rows]:
        """Return the rows that are not in the dataset yet."""
        if self._repetition is None:
            return [rows]
        known, new = self._repetition.repeats, self._repetition.new(rows)
        if self._repetition.repeats and not known:
            self._note(
                f"the stream starts over: its first {self._published_rows():,} rows are compared with those of the "
                "dataset and skipped"
            )
        return new

    def _published_rows(self) -> int:
        """Return the number of rows in the dataset, as it is published."""
        return Manifest.read(self.path).rows if (self.path / NAME).exists() else 0

    def _kept(self) -> str:
        return (
            f"{self._published_rows():,} rows are kept: free disk space, then resume the run with the remaining rows, "
            "or with all rows"
        )

    def _append(self, rows: Rows, stack: ExitStack) -> None:
        """Append rows to the dataset. The first ones open the writer, because they have the shape of the images."""
        if not len(rows.labels) and self._writer is None:
            return  # the position is published with the first rows
        if self._writer is None:
            height, width = rows.pixels.shape[1:]
            writer = DatasetWriter(self.path, (height, width), self._classes, extend=True)
            self._writer = stack.enter_context(writer)
        if not self.rows and (odd := odd_pixels(rows.pixels)):
            self._note(f"warning: {self._source.name}: {odd}")
        if (free := shutil.disk_usage(self.path).free) < SPARE_BYTES + rows.pixels.nbytes:
            self._publish(self._writer)
            raise DatasetError(
                f"the disk of {self.path} has {free:,} bytes left, expected at least {SPARE_BYTES:,} in addition "
                f"to the next rows; {self._kept()}"
            )
        self._writer.append(rows.pixels, rows.labels)
        if isinstance(self._source, PositionedSource):
            self._writer.position = self._source.position
        self.rows += len(rows.labels)
        self._publish_when_due()

    def _publish_when_due(self) -> None:
        due = (
            self.rows - self._published >= self._publish_rows and time.monotonic() >= self._last + self._publish_seconds
        )
        if self._writer is not None and due:
            self._publish(self._writer)

    def _publish(self, writer: DatasetWriter) -> None:
        """Publish all rows, and their position; rows in quarantine before it, which it counts."""
        if self._quarantine:
            self._quarantine.sync()
        writer.publish()
        self._published, self._last = self.rows, time.monotonic()
        if isinstance(self._source, PositionedSource) and writer.position:
            self._source.commit(writer.position)

    def _pause(self) -> None:
        """Publish if due, and wait while too many rows are not trained on: the source does not read meanwhile."""
        self._publish_when_due()
        self._look_when_due()
        if self._writer is not None and self._full(self._writer):
            self._publish(self._writer)
            self.waits += 1
            while self._full(self._writer) and not self._source.stopped:
                time.sleep(PAUSE_SECONDS)
                self._look_when_due()

    def _look_when_due(self) -> None:
        """Ask for the end of the stream."""
        if time.monotonic() >= self._looked + LOOK_SECONDS and isinstance(self._source, PositionedSource):
            self._looked = time.monotonic()
            self.end = self._source.find_end(self._before + self.rows)

    def _full(self, writer: DatasetWriter) -> bool:
        if self._spool_bytes is None:
            return False
        waiting = self._before + self.rows - self.trained
        return waiting >= 2 * self._publish_rows and waiting * math.prod(writer.image_shape) >= self._spool_bytes


def mark_end(path: Path) -> None:
    """Mark the dataset at `path` as complete; raises DatasetError if another process is still writing to it."""
    manifest = Manifest.read(path)
    if not manifest.ended:
        with DatasetWriter(path, manifest.image_shape, manifest.classes, extend=True) as writer:
            writer.end()
