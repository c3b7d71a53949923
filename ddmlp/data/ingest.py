"""The ingest of a stream: its rows are written into a dataset while they are trained on from there.

What is trained on can so be replayed, resumed and audited, though the stream itself is gone.
"""

import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.oddities import odd_pixels
from ddmlp.data.sources import Rows, Source
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import DatasetError

PUBLISH_SECONDS = 1.0  # between publications, so that the shards of a fast stream are not needlessly small
STOP_SECONDS = 30.0  # for what has been read to be written


class StreamIngest:
    """Receives a stream in a thread of its own and adds its rows to the dataset at `path`, which may be there.

    The rows are published as soon as `publish_rows` of them are held and `publish_seconds` have passed since the last
    time. All that came before the stream's end, a break, a fault or `stop` is published, too.

    Attributes
    ----------
    rows : int
        Received so far.
    ended : bool
        The stream has ended, with the sender's mark, and with it the dataset.
    error : Exception or None
        What went wrong: a DatasetError for the stream, an OSError if the dataset cannot be written.
    odd : str or None
        What is unusual in the first rows, in words; known before they are published.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        classes: int,
        publish_rows: int,
        *,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self.path = path
        self.rows = 0
        self.ended = False
        self.error: Exception | None = None
        self.odd: str | None = None
        self._source, self._classes = source, classes
        self._publish_rows, self._publish_seconds = publish_rows, publish_seconds
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
        except Exception as error:
            self.error = error

    def _receive(self) -> None:
        source, fault = self._source, None
        with ExitStack() as stack:  # at its end the writer publishes what it holds
            try:
                for rows in source.batches(self._classes, self._publish_when_due, self._publish_seconds):
                    if self._writer is None:
                        self._writer = stack.enter_context(self._open(rows.pixels.shape[1:]))
                    self._append(rows)
            except DatasetError as error:
                fault = error
            if fault is None and source.lost and not source.stopped:
                fault = self._broke_off()
            elif fault is None and not source.lost:
                if self._writer is None:
                    self._writer = stack.enter_context(self._open(self._shape_there()))
                self._writer.end()
        self.ended = fault is None and not source.lost
        if fault is not None:
            raise fault

    def _open(self, shape: tuple[int, ...]) -> DatasetWriter:
        height, width = shape
        return DatasetWriter(self.path, (height, width), self._classes, extend=True)

    def _shape_there(self) -> tuple[int, int]:
        """The shape of the images that are there already: the rest of a stream may be its end alone."""
        if (self.path / NAME).exists():
            return Manifest.read(self.path).image_shape
        raise DatasetError(f"the stream from {self._source.name} ended without rows, expected at least one")

    def _broke_off(self) -> DatasetError:
        return DatasetError(
            f"the stream from {self._source.name} broke off after {self.rows:,} rows, without Arrow's end-of-stream "
            f"marker ({self._source.lost})"
            + (
                "; the rows are kept: go on by --resume with the rest"
                if self.rows
                else "; expected an Arrow IPC stream"
            )
        )

    def _append(self, rows: Rows) -> None:
        assert self._writer is not None
        if not self.rows:
            self.odd = odd_pixels(rows.pixels)
        for begin in range(0, len(rows.labels), SHARD_ROWS):
            labels = rows.labels[begin : begin + SHARD_ROWS]
            self._writer.append(rows.pixels[begin : begin + SHARD_ROWS], labels)
            self.rows += len(labels)
            self._publish_when_due()

    def _publish_when_due(self) -> None:
        due = (
            self.rows - self._published >= self._publish_rows and time.monotonic() >= self._last + self._publish_seconds
        )
        if self._writer is not None and due:
            self._writer.publish()
            self._published, self._last = self.rows, time.monotonic()
