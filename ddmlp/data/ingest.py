"""The ingest of a stream: its rows are written into a dataset while they are trained on from there.

What is trained on can so be replayed, resumed and audited, though the stream itself is gone.
"""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.oddities import odd_pixels
from ddmlp.data.repetition import Repetition
from ddmlp.data.sources import Rows, Source
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import DatasetError

PUBLISH_SECONDS = 1.0  # between publications, so that the shards of a fast stream are not needlessly small
STOP_SECONDS = 30.0  # for what has been read to be written
GO_ON = (
    "the rows are kept: go on by --resume with the rest, or with all rows; or by --resume --end if no more will come"
)
SPARE_BYTES = 128 << 20  # of the disk, that are left for what is held, and for the run's checkpoints


class StreamIngest:
    """Receives a stream in a thread of its own and adds its rows to the dataset at `path`, which may be there.

    The rows are published as soon as `publish_rows` of them are held and `publish_seconds` have passed since the last
    time. All that came before the stream's end, a break, a fault or `stop` is published, too. If rows are there, the
    stream goes on with the rest, or begins again: then its rows that are there are skipped.

    note: called in that thread with lines for the user: that rows are skipped, that the first are unusual.

    Attributes
    ----------
    rows : int
        Added so far.
    ended : bool
        The stream has ended, with the sender's mark, and with it the dataset.
    error : Exception or None
        What went wrong: a DatasetError.
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
    ) -> None:
        self.path = path
        self.rows = 0
        self.ended = False
        self.error: Exception | None = None
        self._source, self._classes = source, classes
        self._publish_rows, self._publish_seconds, self._note = publish_rows, publish_seconds, note
        self._repetition: Repetition | None = None
        self._writer: DatasetWriter | None = None
        self._published, self._last = 0, -publish_seconds  # of `rows`; when
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def raise_error(self) -> None:
        """Raise what went wrong, if anything has."""
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """End the reading and publish what came; waits for that, at most STOP_SECONDS. May be called again."""
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
        if (self.path / NAME).exists():
            self._repetition = Repetition(Dataset(self.path), f"the stream from {source.name}")
        with ExitStack() as stack:  # at its end the writer publishes what it holds
            try:
                for rows in source.batches(self._classes, self._publish_when_due, self._publish_seconds):
                    for new in self._new(rows):
                        if self._writer is None:
                            height, width = new.pixels.shape[1:]
                            writer = DatasetWriter(self.path, (height, width), self._classes, extend=True)
                            self._writer = stack.enter_context(writer)
                        self._append(new)
                if not source.lost and self._repetition is not None:
                    self._repetition.check_end()
            except DatasetError as error:
                fault = error
            if fault is None and source.lost and not source.stopped:
                fault = self._broke_off()
            elif fault is None and not source.lost:
                if self._writer is not None:
                    self._writer.end()
                elif self._repetition is not None:  # the rest of a stream may be its end alone
                    mark_end(self.path)
                else:
                    fault = DatasetError(f"the stream from {source.name} ended without rows, expected at least one")
        self.ended = fault is None and not source.lost
        if fault is not None:
            raise fault

    def _new(self, rows: Rows) -> list[Rows]:
        """Those that are not there already."""
        if self._repetition is None:
            return [rows]
        known, new = self._repetition.repeats, self._repetition.new(rows)
        if self._repetition.repeats and not known:
            self._note(
                f"the stream begins again: its rows that are there already, {self._rows_there():,}, are compared with "
                "them and skipped"
            )
        return new

    def _rows_there(self) -> int:
        """In the dataset, as it is published."""
        return Manifest.read(self.path).rows if (self.path / NAME).exists() else 0

    def _broke_off(self) -> DatasetError:
        skipped = self._repetition.skipped if self._repetition else 0
        return DatasetError(
            f"the stream from {self._source.name} broke off after {skipped + self.rows:,} rows, without Arrow's "
            f"end-of-stream marker ({self._source.lost}); "
            + (GO_ON if self.rows or self._repetition else "expected an Arrow IPC stream")
        )

    def _kept(self) -> str:
        return (
            f"{self._rows_there():,} rows are kept: make room, then go on by --resume with the rest, or with all rows"
        )

    def _append(self, rows: Rows) -> None:
        assert self._writer is not None
        if not self.rows and (odd := odd_pixels(rows.pixels)):
            self._note(f"warning: {self._source.name}: {odd}")
        for begin in range(0, len(rows.labels), SHARD_ROWS):
            pixels, labels = rows.pixels[begin : begin + SHARD_ROWS], rows.labels[begin : begin + SHARD_ROWS]
            if (free := shutil.disk_usage(self.path).free) < SPARE_BYTES + pixels.nbytes:
                self._writer.publish()
                raise DatasetError(
                    f"{self.path} is on a disk with {free:,} bytes left, expected at least {SPARE_BYTES:,} beside the "
                    f"rows to come; {self._kept()}"
                )
            self._writer.append(pixels, labels)
            self.rows += len(labels)
            self._publish_when_due()

    def _publish_when_due(self) -> None:
        due = (
            self.rows - self._published >= self._publish_rows and time.monotonic() >= self._last + self._publish_seconds
        )
        if self._writer is not None and due:
            self._writer.publish()
            self._published, self._last = self.rows, time.monotonic()


def mark_end(path: Path) -> None:
    """Mark the end of the dataset at `path`, to which no more rows will come; raises DatasetError if some still do."""
    there = Manifest.read(path)
    if not there.ended:
        with DatasetWriter(path, there.image_shape, there.classes, extend=True) as writer:
            writer.end()
