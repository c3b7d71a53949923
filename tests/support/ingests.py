"""Streams taken in to datasets, and what of them is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import StreamIngest
from ddmlp.data.manifest import NAME
from ddmlp.data.sources import Source
from ddmlp.errors import DatasetError
from tests.support.streams import source_of, until


@contextmanager
def ingesting(
    source: Source, path: Path, rows: int = 1, classes: int = 10, seconds: float = 1.0, notes: list[str] | None = None
) -> Iterator[StreamIngest]:
    """notes: where to put what it says."""
    notes = [] if notes is None else notes
    ingest = StreamIngest(source, path, classes, rows, publish_seconds=seconds, note=notes.append)
    ingest.start()
    try:
        yield ingest
    finally:
        ingest.stop()


def receive(content: bytes, path: Path, **options: Any) -> StreamIngest:
    """Ingest a whole file; returns when it is done."""
    with source_of(content, path.with_name("stream")) as source, ingesting(source, path, **options) as ingest:
        until(lambda: ingest.ended or ingest.error)
    return ingest


def refusal(content: bytes, path: Path, **options: Any) -> str:
    ingest = receive(content, path, **options)
    assert not ingest.ended
    with pytest.raises(DatasetError) as caught:
        ingest.raise_error()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pixels (rows, m) and labels, verified."""
    dataset = Dataset(path, verify=True)
    return dataset.gather(np.arange(len(dataset)))


def numbers(path: Path) -> list[int]:
    """The numbers of the rows in a dataset, by their pixels; none where there is no dataset."""
    if not (path / NAME).exists():
        return []
    pixels, _ = read(path)
    assert (pixels == pixels[:, :1]).all()
    return pixels[:, 0].tolist()
