"""Rows that arrive over time, as a growing dataset or a stream, and runs that follow them."""

import io
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa

from ddmlp.cli.train import main
from ddmlp.config import TrainConfig
from ddmlp.data.writer import DatasetWriter
from tests.support.helpers import inside

ROWS, BATCH = 4_000, 150  # 26 whole steps, and 100 rows
FLAGS = ["--follow", "--hidden", "20", "--batch", str(BATCH), "--microbatch", "32"]
CONFIG = TrainConfig(hidden=20, batch=BATCH, microbatch=32, epochs=1, lr_schedule="constant", follow=True)
SECONDS = 60  # timeout


def publish(folder: Path, rows: tuple[Any, Any], first: int, last: int, *, end: bool = False) -> None:
    pixels, labels = rows
    with DatasetWriter(folder / "train", (28, 28), 10, extend=True, shard_rows=700) as writer:
        writer.append(pixels[first:last], labels[first:last])
        if end:
            writer.end()


def stream(rows: tuple[Any, Any], first: int = 0, last: int = ROWS, *, cut: int = 0) -> bytes:
    """Return rows as an Arrow IPC stream of lists, without its last `cut` bytes."""
    pixels, labels = rows
    sink = io.BytesIO()
    kind = pa.schema([("label", pa.int32()), ("pixels", pa.list_(pa.uint8(), 784))])
    with pa.ipc.new_stream(sink, kind) as writer:
        for start in range(first, last, 300):
            some = slice(start, min(start + 300, last))
            flat = pa.array(pixels[some].ravel())
            batch = [pa.array(labels[some], pa.int32()), pa.FixedSizeListArray.from_arrays(flat, 784)]
            writer.write_batch(pa.record_batch(batch, schema=kind))
    return sink.getvalue()[: -cut or None]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return inside(main, "--no-report", *arguments)
