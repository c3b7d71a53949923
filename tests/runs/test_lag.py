"""lag.json: how far a run is behind its stream, now."""

import os
import time
from pathlib import Path

import pytest

from ddmlp.runs.lag import FRESH_SECONDS, NAME, Lag, read_lag, write_lag


def test_simple(tmp_path: Path):
    for lag in (Lag(messages=0), Lag(messages=3, rows=35, seconds=2.5)):
        write_lag(tmp_path, lag)
        assert read_lag(tmp_path) == lag
        assert [path.name for path in tmp_path.iterdir()] == [NAME]
    write_lag(tmp_path, None)
    assert read_lag(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_old(tmp_path: Path):
    """The process that wrote it was killed."""
    write_lag(tmp_path, Lag(messages=3))
    then = time.time() - FRESH_SECONDS - 1
    os.utime(tmp_path / NAME, (then, then))
    assert read_lag(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", '{"messages": -1}', "[]"])
def test_damaged(tmp_path: Path, text: str):
    (tmp_path / NAME).write_text(text)
    assert read_lag(tmp_path) is None


def test_cannot_be_written(tmp_path: Path):
    write_lag(tmp_path / "missing", Lag(messages=3))
    assert read_lag(tmp_path / "missing") is None
