"""Streams that start over when a run resumes: no row is duplicated or lost."""

from pathlib import Path

import pyarrow as pa
import pytest

from ddmlp.data import repetition
from ddmlp.data.ingest import mark_end
from ddmlp.data.manifest import Manifest
from ddmlp.errors import DatasetError
from tests.support.ingests import numbers, receive, refusal
from tests.support.streams import batch, stream

ENOUGH = 8


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    monkeypatch.setattr(repetition, "ENOUGH_ROWS", ENOUGH)


@pytest.fixture
def path(tmp_path) -> Path:
    """A dataset with the 20 rows of a stream that broke off."""
    refusal(stream(batch(12), batch(8, 12))[:-8], tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("sizes", [[30], [1] * 30, [5, 5, 20], [20, 10], [7, 1, 1, 21], [8, 12, 10]])
def test_simple(path, sizes):
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    notes: list[str] = []
    whole = stream(*(batch(*each) for each in zip(sizes, starts, strict=True)))
    ingest = receive(whole, path, notes=notes)
    ingest.raise_error()
    assert numbers(path) == list(range(30))
    assert ingest.rows == 10
    assert ["20" in note for note in notes if "warning" not in note] == [True]


@pytest.mark.parametrize("same", [0, 1, ENOUGH - 1])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_rest_with_equal_rows(path, same, size):
    """Fewer than ENOUGH_ROWS equal rows may be a coincidence, so they pass, too."""
    rest = [*range(same), *range(100, 110)]
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    assert receive(stream(*(joined(piece) for piece in pieces)), path).ended
    assert numbers(path) == [*range(20), *rest]


def joined(rows):
    return pa.Table.from_batches([batch(1, row) for row in rows]).combine_chunks().to_batches()[0]


@pytest.mark.parametrize("at", [ENOUGH, 11, 19])
def test_other_row(path, at):
    message = refusal(stream(joined([*range(at), 200, *range(at + 1, 30)])), path)
    assert f"row {at} " in message
    assert numbers(path) == list(range(20))
    assert not Manifest.read(path).ended


def test_other_labels(path):
    whole = batch(20)
    labels = pa.array([9 - label for label in whole["label"].to_pylist()])
    assert receive(stream(whole.set_column(1, "label", labels)), path).ended
    assert numbers(path) == [*range(20), *range(20)]


@pytest.mark.parametrize("count", [1, ENOUGH - 1, ENOUGH, 19])
def test_ends_too_early(path, count):
    message = refusal(stream(batch(count)), path)
    assert f"after {count} rows" in message
    assert "20" in message
    assert not Manifest.read(path).ended
    assert numbers(path) == list(range(20))


def test_no_new_rows(path):
    for _ in range(2):  # the second time the dataset is complete
        assert receive(stream(batch(20)), path).ended
        assert Manifest.read(path).ended
        assert numbers(path) == list(range(20))


def test_broken_again(path):
    for cut in (100, 8):
        message = refusal(stream(batch(10), batch(15, 10))[:-cut], path)
        assert f"broke off after {10 if cut == 100 else 25} rows" in message
    assert numbers(path) == list(range(25))
    assert receive(stream(batch(30)), path).ended
    assert numbers(path) == list(range(30))


def test_mark_end(path):
    for _ in range(2):
        mark_end(path)
        assert Manifest.read(path).ended
    assert numbers(path) == list(range(20))
    assert "--overwrite" in refusal(stream(batch(10, 20)), path)
    with pytest.raises(DatasetError, match="/other is not a dataset"):
        mark_end(path / "other")
