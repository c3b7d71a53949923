"""The file of a trace: bounded, and readable whenever its writer was killed."""

import logging
from pathlib import Path

import pytest

from ddmlp.runs.trace_events import instant_line, name_line
from ddmlp.runs.trace_file import BEFORE, NAME, TraceFile, read_events, whole_lines
from tests.support.traces import events


def line(number: int) -> bytes:
    return instant_line("joined", 1, number, worker=number).encode()


def numbers(path: Path) -> list[int]:
    return [event["ts"] for event in read_events(path.read_bytes()) if event["ph"] == "i"]


def test_simple(tmp_path: Path):
    file = TraceFile(tmp_path)
    assert not file.begun
    file.write(line(1) + line(2))
    file.write(line(3))
    assert [event["ts"] for event in events(tmp_path)] == [1, 2, 3]
    again = TraceFile(tmp_path)
    assert again.begun
    again.write(line(4))
    assert [event["ts"] for event in events(tmp_path)] == [1, 2, 3, 4]


def test_bound(tmp_path: Path):
    """A full file becomes the previous one; the new one has the names of the tracks, too."""
    most = 10 * len(line(10))
    file = TraceFile(tmp_path, most)
    for number in range(10, 60):
        file.write(line(number), lambda: name_line("thread", 1, 0, "server"))
    for name in (NAME, BEFORE):
        first, *rest = events(tmp_path, name)
        assert first["args"] == {"name": "server"}
        assert len(rest) > 3
        assert (tmp_path / name).stat().st_size <= most
    kept = numbers(tmp_path / BEFORE) + numbers(tmp_path / NAME)
    assert kept == [*range(60 - len(kept), 60)], "the newest ones, without a gap"
    assert {each.name for each in tmp_path.iterdir()} == {NAME, BEFORE}


@pytest.mark.parametrize("torn", ['{"ph":"i","s":', "x" * 70_000, "\0" * 9], ids=len)
def test_killed(tmp_path: Path, torn: str):
    """A reader leaves out half a line, and the next writer cuts it off."""
    path = tmp_path / NAME
    TraceFile(tmp_path).write(line(1) + line(2))
    with path.open("a") as file:
        file.write(torn)
    assert numbers(path) == [1, 2]
    assert whole_lines(path.read_bytes()).endswith(line(2))
    if len(torn) < 1 << 16:
        TraceFile(tmp_path).write(line(3))
        assert [event["ts"] for event in events(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"[", b"no trace\n", b"\0\0"], ids=repr)
def test_no_trace(tmp_path: Path, content: bytes):
    (tmp_path / NAME).write_bytes(content)
    file = TraceFile(tmp_path)
    assert not file.begun
    file.write(line(1))
    assert [event["ts"] for event in events(tmp_path)] == [1]


def test_not_writable(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Then the trace ends, with one warning, and the training does not."""
    caplog.set_level(logging.WARNING, "ddmlp")
    file = TraceFile(tmp_path / "gone")
    file.write(line(1))
    file.write(line(2))
    [record] = caplog.records
    assert str(tmp_path / "gone" / NAME) in record.getMessage()


def test_damaged_lines():
    assert read_events(b'[\n{"ph":"i"},\n[' + b"[" * 100_000 + b'\n7,\n\xff,\n{"ph":"M"},\n{"ph"') == [
        {"ph": "i"},
        {"ph": "M"},
    ]
