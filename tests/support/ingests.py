"""Streams ingested into datasets, and the rows of these datasets."""

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
    source: Source,
    path: Path,
    rows: int = 1,
    classes: int = 10,
    seconds: float = 1.0,
    notes: list[str] | None = None,
    **options: Any,
) -> Iterator[StreamIngest]:
    """Run an ingest in the block; `notes` collects its messages."""
    notes = [] if notes is None else notes
    ingest = StreamIngest(source, path, classes, rows, publish_seconds=seconds, note=notes.append, **options)
    ingest.start()
    try:
        yield ingest
    finally:
        ingest.stop()


def receive(content: bytes, path: Path, **options: Any) -> StreamIngest:
    """Ingest a stream until it ends or fails; return the ingest."""
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
    """Return all pixels (rows, m) and labels (rows,), verified."""
    dataset = Dataset(path, verify=True)
    return dataset.gather(np.arange(len(dataset)))


def numbers(path: Path) -> list[int]:
    """Return the numbers of the rows in a dataset, given by their pixels; [] if there is no dataset."""
    if not (path / NAME).exists():
        return []
    pixels, _ = read(path)
    assert (pixels == pixels[:, :1]).all()
    return pixels[:, 0].tolist()
