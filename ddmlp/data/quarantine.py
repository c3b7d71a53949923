"""The quarantine of a stream: a file with the rows that could not be decoded."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ddmlp.data.position import Position
from ddmlp.data.sources import BadRow
from ddmlp.errors import DatasetError, printable
from ddmlp.files import locked, naming, whole_file

NAME = "bad-rows.jsonl"
MAX_PAYLOAD = 1 << 16  # bytes of a payload to keep; the broker has all of it


class Quarantine:
    """The rows of a stream that were put aside, each as a line of a file, in the order of the stream.

    The position of the stream counts them. So the file and the rows that are published always agree: a line that the
    published position does not count is removed by `opened`, and its row is read again.

    Parameters
    ----------
    folder : Path
        The folder of the file; created if it does not exist.
    limit : int
        The largest number of rows to put aside.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.path = folder / NAME
        self._limit, self._count = limit, 0
        self._pending: list[bytes] = []

    @contextmanager
    def opened(self, position: Position | None) -> Iterator[None]:
        """Continue after the rows that this position counts, in the block; None: with none.

        Raises DatasetError if the file has fewer rows, or those of another run, or another process writes it.
        """
        self._count = kept = position.bad_rows if position else 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent) as free:
            if not free:
                raise DatasetError(f"{self.path} is being written by another run; name another folder")
            self.path.touch()
            with self.path.open("rb") as old, whole_file(self.path) as new:
                found = 0
                for line in islice(old, kept):
                    new.write(line)
                    found += 1
                if found < kept:
                    raise DatasetError(
                        f"{self.path} has {found:,} rows, expected the {kept:,} that were put aside before; name the "
                        "folder that has them"
                    )
                if position is None and old.readline():
                    raise DatasetError(
                        f"{self.path} has rows of another run, or of one that never started; move it, or name another "
                        "folder"
                    )
            yield

    def add(self, bad: BadRow) -> None:
        """Put a row aside; raises DatasetError if there are too many."""
        if self._count >= self._limit:
            raise DatasetError(
                f"{place(bad)}: {bad.reason}; {self._count:,} rows were put aside before, at most {self._limit:,} may "
                f"be (max_bad_rows); look at {self.path}"
            )
        self._count += 1
        payload = bad.payload or b""
        line: dict[str, Any] = {
            "number": self._count,
            "partition": bad.partition,
            "offset": bad.offset,
            "row": bad.row,
            "reason": bad.reason,
            "label": None if bad.label is None else printable(bad.label[:100].decode(errors="backslashreplace")),
            "bytes": len(payload),
            "payload": base64.b64encode(payload[:MAX_PAYLOAD]).decode(),
        }
        self._pending.append(msgspec.json.encode(line) + b"\n")

    def sync(self) -> None:
        """Put all rows so far on disk; raises OSError."""
        if not self._pending:
            return
        with naming(self.path), self.path.open("ab") as file:
            file.writelines(self._pending)
            file.flush()
            os.fsync(file.fileno())
        self._pending.clear()


def place(bad: BadRow) -> str:
    """Say where a row is in its stream."""
    row = "" if bad.row is None else f", row {bad.row:,} of its message"
    return f"partition {bad.partition}, offset {bad.offset}{row}"


def refuse(bad: BadRow) -> None:
    """Raise DatasetError, because there is no quarantine."""
    raise DatasetError(f"{place(bad)}: {bad.reason}; correct the producer, or set a quarantine to put such rows aside")
